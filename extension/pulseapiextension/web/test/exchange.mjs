// One exchange: what the page reads from the bucket and shows of it.
import assert from 'node:assert/strict';
import { control, open, row, s, shot, signedIn, step } from './harness.mjs';

const panel = (page) => page.locator('[data-pane=exchange]');

/** Opens an exchange on its own. */
async function go(page, name) {
  await page.evaluate((h) => (location.hash = h), `#/exchange/${s.rows[name]}`);
  await panel(page).waitFor();
}

const page = await signedIn();

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
    const other = await signedIn('#/requests', { url: s[name] });
    await go(other, 'order');
    await panel(other).getByText(title).waitFor();
    if (name === 'cors') await panel(other).getByText(s.cors).first().waitFor(); // the rule to paste
    await shot(other, `${name}-1280-light`);
    await other.context().close();
  });
}

await page.context().close();
