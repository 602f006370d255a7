// Every view but the requests, on the day of a fleet. See views_data_test.go for what there is.
import assert from 'node:assert/strict';
import { accessible, boxOf, fits, s, shot, signedIn, step } from './harness.mjs';

const page = await signedIn('#/overview', { viewport: { width: 1280, height: 900 } });

const at = (p = page) => p.evaluate(() => location.hash);
const param = async (key, p = page) => new URLSearchParams((await at(p)).split(/\?(.*)/s)[1]).get(key);
const card = (name, p = page) => p.getByRole('region', { name });

/** Opens a view and waits until everything in it is answered. */
async function show(hash, p = page) {
  await p.evaluate((h) => (location.hash = h), hash);
  await p.waitForFunction((v) => document.title.toLowerCase().includes(v), hash.split(/[/?]/)[1].slice(0, 4));
  await settled(p);
}
async function settled(p = page) {
  await p.waitForFunction(() => document.querySelector('main > *') && !document.querySelector('main .wait, main .stale'));
}
/** Waits until a list has n rows, with that of its heads: it may show rows of before while it is asked. */
const counted = (n) => page.waitForFunction((n) => document.querySelector('[role=grid]')?.getAttribute('aria-rowcount') === n, String(n));
/** Nothing that a program or a server called itself became a part of the document. */
async function unharmed(p = page) {
  assert.equal(await p.locator('main :is(img, script, iframe, object)').count(), 0);
  assert.equal(await p.evaluate(() => window.pwned), undefined);
}

await step('overview: figures, new things, weak things, what is not seen', async () => {
  await settled();
  for (const title of ['Requests', 'Errors', 'p50', 'p95', 'p99', 'Sent / received']) {
    const stat = page.locator('.stat', { hasText: title }).first();
    await stat.locator('strong', { hasText: /\d/ }).waitFor();
  }
  assert.equal(await page.locator('.chart canvas').count(), 2);
  const fresh = card('Never seen before');
  await fresh.getByText('3 servers').waitFor();
  await fresh.getByText(s.hostile, { exact: true }).first().waitFor();
  await fresh.getByText('api.new-vendor.example').waitFor();
  await fresh.getByText('crawler on node-03').waitFor();
  const tls = card('TLS hygiene');
  await tls.getByText('Old version', { exact: true }).click();
  await tls.getByText('TLS before 1.2 is withdrawn').waitFor();
  await tls.getByRole('link', { name: /legacy\.bank\.example:443/ }).first().waitFor();
  for (const what of ['Expired certificate', 'Plaintext', 'Certificate ends', 'No server name']) await tls.getByText(what, { exact: true }).first().waitFor();
  const sensitive = card('Sensitive data');
  await sensitive.getByText('crawler → pay.example.com').waitFor();
  await sensitive.getByText('7 messages were not').waitFor();
  const unseen = card('Not seen');
  await unseen.getByText('no secret java').waitFor();
  await unseen.getByText('84 dropped by ring').waitFor();
  await card('Most requested').getByText(/svc\.cluster\.local/).first().waitFor();
  await unharmed();
  await accessible(page, 'overview');
});

await step('overview: every figure leads to its rows', async () => {
  await page.locator('.stat', { hasText: 'Errors' }).click();
  await page.waitForURL(/#\/requests\?/);
  assert.equal(await param('q'), 'error:*');
  await page.goBack();
  await settled();
  await card('Top talkers').getByRole('button', { name: 'Addresses' }).click();
  assert.equal(await param('talkers'), 'peer');
  await card('Top talkers').getByRole('link', { name: /^203\.0\.113\.77$/ }).waitFor();
  await page.reload();
  await settled();
  assert.equal(await card('Top talkers').getByRole('button', { name: 'Addresses' }).getAttribute('aria-pressed'), 'true', 'the address has all state');
});

await step('overview: a range is marked, and the back button undoes it', async () => {
  const box = await boxOf(page.locator('.chart canvas').first());
  await page.mouse.move(box.x + box.width * 0.4, box.y + 60);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 60, { steps: 5 });
  await page.mouse.up();
  await page.waitForURL(/from=\d{4}-/);
  const length = Date.parse(await param('to')) - Date.parse(await param('from'));
  assert.ok(length > 5 * 60e3 && length < 20 * 60e3, `${length / 60e3} minutes of 60`);
  await settled();
  await page.goBack();
  await page.waitForFunction(() => !location.hash.includes('from='));
});

await step('endpoints: the inventory, what is new, and its order', async () => {
  await show('#/endpoints');
  const rows = page.getByRole('grid', { name: 'Endpoints' }).locator('.row');
  await rows.first().waitFor();
  await page.getByRole('button', { name: 'New in range' }).click();
  await page.waitForFunction(() => document.querySelectorAll('[role=grid] .row').length === 3);
  await page.getByText(s.hostile, { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Server', exact: true }).click();
  assert.equal(await param('sort'), 'server');
  const names = () => rows.locator('a').allInnerTexts();
  const up = await names();
  assert.deepEqual(up, up.toSorted());
  await page.getByRole('button', { name: 'Server', exact: true }).click();
  await page.waitForFunction(() => location.hash.includes('sort=-server'));
  assert.deepEqual(await names(), up.toReversed());
  await unharmed();
  await page.getByRole('button', { name: 'All', exact: true }).click();
  await page.keyboard.press('/');
  await page.keyboard.type('server:*.tail.example');
  await page.keyboard.press('Enter');
  await page.getByText('No request matches the filter').waitFor();
  await shot(page, 'endpoints-none-1280-light');
  await page.getByText('Clear the filter', { exact: true }).click();
  await rows.nth(5).waitFor();
  await accessible(page, 'endpoints');
});

await step('an endpoint: who asks, how long it takes, and a part of the heat map', async () => {
  await show('#/endpoints/api.new-vendor.example');
  await card('Asked by').getByRole('link', { name: 'crawler' }).waitFor();
  await card('Transport').getByText('CN=api.new-vendor.example').waitFor();
  await card('Endpoints').getByText('/v1/things/{number}').waitFor();
  await page.getByText(/in this range/).first().waitFor();
  await accessible(page, 'endpoint');
  const map = page.getByRole('application', { name: /^Requests by time and duration/ });
  const box = await boxOf(map);
  await page.mouse.move(box.x + box.width * 0.3, box.y + 4);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.95, box.y + box.height * 0.6, { steps: 4 });
  await page.getByText(/\d+ requests · /).waitFor();
  const marked = Number((await page.getByText(/\d+ requests · /).innerText()).match(/^(\d+) requests/)[1]);
  assert.ok(marked > 3 && marked < 30, `${marked} of 30 are marked`);
  await page.mouse.up();
  await page.waitForURL(/#\/requests\?/);
  const q = await param('q');
  assert.match(q, /^server:api\.new-vendor\.example dur:>\S+ dur:<=\S+$/);
  await page.locator('[role=grid] .row').first().waitFor();
  await counted(marked + 1); // the list has what the map counted
  await page.goBack();
  await map.focus();
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('Shift+ArrowUp');
  await page.keyboard.press('Shift+ArrowLeft');
  await page.keyboard.press('Enter');
  await page.waitForURL(/#\/requests\?/);
  await show(`#/endpoints/${encodeURIComponent(s.hostile)}`);
  await page.getByRole('heading', { level: 2, name: s.hostile }).waitFor();
  await unharmed();
  await page.locator('.stat', { hasText: 'Errors' }).click();
  await page.waitForURL(/#\/requests\?/);
  await page.locator('[role=grid] .row').nth(3).waitFor();
  await counted(5); // its name is quoted in the filter
});

await step('connections: why one could not be read', async () => {
  await show('#/connections?q=visibility:not_visible');
  const rows = page.getByRole('grid', { name: 'Connections, newest first' }).locator('.row');
  await rows.first().waitFor();
  await counted(31);
  await page.getByText('30 connections began').waitFor();
  await page.keyboard.press('Tab');
  await page.getByRole('grid').locator('.box').focus();
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  const pane = page.getByRole('complementary', { name: 'Connection' });
  await pane.getByText('Its content could not be read').waitFor();
  await pane.getByText(/keylog_files|New connections are read/).waitFor();
  await pane.getByText('203.0.113.77:443').waitFor();
  assert.match(await param('sel'), /^[0-9a-f]{16}$/);
  await accessible(page, 'connection');
  await shot(page, 'connection-1280-light');
  const deep = await at();
  await page.keyboard.press('Escape');
  await pane.waitFor({ state: 'detached' });
  await show(deep);
  await pane.getByText('Its content could not be read').waitFor();
  await page.getByRole('button', { name: 'Close' }).click();
});

await step('connections: older ones come with scrolling', async () => {
  await show('#/connections?from=24h');
  const grid = page.getByRole('grid');
  await page.waitForFunction(() => document.querySelector('[role=grid]').getAttribute('aria-rowcount') === '201');
  await grid.locator('.box').evaluate((b) => (b.scrollTop = b.scrollHeight));
  await page.waitForFunction(() => Number(document.querySelector('[role=grid]').getAttribute('aria-rowcount')) > 300);
  const csv = await page.getByRole('link', { name: 'CSV' }).evaluate((a) => fetch(a.href).then((r) => r.text()));
  assert.match(csv.split('\n')[0], /connection_id/);
  assert.ok(csv.split('\n').length > 1000);
});

await step('processes, and one of them', async () => {
  await show('#/processes?new=1');
  await page.waitForFunction(() => document.querySelectorAll('[role=grid] .row').length === 3);
  await unharmed();
  await accessible(page, 'processes');
  await page.getByRole('link', { name: 'java', exact: true }).click();
  await page.getByRole('heading', { level: 2, name: 'java' }).waitFor();
  await settled();
  await card('What is seen of it').getByText('Java compiles its TLS when it runs').waitFor();
  await card('Where it runs').getByText('node-03').waitFor();
  await card('Asks').getByRole('link', { name: 'opaque.example' }).waitFor();
  assert.equal(await page.locator('.stat', { hasText: 'Not visible' }).locator('strong').innerText(), '30 of 54');
  await accessible(page, 'process');
  await page.getByRole('link', { name: 'Processes' }).first().click();
});

await step('the map: the same each time, a table beside it and beyond 150 nodes', async () => {
  // A range that does not move on: the same question has the same answer.
  const now = Date.now();
  await show(`#/map?from=${new Date(now - 3600e3).toISOString()}&to=${new Date(now).toISOString()}`);
  const nodes = () => page.locator('svg a.node circle').evaluateAll((all) => all.map((c) => `${c.getAttribute('cx')} ${c.getAttribute('cy')} ${c.closest('a').textContent.trim().split(',')[0]}`));
  const first = await nodes();
  assert.ok(first.length > 60, `${first.length} nodes`);
  assert.equal(new Set(first).size, first.length, 'no two at one place');
  await accessible(page, 'map');
  await page.reload();
  await settled();
  assert.deepEqual(await nodes(), first, 'the picture is the same');
  await page.locator('svg a.node', { hasText: 'crawler' }).first().focus();
  assert.equal(await page.locator('.lines .lit').count(), 2, 'its two edges stand out');
  await page.getByText(/^service · 60 requests/).or(page.locator('.legend', { hasText: 'crawler service · 60 requests' })).first().waitFor();
  const edges = await page.locator('.lines path').count();
  await page.getByRole('button', { name: 'Table' }).click();
  assert.equal(await param('as'), 'table');
  const table = page.getByRole('table', { name: 'Who asks whom' });
  await table.waitFor();
  while (await page.locator('.grid .more').count()) await page.locator('.grid .more').click();
  assert.equal(await table.locator('tbody tr').count(), edges, 'the table says the same');
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  assert.equal(await page.evaluate(() => document.activeElement.closest('tr')?.rowIndex), 2);
  await unharmed();
  await accessible(page, 'map as a table');
  await show('#/map?from=24h');
  await page.getByText(/more than 150 nodes/).waitFor();
  await page.getByRole('button', { name: 'Map', exact: true }).click();
  await page.getByText('the 150 busiest are drawn').waitFor();
  const names = new Set((await nodes()).map((n) => n.replace(/^\S+ \S+ /, '')));
  assert.ok(names.size <= 150 && names.size > 100, `${names.size} names`);
});

await step('coverage: what is not seen, why, and what to do', async () => {
  await show('#/coverage');
  await page.getByText(/of 180 k TLS connections are read/).waitFor();
  const todo = card('What to do').getByRole('listitem');
  assert.match(await todo.first().innerText(), /no secret java[\s\S]*name that in keylog_files[\s\S]*java: 1,234 connections/);
  await card('Not seen').getByRole('row', { name: /java.*1,234.*no secret java.*Java compiles/ }).waitFor();
  await card('Missing on the host').getByText('since Linux 6.6').first().waitFor();
  await card('Given up').getByText('no loss: own connections').first().waitFor();
  await accessible(page, 'coverage');
  await page.getByLabel('Host', { exact: true }).selectOption({ label: 'node-07' });
  await page.getByText('None is missed').waitFor();
  assert.match(await param('host'), /2$/);
  await page.goBack();
  await card('Not seen').getByRole('link', { name: '1,234' }).click();
  await page.waitForURL(/#\/connections\?/);
  assert.equal(await param('q'), 'exe:"/usr/lib/jvm/bin/java" visibility:not_visible');
});

await step('storage: what is there, until when, and what would go', async () => {
  await show('#/storage');
  await card('Tables').getByRole('row', { name: /^requests one row per request/ }).waitFor();
  const segments = card('Payload segments');
  await segments.getByRole('row', { name: /stored.*errors/ }).waitFor();
  assert.match(await segments.getByRole('row', { name: /stored.*errors/ }).innerText(), /15[\s\S]*600[\s\S]*3\.0 MiB/);
  await card('What would go?').getByText('Nothing would go').waitFor();
  await card('What would go?').getByLabel('for').selectOption('12h');
  assert.equal(await param('ttl'), '12h');
  await card('What would go?').getByText(/rows would go, about/).waitFor();
  await settled();
  const all = await card('What would go?').getByRole('status').innerText();
  await card('What would go?').getByLabel('Keep').selectOption('table:connections');
  await page.waitForFunction((was) => ![...document.querySelectorAll('.verdict')].some((v) => v.innerText === was), all);
  await settled();
  assert.deepEqual(await card('What would go?').locator('tbody td:first-child').allInnerTexts(), ['connections']);
  await card('What would go?').getByText(/In the bucket, 0 of \d+ objects/).waitFor();
  await card('What would go?').getByLabel('looked at').selectOption('30');
  await card('What would go?').getByText(/In the bucket, \d\d+ of \d+ objects/).waitFor();
  await accessible(page, 'storage');
  await card('Tables').getByRole('row', { name: /^requests one row/ }).waitFor(); // nothing was removed
});

for (const [name, state, said] of [
  ['live', 'readable', 'answered NoSuchKey'], ['cors', 'blocked', 'do not let this page read the answer'], ['down', 'unreachable', 'cannot be reached from this browser'], ['denied', 'denied', 'SignatureDoesNotMatch'],
]) {
  await step(`the bucket is tried: ${name}`, async () => {
    const other = name === 'live' ? page : await signedIn('#/storage', { url: s[name] });
    await show('#/storage', other);
    await other.getByRole('button', { name: 'Check whether this browser may read from it' }).click();
    await other.locator(`.cors[data-state=${state}]`).getByText(said).waitFor();
    if (name === 'cors') {
      const rule = JSON.parse(await other.getByRole('region', { name: 'CORS rule' }).innerText());
      assert.deepEqual(rule[0].AllowedOrigins, [new URL(s.cors).origin]);
      await accessible(other, 'the rule to paste');
      await shot(other, 'storage-cors-1280-light');
    }
    if (other !== page) await other.context().close();
  });
}

await step('access: who, what, and the audit', async () => {
  await show('#/access?from=30d');
  await card('You').getByText('the local token of this collector').waitFor();
  await card('What you may do').getByText('payload:export_raw, yes').waitFor();
  await card('What leaves out').getByText('removed with their attribute: card; replaced by pseudonyms: email').waitFor();
  const tokens = card('Tokens');
  await tokens.getByRole('row', { name: /agents-2026-11 eu active \d+ (s|min|h) ago/ }).waitFor();
  await tokens.getByRole('row', { name: /old eu expired not yet/ }).waitFor();
  await tokens.getByRole('row', { name: /west us active not yet no end/ }).waitFor();
  const audit = card('Audit');
  await audit.getByRole('row', { name: /ada@example\.com looked at a payload allowed/ }).first().waitFor();
  await audit.getByRole('button', { name: 'grace@example.com' }).first().click();
  assert.equal(await param('actor'), 'grace@example.com');
  await page.waitForFunction(() => ![...document.querySelectorAll('main td')].some((t) => t.innerText === 'ci'));
  await accessible(page, 'access');
  assert.ok(!(await page.content()).includes(s.token), 'no token is on the page');
  await audit.getByRole('button', { name: /who: grace/ }).click();
  await audit.getByRole('link', { name: '0200000000000000' }).waitFor();
  assert.match(await audit.getByRole('link', { name: '0200000000000000' }).getAttribute('href'), /^#\/exchange\/01000000000000000000000000000000\/0200000000000000/);
});

await step('where there is nothing, it says why', async () => {
  const then = 'from=2020-01-01T00:00:00.000Z&to=2020-01-01T01:00:00.000Z';
  await show(`#/overview?${then}`);
  await page.getByText('Nothing was seen in this range').waitFor();
  await page.getByText(/2 hosts do/).waitFor();
  await page.locator('.cors[data-state=readable]').waitFor();
  await accessible(page, 'overview without anything');
  await shot(page, 'overview-none-1280-light');
  for (const [view, said] of [['endpoints', 'No requests in this range'], ['connections', 'No connection began'], ['processes', 'No program in this range'], ['map', 'Nobody asked anybody'], ['endpoints/nobody.example', 'Nobody asked nobody.example'], ['processes/nothing', 'It was not seen in this range']]) {
    await show(`#/${view}?${then}`);
    await page.getByText(said).first().waitFor();
  }
});

await step('every look', async () => {
  const views = {
    overview: '#/overview', endpoints: '#/endpoints', endpoint: '#/endpoints/photo-api.shop.svc.cluster.local', connections: '#/connections', processes: '#/processes',
    process: '#/processes/%2Fusr%2Flib%2Fjvm%2Fbin%2Fjava?service=billing&host=node-03', map: '#/map?as=map', coverage: '#/coverage', storage: '#/storage?ttl=6h', access: '#/access?from=24h',
  };
  for (const width of [1280, 390]) {
    for (const colorScheme of ['light', 'dark']) {
      const p = await signedIn('#/overview', { colorScheme, viewport: { width, height: width === 390 ? 844 : 900 } });
      for (const [name, hash] of Object.entries(views)) {
        await show(hash, p);
        await fits(p, `${name} at ${width}`);
        await accessible(p, `${name} at ${width}, ${colorScheme}`);
        await shot(p, `${name}-${width}-${colorScheme}`);
      }
      await p.context().close();
    }
  }
});

await page.context().close();
