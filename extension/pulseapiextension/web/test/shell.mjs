// Signing in, moving about, the time range, the look.
import assert from 'node:assert/strict';
import { accessible, everyLook, open, row, s, shot, step } from './harness.mjs';

let page;

await step('signing in', async () => {
  page = await open(s.live);
  await page.getByLabel('Token').fill('not-the-token-not-the-token-not-the');
  await page.getByRole('button', { name: 'Open' }).click();
  await page.getByRole('alert').filter({ hasText: 'not accepted' }).waitFor();
  await accessible(page, 'signing in');
  await shot(page, 'sign-in');
  await page.goto('about:blank');
  await page.goto(`${s.live}/#token=${s.token}`);
  await row(page, 'order').waitFor();
  assert.ok(!page.url().includes(s.token), 'the token does not stay in the address bar');
  const [cookie] = await page.context().cookies();
  assert.equal(cookie.httpOnly, true);
  assert.equal(cookie.sameSite, 'Strict');
  assert.equal(await page.evaluate(() => document.cookie), '');
});

await step('the scripts of the first screen', async () => {
  await page.locator('.chart canvas').waitFor();
  const loaded = await page.evaluate(() => performance.getEntriesByType('resource').filter((e) => e.name.endsWith('.js')).map((e) => [e.name.split('/').pop(), e.encodedBodySize]));
  // Rows show before there is a chart, whose library comes by itself.
  const [chart, ...more] = loaded.filter(([name]) => name.startsWith('uPlot'));
  assert.ok(chart && more.length === 0);
  const sum = loaded.reduce((n, [, size]) => n + size, 0) - chart[1];
  console.log(`    ${sum} bytes of compressed script, and ${chart[1]} of the chart: ${loaded.map((l) => l.join(' ')).join(', ')}`);
  assert.ok(sum > 20_000 && sum <= 70_000, `${sum} bytes`);
});

await step('views by link, key and command', async () => {
  const nav = page.getByRole('navigation', { name: 'Views' });
  await nav.getByRole('link', { name: 'Coverage' }).click();
  await page.getByRole('heading', { level: 1, name: 'Coverage' }).waitFor();
  assert.equal(await page.title(), 'Coverage · Pulse');
  assert.equal(await nav.locator('[aria-current=page]').innerText(), 'Coverage');
  await page.keyboard.press('g');
  await page.keyboard.press('r');
  await page.getByRole('heading', { level: 1, name: 'Requests' }).waitFor();
  await page.keyboard.press('Control+k');
  const palette = page.getByRole('dialog', { name: 'Commands' });
  await palette.getByRole('combobox').fill('cover');
  await accessible(page, 'commands');
  await shot(page, 'commands-1280-light');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Coverage' }).waitFor();
  await page.keyboard.press('Control+k');
  await palette.getByRole('combobox').fill('shop.ex');
  await palette.getByRole('option', { name: /^Server api\.shop\.example/ }).click();
  await page.waitForFunction(() => location.hash.endsWith('q=server:api.shop.example'));
  await page.keyboard.press('Control+k');
  await palette.getByRole('combobox').fill(s.rows.order);
  await page.keyboard.press('Enter');
  await page.locator('[data-pane=exchange]').getByText('"canary-in-a-body"').waitFor();
  await page.goBack();
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).getByText('copy the exchange as cURL').waitFor();
  await accessible(page, 'keys');
  await page.keyboard.press('Escape');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor({ state: 'detached' });
  await page.evaluate(() => (location.hash = '#/nowhere'));
  await page.getByText('There is no such view').waitFor();
  await page.evaluate(() => (location.hash = '#/requests'));
});

await step('the time range: presets, absolute, UTC, and back', async () => {
  await row(page, 'order').waitFor();
  await page.getByRole('button', { name: /^Time range/ }).click();
  await accessible(page, 'time range');
  await page.getByRole('button', { name: '15m' }).click();
  await page.waitForFunction(() => location.hash.includes('from=15m'));
  await page.getByRole('button', { name: 'Time range: Last 15 minutes' }).click();
  await page.getByRole('checkbox', { name: 'Times in UTC' }).check();
  await page.getByRole('textbox', { name: 'From', exact: true }).fill('2026-01-02 03:04:05');
  await page.getByRole('textbox', { name: 'To', exact: true }).fill('2026-01-02 03:00:00');
  await page.getByRole('button', { name: 'Apply' }).click();
  await page.getByRole('alert').filter({ hasText: 'before the begin' }).waitFor();
  await page.getByRole('textbox', { name: 'To', exact: true }).fill('2026-01-03 03:00:00');
  await page.getByRole('button', { name: 'Apply' }).click();
  await page.waitForFunction(() => location.hash.includes('from=2026-01-02T03:04:05.000Z') && location.hash.includes('tz=utc'));
  await page.goBack();
  await page.getByRole('button', { name: 'Time range: Last 15 minutes' }).click();
  await page.getByRole('checkbox', { name: 'Times in UTC' }).uncheck();
  await page.getByRole('button', { name: '1h' }).click();
});

await step('the look is as the system has it, unless chosen', async () => {
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await ground();
  await page.emulateMedia({ colorScheme: 'dark' });
  const dark = await ground();
  assert.notEqual(light, dark);
  await page.getByRole('button', { name: 'Theme: system' }).click();
  assert.equal(await ground(), light);
  await page.reload();
  await row(page, 'order').waitFor();
  assert.equal(await ground(), light, 'it is remembered');
  await page.getByRole('button', { name: 'Theme: light' }).click();
  await page.getByRole('button', { name: 'Theme: dark' }).click();
  assert.equal(await ground(), dark);
  await page.emulateMedia({ colorScheme: 'light' });
});

await step('signing out', async () => {
  await page.keyboard.press('Control+k');
  await page.getByRole('dialog', { name: 'Commands' }).getByRole('combobox').fill('sign out');
  await page.keyboard.press('Enter');
  await page.getByLabel('Token').waitFor();
  await page.context().close();
});

await step('views at every size', async () => {
  await everyLook('#/requests', async (p, look) => {
    await row(p, 'order').waitFor();
    if (look.startsWith('390')) {
      const more = p.getByRole('button', { name: 'More' });
      if (await more.count()) await more.click();
    }
    await shot(p, `views-${look}`);
  });
});
