// What the scenarios share: the browser, steps, screenshots, and what must hold all the time.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

export const s = JSON.parse(process.env.SCENARIO);
mkdirSync(s.artifacts, { recursive: true });

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

const complaints = []; // of the page's scripts and its content security policy
const strangers = new Set(); // origins that are neither Pulse nor its bucket
let preflights = 0;
let current; // what a failed step is shown by

/** A page in its own browser profile. */
export async function open(url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'light', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(+(process.env.WAIT ?? 120_000)) /* the machine of a CI is busy */;
  page.on('pageerror', (e) => complaints.push(String(e.stack)));
  page.on('console', (m) => /Content Security Policy|Uncaught/.test(m.text()) && complaints.push(m.text()));
  page.on('request', (r) => /^(data|blob|about):/.test(r.url()) || ['127.0.0.1', 'localhost'].includes(new URL(r.url()).hostname) || strangers.add(r.url()));
  const cdp = await context.newCDPSession(page);
  await cdp.send('Network.enable');
  cdp.on('Network.requestWillBeSent', (e) => e.type === 'Preflight' && preflights++);
  await page.goto(url);
  current = page;
  return page;
}

/** A page at `#/…` of a Pulse (the live one when absent), signed in. */
export async function signedIn(hash = '#/requests', { url = s.live, ...options } = {}) {
  const token = url === s.live ? s.token : await (await fetch(`${s.control}/token?of=${encodeURIComponent(url)}`)).text();
  const page = await open(`${url}/#token=${token}`, options);
  await page.getByRole('navigation', { name: 'Views' }).waitFor();
  await page.evaluate((h) => (location.hash = h), hash);
  return page;
}

/** Where something is that may be made anew while one looks. */
export async function boxOf(locator) {
  for (;;) {
    await locator.waitFor();
    const box = await locator.boundingBox();
    if (box) return box;
  }
}

export const shot = (page, name) => page.screenshot({ path: `${s.artifacts}/${name}.png` });
export const row = (page, name) => page.locator(`[data-key="${s.rows[name]}"]`);
export const control = (what) => fetch(`${s.control}/${what}`).then((r) => assert.equal(r.status, 200));

/** Nothing that axe-core finds against WCAG 2.2 A and AA. */
export async function accessible(page, what) {
  // What is being asked anew is dimmed, and what changes fades: for a moment, and not what is judged.
  await page.waitForFunction(() => !document.querySelector('.stale') && document.getAnimations().every((a) => a.playState !== 'running' || a.effect.getComputedTiming().iterations === Infinity), { timeout: 30_000 }).catch(() => {});
  await page.evaluate(axe); // by the protocol: the policy of the page lets no script of ours in
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }));
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.any.concat(n.all).map((c) => c.message)}`).slice(0, 4).join(' | ')}`), [], what);
}

/** Nothing sticks out to the side. */
export async function fits(page, what) {
  assert.ok(await page.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth), `${what}: something sticks out`);
}

/** Runs f with a page at 1280 and 390 pixels, light and dark; f gets the page and a suffix for screenshots. */
export async function everyLook(hash, f) {
  for (const width of [1280, 390]) {
    for (const colorScheme of ['light', 'dark']) {
      const page = await signedIn(hash, { colorScheme, viewport: { width, height: width === 390 ? 844 : 800 } });
      await f(page, `${width}-${colorScheme}`);
      await fits(page, `${hash} at ${width}`);
      await page.context().close();
    }
  }
}

export async function step(name, f) {
  const t = Date.now();
  try {
    await f();
  } catch (err) {
    if (current) await shot(current, 'failed').catch(() => {});
    console.log(`  FAILED ${name}, see web/artifacts/failed.png`);
    throw err;
  }
  console.log(`  ok ${name} (${Date.now() - t} ms)`);
}

/** Ends the browser; fails when something was said that nobody waited for. */
export async function finish() {
  await browser.close();
  assert.deepEqual(complaints, [], 'no script error, no violation of the content security policy');
  assert.deepEqual([...strangers], [], 'no request to anyone else');
  assert.equal(preflights, 0, 'no request to the bucket needs a CORS preflight');
  console.log('  ok nothing else was said');
}
