// Drives the page in Debian's Chromium. Started by TestBrowser in ../../browser_test.go, which
// prepares the store and the bucket and says in SCENARIO what is where.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { chromium } from 'playwright-core';

const s = JSON.parse(process.env.SCENARIO);
mkdirSync(s.artifacts, { recursive: true });

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

const complaints = []; // of the page's scripts and its content security policy
let preflights = 0;

async function open(url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'light', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000) /* the machine of a CI is busy */;
  page.on('pageerror', (e) => complaints.push(String(e)));
  page.on('console', (m) => /Content Security Policy|Uncaught/.test(m.text()) && complaints.push(m.text()));
  const cdp = await context.newCDPSession(page);
  await cdp.send('Network.enable');
  cdp.on('Network.requestWillBeSent', (e) => e.type === 'Preflight' && preflights++);
  await page.goto(url);
  return page;
}

async function signedIn(url, options) {
  const token = url === s.live ? s.token : await (await fetch(`${s.control}/token?of=${encodeURIComponent(url)}`)).text();
  const page = await open(`${url}/#token=${token}`, options);
  await page.getByRole('status').filter({ hasText: 'live' }).waitFor();
  return page;
}

const shot = (page, name) => page.screenshot({ path: `${s.artifacts}/${name}.png` });
const row = (page, name) => page.locator(`[data-key="${s.rows[name]}"]`);
const panel = (page) => page.getByRole('complementary', { name: 'Request' });
const control = (what) => fetch(`${s.control}/${what}`).then((r) => assert.equal(r.status, 200));

async function go(page, name) {
  await page.goto(`${new URL(page.url()).origin}/#/r/${s.rows[name]}`);
  await panel(page).waitFor();
}

let page;

async function step(name, f) {
  const t = Date.now();
  try {
    await f();
  } catch (err) {
    await shot(page, 'failed').catch(() => {});
    console.log(`  FAILED ${name}, see web/artifacts/failed.png`);
    throw err;
  }
  console.log(`  ok ${name} (${Date.now() - t} ms)`);
}

await step('signing in', async () => {
  page = await open(s.live);
  await page.getByLabel('Token').fill('not-the-token-not-the-token-not-the');
  await page.getByRole('button', { name: 'Open' }).click();
  await page.getByRole('alert').filter({ hasText: 'not accepted' }).waitFor();
  await shot(page, 'sign-in');
  await page.goto('about:blank');
  await page.goto(`${s.live}/#token=${s.token}`);
  await row(page, 'order').waitFor();
  assert.equal(new URL(page.url()).hash, '', 'the token does not stay in the address bar');
  const [cookie] = await page.context().cookies();
  assert.equal(cookie.httpOnly, true);
  assert.equal(cookie.sameSite, 'Strict');
  assert.equal(await page.evaluate(() => document.cookie), '');
});

await step('the list, newest first', async () => {
  const times = await page.locator('.row .time').evaluateAll((cells) => cells.map((c) => c.title));
  assert.ok(times.length >= 14);
  assert.deepEqual(times, times.toSorted().reverse());
  const order = row(page, 'order');
  for (const text of ['POST', '201', 'api.shop.example', '/v1/orders/{number}/pay', 'python3.13', 'out', '42 ms', 'in your bucket']) {
    await order.getByText(text, { exact: false }).first().waitFor();
  }
  await row(page, 'late').getByText('on its way').waitFor();
  await shot(page, 'list-1280-light');
});

await step('a new request shows with the next polls', async () => {
  const t = Date.now();
  await control('fresh');
  await page.getByText('/fresh').waitFor();
  assert.ok(Date.now() - t < 4_000, `${Date.now() - t} ms`);
});

await step('a payload, straight from the bucket', async () => {
  const fromPulse = [];
  page.on('response', (r) => r.url().startsWith(s.live) && fromPulse.push(r));
  await row(page, 'order').click();
  const response = panel(page).locator('[data-side=response]');
  await response.getByText('"canary-in-a-body"').waitFor();
  await response.getByText('12345678901234567890').waitFor(); // digits survive
  await response.getByText('café').waitFor(); // a header value in Latin-1
  assert.equal(await response.locator('th', { hasText: /^set-cookie$/i }).count(), 2, 'repeated headers are kept');
  await panel(page).locator('[data-side=request]').getByText('Bearer eyJhbGciOi.demo').waitFor();
  await panel(page).getByText('read by this browser from').waitFor();
  await shot(page, 'open-1280-light');
  await response.getByRole('tab', { name: 'Text' }).click();
  assert.equal(await response.locator('pre').textContent(), s.bodies.order);
  await response.getByRole('tab', { name: 'Hex' }).click();
  assert.match(await response.locator('pre').textContent(), /^000000  7b 22 69 64 22 3a 31 32  /);
  for (const r of fromPulse) assert.ok(!(await r.text().catch(() => '')).includes('canary-in-a-body'), `${r.url()} carries payload`);
});

await step('captured content is never markup', async () => {
  await go(page, 'evil');
  await panel(page).locator('[data-side=response] pre').waitFor();
  assert.equal(await panel(page).locator('[data-side=response] pre').textContent(), s.bodies.evil);
  assert.equal(await panel(page).locator('[data-side=request] td').nth(1).textContent(), s.bodies.evil);
  assert.equal(await panel(page).locator('script, img, iframe').count(), 0);
  assert.equal(await page.evaluate(() => window.pwned), undefined);
});

await step('bodies of every kind', async () => {
  const response = panel(page).locator('[data-side=response]');
  const request = panel(page).locator('[data-side=request]');
  await go(page, 'gzip');
  await response.getByText("console.log('unpacked');").waitFor();
  await go(page, 'brotli');
  await response.getByText('body { color: brotli }').waitFor();
  await go(page, 'zstd');
  await response.getByText('"zstd": "json"').waitFor();
  await response.locator('[data-part=trailers]').getByText('db;dur=53').waitFor();
  await shot(page, 'trailers-1280-light');
  await go(page, 'bomb');
  await response.getByText('Decoded up to 16 MiB').waitFor();
  await go(page, 'cut_brotli');
  await response.getByText('so little of a br body').waitFor();
  await go(page, 'events');
  await response.getByText('decoded as it came').waitFor();
  const items = panel(page).locator('[data-side=items]');
  assert.deepEqual(await items.locator('pre').allTextContents(), ['first', 'second']);
  await items.getByText('tick, id 7').waitFor();
  await go(page, 'socket');
  await items.getByText('hello from a client').waitFor();
  assert.deepEqual(await items.locator('li').evaluateAll((all) => all.map((li) => li.dataset.from)), ['client', 'server', 'server', 'client']);
  assert.deepEqual(await items.locator('pre').allTextContents(), ['hello from a client', '<b>hello</b>', '00 ff', '1000 bye']);
  await shot(page, 'socket-1280-light');
  await go(page, 'form');
  await request.locator('table.form').getByText('/home').waitFor();
  await go(page, 'binary');
  await request.getByText('The first 64 KiB are shown.').waitFor();
  assert.equal(await request.getByRole('tab').count(), 1, 'noise is hex only');
  await go(page, 'truncated');
  await response.locator('[data-state=truncated]').getByText('650 B of 5.0 MiB').waitFor();
  await go(page, 'no_response');
  await response.getByText('No response was seen').waitFor();
  await go(page, 'image');
  await response.locator('img').waitFor();
  assert.equal(await response.locator('img').evaluate((i) => i.naturalWidth), 64);
  await shot(page, 'image-1280-light');
});

await step('a pending payload shows soon after its object is there', async () => {
  await go(page, 'late');
  await panel(page).locator('[data-state=pending]').waitFor();
  await shot(page, 'pending-1280-light');
  const t = Date.now();
  await control('late');
  await panel(page).getByText('arrived').waitFor();
  assert.ok(Date.now() - t < 3_000, `${Date.now() - t} ms`);
});

await step('named states', async () => {
  for (const [name, title] of [
    ['lost', 'Payload lost'], ['not_visible', 'Payload not visible'], ['filtered', 'Payload filtered'], ['sampled_out', 'Payload sampled out'], ['gone', 'No longer in the bucket'],
  ]) {
    await go(page, name);
    await panel(page).locator(`[data-state=${name}]`).getByText(title).waitFor();
  }
  await shot(page, 'gone-1280-light');
});

await step('objects that are not what they should be', async () => {
  for (const name of ['garbage', 'empty', 'cut', 'flipped']) {
    await go(page, name);
    await panel(page).locator('[data-state=damaged]').getByText('The object cannot be read').waitFor();
  }
  await go(page, 'stranger');
  await panel(page).locator('[data-state=no_entry]').waitFor();
});

for (const [name, title] of [
  ['cors', 'Blocked by the CORS rules'], ['refused', 'refused the link itself'], ['down', 'cannot be reached'], ['denied', 'Access denied by the bucket'],
]) {
  await step(`bucket trouble: ${name}`, async () => {
    const other = await signedIn(s[name]);
    await go(other, 'order');
    await panel(other).getByText(title).waitFor();
    if (name === 'cors') await panel(other).getByText(s.cors).first().waitFor(); // the rule to paste
    await shot(other, `${name}-1280-light`);
    await other.context().close();
  });
}

await step('keyboard', async () => {
  await go(page, 'order');
  await page.keyboard.press('Escape');
  await panel(page).waitFor({ state: 'detached' });
  await page.locator('h1').click();
  await page.keyboard.press('j');
  const first = await page.locator('.row.cursor').getAttribute('data-key');
  await page.keyboard.press('j');
  const second = await page.locator('.row.cursor').getAttribute('data-key');
  assert.notEqual(first, second);
  await page.keyboard.press('k');
  assert.equal(await page.locator('.row.cursor').getAttribute('data-key'), first);
  await page.keyboard.press('Enter');
  await panel(page).waitFor();
  assert.ok(page.url().endsWith(`#/r/${first}`));
  await page.keyboard.press('j');
  await page.waitForURL(new RegExp(`#/r/${second}$`));
  await page.keyboard.press('Escape');
  await panel(page).waitFor({ state: 'detached' });
  await page.keyboard.press('/');
  await page.keyboard.type('orders');
  await row(page, 'gzip').waitFor({ state: 'detached' });
  await row(page, 'order').waitFor(); // the list is empty until the answer to the new question is there
  assert.equal(await page.locator('.row').count(), 1);
  assert.match(page.url(), /\?path=orders/);
  await page.getByLabel('Path contains').fill('nothing-like-this');
  await page.getByText('Nothing matches these filters').waitFor();
  await shot(page, 'empty-1280-light');
  await page.getByRole('button', { name: 'Clear filters' }).click();
  await row(page, 'gzip').waitFor();
});

await step('deep link after a reload', async () => {
  await go(page, 'order');
  await page.reload();
  await panel(page).getByText('"canary-in-a-body"').waitFor();
  await page.keyboard.press('Escape');
});

await step('a burst keeps the document small and the place', async () => {
  await control('burst');
  await page.getByText('/burst/399').waitFor();
  assert.ok((await page.locator('.row').count()) < 60, 'only rows in view are in the document');
  await page.locator('.box').evaluate((b) => (b.scrollTop = 5_000));
  await page.waitForTimeout(300);
  const before = await page.locator('.box').evaluate((b) => b.scrollTop);
  await control('fresh2');
  await page.getByRole('button', { name: '1 new' }).waitFor();
  const after = await page.locator('.box').evaluate((b) => b.scrollTop);
  assert.equal(after, before + 36, 'what is read stays in place');
  await page.getByRole('button', { name: '1 new' }).click();
  await page.getByText('/fresh-two').waitFor();
});

await step('coverage: what is not seen, why, and what to do', async () => {
  await page.getByRole('link', { name: 'Coverage' }).click();
  const notSeen = page.getByRole('region', { name: /^Not seen/ });
  await notSeen.getByRole('row', { name: '/usr/bin/java 1,234 no secret let it write a key log' }).waitFor();
  await page.getByRole('region', { name: /^Missing on the host/ }).getByRole('row', { name: 'uprobe_multi kernel since Linux 6.6, perf uprobes are used instead' }).waitFor();
  await page.getByRole('region', { name: /^Given up/ }).getByRole('row', { name: 'ring 42 packet raise ring_size_mib' }).waitFor();
  await page.getByRole('region', { name: /^Seen/ }).getByRole('row', { name: '/usr/bin/curl 7' }).waitFor();
  const there = page.getByRole('region', { name: /^There/ });
  await there.getByRole('row', { name: '/usr/lib/libcrypto.so.3' }).waitFor();
  assert.equal(await there.getByRole('row').count(), 3);
  assert.equal(await page.locator('.row').count(), 0, 'instead of the requests');
  assert.equal(await page.title(), 'Coverage · Pulse');
  await shot(page, 'coverage-1280-light');
  await page.reload();
  await notSeen.waitFor();
  await page.getByRole('link', { name: 'Requests' }).click();
  await page.locator('.row').first().waitFor();
});

await step('dark, and narrow', async () => {
  const dark = await signedIn(s.live, { colorScheme: 'dark' });
  await go(dark, 'order');
  await panel(dark).getByText('"canary-in-a-body"').waitFor();
  await shot(dark, 'open-1280-dark');
  await dark.keyboard.press('Escape');
  await dark.getByLabel('Path contains').fill('/');
  await dark.waitForTimeout(400);
  await shot(dark, 'list-1280-dark');
  await dark.context().close();
  for (const colorScheme of ['light', 'dark']) {
    const narrow = await signedIn(s.live, { colorScheme, viewport: { width: 390, height: 844 } });
    await narrow.locator('.row').first().waitFor();
    await narrow.getByLabel('Host').fill('files.example');
    await row(narrow, 'truncated').waitFor();
    await narrow.getByLabel('Host').fill('');
    await narrow.waitForTimeout(500);
    await shot(narrow, `list-390-${colorScheme}`);
    assert.ok(await narrow.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth), 'nothing sticks out');
    await go(narrow, 'order');
    await panel(narrow).getByText('"canary-in-a-body"').waitFor();
    await shot(narrow, `open-390-${colorScheme}`);
    assert.ok(await narrow.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth), 'nothing sticks out');
    await panel(narrow).getByRole('button', { name: 'Close' }).click();
    await panel(narrow).waitFor({ state: 'detached' });
    await narrow.getByRole('link', { name: 'Coverage' }).click();
    await narrow.getByRole('region', { name: /^Not seen/ }).waitFor();
    await shot(narrow, `coverage-390-${colorScheme}`);
    assert.ok(await narrow.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth), 'nothing sticks out');
    await narrow.context().close();
  }
});

assert.deepEqual(complaints, [], 'no script error, no violation of the content security policy');
assert.equal(preflights, 0, 'no request to the bucket needs a CORS preflight');
await browser.close();
console.log('  ok nothing else was said');
