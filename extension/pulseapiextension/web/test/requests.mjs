// The list of requests.
import assert from 'node:assert/strict';
import { accessible, boxOf, control, everyLook, row, s, shot, signedIn, step } from './harness.mjs';

const page = await signedIn();
const box = page.getByRole('combobox', { name: 'Filter' });
const pane = (p) => p.getByRole('complementary', { name: 'Exchange' });
const rows = (p) => p.getByRole('grid', { name: /^Requests/ }).locator('.row');
const param = (name) => new URLSearchParams(page.url().split('?')[1] ?? '').get(name);
const scroller = page.locator('.rows .box');

/** Filters as a person does. */
async function filter(text) {
  await box.fill(text);
  await box.press('Enter');
  await page.waitForFunction((t) => (new URLSearchParams(location.hash.split('?')[1]).get('q') ?? '') === t, text);
}
const clear = () => filter('');

await step('the list, newest first', async () => {
  await row(page, 'order').waitFor();
  const times = await page.locator('.row > :first-child').evaluateAll((cells) => cells.map((c) => c.title));
  assert.ok(times.length >= 14);
  assert.deepEqual(times, times.toSorted().reverse());
  const order = row(page, 'order');
  for (const text of ['POST', '201', 'api.shop.example', '/v1/orders/{number}/pay', 'python3.13', '42 ms', 'in your bucket']) {
    await order.getByText(text, { exact: false }).first().waitFor();
  }
  await row(page, 'late').getByText('on its way').waitFor();
});

await step('a new request shows by itself', async () => {
  await page.getByRole('status').filter({ hasText: 'Live' }).waitFor();
  await control('fresh');
  await rows(page).filter({ hasText: '/fresh' }).waitFor();
});

await step('the histogram counts by class of status', async () => {
  const chart = page.getByRole('img', { name: /requests by time/ });
  await page.waitForFunction(() => /2xx [1-9]/.test(document.querySelector('.chart')?.getAttribute('aria-label') ?? ''));
  await page.getByRole('button', { name: /^5xx/ }).click();
  await page.waitForFunction(() => location.hash.includes('status:5xx'));
  await page.waitForFunction(() => [...document.querySelectorAll('.rows .row > :nth-child(3)')].every((c) => c.textContent.startsWith('5')));
  assert.match(await chart.getAttribute('aria-label'), /2xx \d+/);
  await clear();
});

await step('a mark in the histogram becomes the time range, and back undoes it', async () => {
  await row(page, 'order').waitFor();
  // The chart is made anew when other classes of status are in it, which may come after the rows.
  await page.waitForFunction(() => !document.querySelector('.stale') && /2xx [1-9]/.test(document.querySelector('.chart')?.getAttribute('aria-label') ?? ''));
  const before = page.url();
  const over = await boxOf(page.locator('.chart .u-over'));
  await page.mouse.move(over.x + over.width * 0.9, over.y + 20);
  await page.mouse.down();
  await page.mouse.move(over.x + over.width - 1, over.y + 20, { steps: 5 });
  await page.mouse.up();
  await page.waitForFunction(() => /from=20\d\d-/.test(location.hash));
  assert.ok(Date.parse(param('to')) - Date.parse(param('from')) < 8 * 60e3);
  await page.getByRole('button', { name: /^Time range: \d\d-\d\d/ }).waitFor();
  await page.goBack();
  assert.equal(page.url(), before);
  await page.getByRole('button', { name: 'Time range: Last hour' }).waitFor();
});

await step('filter: keys, values of the store, mistakes with their place', async () => {
  await box.fill('serv');
  await page.getByRole('option', { name: /^server: / }).waitFor();
  await page.getByRole('option', { name: /name or address of the server/ }).first().click();
  await page.getByRole('option', { name: 'api.shop.example' }).click();
  assert.equal(await box.inputValue(), 'server:api.shop.example ');
  await box.press('Enter');
  await rows(page).filter({ hasText: 'cdn.example' }).first().waitFor({ state: 'detached' });
  assert.equal(param('q'), 'server:api.shop.example');
  await box.fill('method:GET status:>=50x dur:>1s');
  await box.press('Enter');
  await page.getByRole('alert').filter({ hasText: 'status:500..599' }).waitFor();
  assert.deepEqual(await box.evaluate((i) => [i.selectionStart, i.selectionEnd]), [20, 23], 'the place is selected');
  assert.equal(await page.locator('.mirror u').textContent(), '50x');
  assert.equal(param('q'), 'server:api.shop.example', 'a wrong filter is not asked for');
  await shot(page, 'filter-mistake-1280-light');
  await clear();
  await page.getByRole('button', { name: 'How to filter' }).click();
  await page.getByRole('dialog', { name: 'How to filter' }).getByText('name or address of the server').waitFor();
  await accessible(page, 'the help of the filter');
  await page.getByRole('dialog', { name: 'How to filter' }).getByRole('button', { name: 'dur:>250ms' }).click();
  assert.equal(await box.inputValue(), 'dur:>250ms');
  await clear();
});

await step('every value can be included and excluded', async () => {
  await row(page, 'gzip').locator('[data-f=server]').hover();
  await page.getByRole('menuitem', { name: 'Show only server:cdn.example' }).click();
  await row(page, 'order').waitFor({ state: 'detached' });
  assert.equal(param('q'), 'server:cdn.example');
  await row(page, 'zstd').locator('[data-f=path]').hover();
  await page.getByRole('menuitem', { name: 'Leave out /app.json' }).click();
  await row(page, 'zstd').waitFor({ state: 'detached' });
  assert.equal(param('q'), 'server:cdn.example -path:="/app.json"');
  await row(page, 'gzip').waitFor();
  await clear();
  const facet = page.getByRole('complementary', { name: 'Facets' }).getByRole('button', { name: /^files\.example/ });
  await facet.click();
  await page.waitForFunction(() => document.querySelectorAll('.rows .row').length === 2);
  assert.equal(param('q'), 'server:files.example');
  await facet.and(page.locator('[aria-pressed=true]')).click();
  await row(page, 'order').waitFor();
  assert.equal(param('q'), null);
});

await step('columns: chosen, ordered, in the address', async () => {
  await page.getByRole('button', { name: 'Columns' }).click();
  await page.getByRole('checkbox', { name: 'TLS' }).check();
  await page.getByRole('checkbox', { name: 'Size' }).uncheck();
  await page.getByRole('checkbox', { name: 'TLS' }).press('Alt+ArrowUp');
  assert.equal(param('cols'), 'time,method,status,server,path,process,duration,tls,payload');
  await page.keyboard.press('Escape');
  await page.getByRole('columnheader', { name: 'TLS' }).waitFor();
  assert.equal(await page.getByRole('columnheader', { name: 'Size' }).count(), 0);
  await page.reload();
  await page.getByRole('columnheader', { name: 'TLS' }).waitFor();
  await page.getByRole('button', { name: 'Columns' }).click();
  await page.getByRole('button', { name: 'As at first' }).click();
  assert.equal(param('cols'), null);
  await page.keyboard.press('Escape');
});

await step('keyboard', async () => {
  await row(page, 'order').waitFor();
  await page.keyboard.press('j');
  const first = await page.locator('.row.cursor').getAttribute('data-key');
  await page.keyboard.press('j');
  const second = await page.locator('.row.cursor').getAttribute('data-key');
  assert.notEqual(first, second);
  await page.keyboard.press('k');
  assert.equal(await page.locator('.row.cursor').getAttribute('data-key'), first);
  await page.keyboard.press('Enter');
  await pane(page).waitFor();
  assert.equal(param('sel'), first);
  await page.keyboard.press('j');
  await page.waitForFunction((k) => location.hash.includes(k), second);
  await page.keyboard.press('Escape');
  await pane(page).waitFor({ state: 'detached' });
  await page.keyboard.press(']');
  await pane(page).waitFor();
  await page.keyboard.press(']');
  await pane(page).waitFor({ state: 'detached' });
  await page.keyboard.press('[');
  await page.getByRole('complementary', { name: 'Facets' }).waitFor({ state: 'detached' });
  await page.keyboard.press('[');
  await page.getByRole('complementary', { name: 'Facets' }).waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('path:orders');
  await page.keyboard.press('Enter');
  await row(page, 'gzip').waitFor({ state: 'detached' });
  await row(page, 'order').waitFor();
  assert.equal(await rows(page).count(), 1);
  await clear();
});

await step('a deep link opens the same rows and the same exchange', async () => {
  await page.evaluate((sel) => (location.hash = `#/requests?q=server:api.shop.example&sel=${sel}`), s.rows.order);
  await page.reload();
  await pane(page).getByText('"canary-in-a-body"').waitFor();
  assert.equal(await rows(page).count(), 1);
  await shot(page, 'requests-open-1280-light');
  await pane(page).getByRole('button', { name: 'Close' }).click();
  await pane(page).waitFor({ state: 'detached' });
  await clear();
});

await step('saved views', async () => {
  await filter('server:cdn.example');
  await page.getByRole('button', { name: 'Saved views' }).click();
  await page.getByLabel('Name of the view').fill('The CDN');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  assert.match(await page.getByRole('link', { name: 'CSV' }).getAttribute('href'), /^api\/v1\/requests\?.*filter=server%3Acdn.example.*format=csv$/);
  await page.keyboard.press('Escape');
  await clear();
  await page.reload();
  await page.getByRole('button', { name: 'Saved views' }).click();
  await page.getByRole('link', { name: 'The CDN' }).click();
  await page.waitForFunction(() => location.hash.includes('server:cdn.example'));
  await page.getByRole('button', { name: 'Saved views' }).click();
  await page.getByRole('button', { name: 'Remove The CDN' }).click();
  await page.getByRole('link', { name: 'Server errors' }).click();
  await page.waitForFunction(() => location.hash.includes('status:5xx'));
  await clear();
});

await step('nothing there: says why', async () => {
  await filter('server:cdn.example method:PATCH');
  await page.getByText('Nothing matches this filter').waitFor();
  await page.getByRole('button', { name: /^Without method:PATCH there are \d/ }).waitFor();
  await accessible(page, 'nothing matches');
  await shot(page, 'requests-nothing-1280-light');
  await page.getByRole('button', { name: /^Without method:PATCH/ }).click();
  await row(page, 'gzip').waitFor();
  assert.equal(param('q'), 'server:cdn.example');
  await page.evaluate(() => (location.hash = '#/requests?from=2020-01-01T00:00:00.000Z&to=2020-01-02T00:00:00.000Z'));
  await page.getByText('No requests in this time range').waitFor();
  await page.getByRole('button', { name: 'Show the half hour before it' }).click();
  await rows(page).first().waitFor();
  await page.evaluate(() => (location.hash = '#/requests'));
});

await step('a burst: a small document, a place that stays, and what is new', async () => {
  await row(page, 'order').waitFor();
  await control('burst');
  await page.getByText('/burst/399').waitFor();
  assert.ok((await rows(page).count()) < 80, 'only rows in view are in the document');
  await scroller.evaluate((b) => (b.scrollTop = 5_000));
  await page.waitForFunction(() => document.querySelector('.row[aria-rowindex="179"]'));
  const seen = await rows(page).first().getAttribute('data-key');
  await control('fresh2');
  await page.getByRole('button', { name: /1 new$/ }).waitFor();
  assert.equal(await rows(page).first().getAttribute('data-key'), seen, 'what is read stays');
  await page.getByRole('button', { name: /1 new$/ }).click();
  await rows(page).filter({ hasText: '/fresh-two' }).waitFor();
  await page.keyboard.press('l');
  await page.getByRole('status').filter({ hasText: 'Paused' }).waitFor();
  await page.keyboard.press('l');
  await page.getByRole('status').filter({ hasText: 'Live' }).waitFor();
});

await step('more than can be told: says so', async () => {
  await control('flood');
  await page.getByRole('status').filter({ hasText: 'More came than can be told' }).waitFor();
  // A stream that was opened anew in the half minute after is told of it again.
  for (const end = Date.now() + 120_000; ; ) {
    await page.getByRole('button', { name: 'loading again' }).click();
    try {
      await page.getByRole('status').filter({ hasText: 'More came than can be told' }).waitFor({ state: 'detached', timeout: 10_000 });
      break;
    } catch (err) {
      if (Date.now() > end) throw err;
    }
  }
});

await step('a tab that nobody sees holds no stream', async () => {
  const streams = () => page.evaluate(() => performance.getEntriesByType('resource').filter((e) => e.name.includes('requests/tail')).length);
  const before = await streams();
  await page.evaluate(() => {
    Object.defineProperty(document, 'hidden', { value: true, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await page.getByRole('status').filter({ hasText: 'Paused' }).waitFor();
  await page.waitForFunction((n) => performance.getEntriesByType('resource').filter((e) => e.name.includes('requests/tail')).length > n, before); // an entry is made when one ends
  await page.evaluate(() => {
    delete document.hidden;
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await page.getByRole('status').filter({ hasText: 'Live' }).waitFor();
});

await step('every look', async () => {
  await everyLook('#/requests?q=-payload:filtered', async (p, look) => {
    await row(p, 'order').waitFor();
    await p.waitForFunction(() => document.querySelector('.chart canvas') && /2xx [1-9]/.test(document.querySelector('.chart').getAttribute('aria-label')));
    await accessible(p, `requests ${look}`);
    await shot(p, `requests-${look}`);
    await row(p, 'order').click();
    await pane(p).getByText('"canary-in-a-body"').waitFor();
    await shot(p, `requests-open-${look}`);
  });
});

await page.context().close();
