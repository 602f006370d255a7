// Captured content attacks who looks at it: markup, scripts, pictures, URLs, bidi controls and terminal escapes in every field.
import assert from 'node:assert/strict';
import { s, shot, signedIn, step } from './harness.mjs';

const page = await signedIn('#/requests', { permissions: ['clipboard-read', 'clipboard-write'] });
const panel = page.locator('[data-pane=exchange]');
const dialogs = [];
page.on('dialog', (d) => (dialogs.push(d.message()), d.dismiss()));
const asked = [];
page.on('request', (r) => asked.push(r.url()));
const windows = [];
page.context().on('page', (p) => windows.push(p.url()));

// All elements that the panel may make. Whatever else is there was made from content.
const own = new Set(['article', 'header', 'div', 'span', 'button', 'h2', 'h3', 'p', 'b', 'i', 'code', 'section', 'details', 'summary', 'table', 'tbody', 'tr', 'th', 'td', 'dl', 'dt', 'dd', 'ul', 'li', 'small', 'input', 'mark', 'a', 'img', 'label', 'pre', 'del', 'ins']);

async function look(what) {
  const seen = await page.evaluate(() => ({
    pwned: [window.pwned, window.polluted, {}.polluted].some((x) => x !== undefined),
    cookie: document.cookie,
    tags: [...new Set([...document.querySelectorAll('[data-pane=exchange] *, [data-compare] *')].map((e) => e.localName))],
    handlers: [...document.querySelectorAll('*')].flatMap((e) => [...e.attributes].filter((a) => /^on/i.test(a.name) || /^(srcdoc|formaction|action|background|ping)$/i.test(a.name)).map((a) => `${e.localName} ${a.name}`)),
    links: [...document.querySelectorAll('a[href], [src], link[href], use')].map((e) => e.getAttribute('href') ?? e.getAttribute('src')),
    text: document.querySelector('[data-pane=exchange]')?.textContent ?? '',
    foreign: document.querySelectorAll('iframe, object, embed, form[action], svg script, foreignObject, base, meta[http-equiv]').length,
    styles: document.styleSheets.length,
  }));
  assert.equal(seen.pwned, false, `${what}: a script ran`);
  assert.deepEqual(seen.tags.filter((t) => !own.has(t)), [], `${what}: elements that are not ours`);
  assert.deepEqual(seen.handlers, [], `${what}: attributes that act`);
  assert.equal(seen.foreign, 0, what);
  for (const link of seen.links.filter((l) => !l.startsWith(`${s.live}/assets/`))) assert.match(link, /^(#\/|#main|\.\/|\/|blob:http)/, `${what}: a link out of the page: ${link}`);
  // eslint-disable-next-line no-control-regex
  assert.doesNotMatch(seen.text, /[\u0000-\u0008\u000e-\u001f\u007f-\u009f\u200b\u200f\u202a-\u202e\u2066-\u2069\ufeff\u061c]/, `${what}: characters that cannot be seen are shown as they are`);
}

const names = Object.keys(s.rows).filter((n) => n.startsWith('hostile_'));
assert.ok(names.length >= 18);

for (const name of names) {
  await step(name, async () => {
    await page.evaluate((h) => (location.hash = h), `#/exchange/${s.rows[name]}`);
    await panel.locator('[data-side=response] [data-part=body]').waitFor();
    await panel.locator('[data-side=response] [data-view]').first().waitFor();
    await panel.locator('details').evaluateAll((all) => all.forEach((d) => (d.open = true)));
    await look(name);
    for (const where of ['request', 'response']) {
      const side = panel.locator(`[data-side=${where}]`);
      const tabs = side.locator(`[role=tablist][aria-label="${where[0].toUpperCase()}${where.slice(1)} body as"]`).getByRole('tab'); // not those of its parts
      for (const t of await tabs.allTextContents()) {
        await tabs.filter({ hasText: t }).click();
        await side.locator(`[data-part=body] > [data-view=${t}]`).waitFor();
        await look(`${name} ${where} ${t}`);
      }
    }
    const items = panel.locator('[data-item]');
    if ((await items.count()) > 0) await items.first().click();
    await look(`${name} message`);
    await panel.getByRole('tab', { name: 'Origin', exact: true }).click();
    await look(`${name} origin`);
    await panel.getByRole('tab', { name: 'Storage', exact: true }).click();
    await look(`${name} storage`);
    if (name === 'hostile_html' || name === 'hostile_bidi') await shot(page, name);
  });
}

await step('hostile content copied is data for a shell', async () => {
  let copied = 0;
  for (const name of Object.keys(s.rows).filter((n) => n.startsWith('hostile_') && !n.startsWith('hostile_body_'))) {
    await page.evaluate((h) => (location.hash = h), `#/exchange/${s.rows[name]}`);
    await page.waitForFunction((h) => location.hash.endsWith(h), s.rows[name]);
    await panel.locator('[data-side=response] [data-view]').first().waitFor();
    await panel.getByRole('button', { name: 'Copy', exact: true }).first().click();
    await page.evaluate(() => navigator.clipboard.writeText(''));
    await page.getByRole('group', { name: 'Copy this exchange' }).getByRole('button', { name: 'cURL' }).click();
    // What no shell can be given as data is refused, and said so.
    const said = page.getByText(/^(cURL copied|Not copied: .*line break|Not copied: .*read as something else)/).first();
    await said.waitFor();
    if ((await said.innerText()).startsWith('cURL copied')) copied++;
    const text = await page.evaluate(() => navigator.clipboard.readText());
    // eslint-disable-next-line no-control-regex
    assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/, 'no terminal obeys it');
    await page.keyboard.press('Escape');
  }
  assert.ok(copied > 0, 'some can be copied');
});

await step('and two of them compared', async () => {
  await page.evaluate((h) => (location.hash = h), `#/compare/${s.rows.hostile_html}/${s.rows.hostile_svg}`);
  await page.locator('[data-compare=response] [data-change]').first().waitFor();
  await look('comparison');
});

assert.deepEqual(dialogs, [], 'no dialog');
assert.deepEqual(windows, [], 'no window');
const origins = new Set(asked.map((u) => new URL(u)).map((u) => (u.protocol === 'blob:' ? 'blob' : u.hostname)));
assert.deepEqual([...origins].filter((o) => !['127.0.0.1', 'blob'].includes(o)), [], 'no request to anywhere else');
await page.context().close();
