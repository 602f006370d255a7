// The list of requests.
import assert from 'node:assert/strict';
import { row, shot, signedIn, step } from './harness.mjs';

const page = await signedIn();

await step('the list, newest first', async () => {
  await row(page, 'order').waitFor();
  const times = await page.locator('.row > :first-child').evaluateAll((cells) => cells.map((c) => c.title));
  assert.ok(times.length >= 14);
  assert.deepEqual(times, times.toSorted().reverse());
  const order = row(page, 'order');
  for (const text of ['POST', '201', 'api.shop.example', '/v1/orders/{number}/pay', 'python3.13', '42 ms']) {
    await order.getByText(text, { exact: false }).first().waitFor();
  }
  await shot(page, 'requests-1280-light');
});

await page.context().close();
