// Signing in, moving about, the time range, the look.
import assert from 'node:assert/strict';
import { open, s, shot, step } from './harness.mjs';

let page;

await step('signing in', async () => {
  page = await open(s.live);
  await page.getByLabel('Token').fill('not-the-token-not-the-token-not-the');
  await page.getByRole('button', { name: 'Open' }).click();
  await page.getByRole('alert').filter({ hasText: 'not accepted' }).waitFor();
  await shot(page, 'sign-in');
  await page.goto('about:blank');
  await page.goto(`${s.live}/#token=${s.token}`);
  await page.locator(`[data-key="${s.rows.order}"]`).waitFor();
  assert.ok(!page.url().includes(s.token), 'the token does not stay in the address bar');
  const [cookie] = await page.context().cookies();
  assert.equal(cookie.httpOnly, true);
  assert.equal(cookie.sameSite, 'Strict');
  assert.equal(await page.evaluate(() => document.cookie), '');
});

await page.context().close();
