// Opens the page as a user does, waits for one request, opens it, and prints as JSON what it saw.
//   node page.mjs <url with #token> <path of the request> <text of the response body> <times to open it> <screenshot>
import { chromium } from 'playwright-core';

const [url, path, text, times, screenshot] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  const loads = [];
  const errors = [];
  page.on('request', (r) => loads.push({ method: r.method(), url: r.url(), range: r.headers().range ?? '' }));
  page.on('pageerror', (e) => errors.push(String(e)));
  page.on('console', (m) => m.type() === 'error' && errors.push(m.text()));
  const start = Date.now();
  await page.goto(url);
  console.error('loaded'); // the test sends its request now
  const row = page.locator('[role=row]', { hasText: path }).first();
  await row.waitFor({ timeout: 15_000 });
  const listed = Date.now();
  let shown = 0;
  let headers = '';
  for (let i = 0; i < Number(times); i++) {
    await row.click();
    const response = page.locator('section[data-side=response]');
    await response.getByText(text, { exact: false }).first().waitFor({ timeout: 15_000 });
    shown ||= Date.now();
    headers = await page.locator('section[data-side=request]').innerText();
    if (i === 0 && screenshot) await page.screenshot({ path: screenshot });
    await page.keyboard.press('Escape');
    await response.waitFor({ state: 'detached' });
  }
  console.log(JSON.stringify({ start, listed, shown, headers, errors, loads }));
} finally {
  await browser.close();
}
