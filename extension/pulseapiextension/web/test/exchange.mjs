// One exchange: what the page reads from the bucket and shows of it.
import assert from 'node:assert/strict';
import { accessible, control, everyLook, open, row, s, shot, signedIn, step } from './harness.mjs';

const panel = (page) => page.locator('[data-pane=exchange]');
const side = (page, name) => panel(page).locator(`[data-side=${name}]`);
const tab = (where, name) => where.getByRole('tab', { name, exact: true }).click();
const rowsOf = (where) => where.locator('[data-row]').evaluateAll((all) => all.map((r) => r.textContent));
const linesOf = (where) => where.locator('[data-line]').evaluateAll((all) => all.map((r) => r.textContent.replace(/[▾▸]/g, '')));

/** Opens an exchange on its own. */
async function go(page, name) {
  await page.evaluate((h) => (location.hash = h), `#/exchange/${s.rows[name]}`);
  await panel(page).waitFor();
}

/** What the page would put on the clipboard. */
async function copied(page, what) {
  await page.evaluate(() => navigator.clipboard.writeText(''));
  await what();
  for (let i = 0; i < 2400; i++) { // two minutes
    const text = await page.evaluate(() => navigator.clipboard.readText());
    if (text) return text;
    await page.waitForTimeout(50);
  }
  throw new Error('nothing was copied');
}

const clip = { permissions: ['clipboard-read', 'clipboard-write'] };
const page = await signedIn('#/requests', clip);

await step('a payload, straight from the bucket', async () => {
  const fromPulse = [];
  page.on('response', (r) => r.url().startsWith(s.live) && !r.url().includes('/tail') && fromPulse.push(r)); // a stream has no end to wait for
  await row(page, 'order').click();
  const response = side(page, 'response');
  await response.getByText('"canary-in-a-body"').waitFor();
  await response.getByText('12345678901234567890').waitFor(); // digits survive
  await response.getByText('café').waitFor(); // a header value in Latin-1
  assert.equal(await response.locator('[data-part=headers] th', { hasText: /^set-cookie$/i }).count(), 2, 'repeated headers are kept');
  await side(page, 'request').getByText('Bearer eyJhbGciOi.demo').waitFor();
  await panel(page).getByText('read by this browser from').waitFor();
  await shot(page, 'open-1280-light');
  await tab(response, 'Text');
  await response.locator('[data-row]').first().waitFor();
  assert.equal((await rowsOf(response)).join(''), s.bodies.order);
  await tab(response, 'Hex');
  await response.locator('[data-view=Hex] [data-row]').first().waitFor();
  assert.match((await rowsOf(response))[0], /^000000  7b 22 69 64 22 3a 31 32  /);
  for (const r of fromPulse) assert.ok(!(await r.text().catch(() => '')).includes('canary-in-a-body'), `${r.url()} carries payload`);
});

await step('JSON folds, is searched, and says the way to a value', async () => {
  await go(page, 'secrets');
  const response = side(page, 'response');
  await response.getByText('"A-1"').waitFor();
  const all = await linesOf(response);
  assert.equal(JSON.parse(all.join('\n')).items[1].sku, 'B-7');
  await response.getByRole('button', { name: 'Fold', exact: true }).last().click();
  assert.ok((await linesOf(response)).length < all.length, 'folded');
  await response.getByRole('searchbox').fill('b-7');
  await response.locator('mark.now').waitFor();
  await response.getByText('1/1').waitFor();
  await response.getByText('"B-7"').click();
  await response.getByText('$.items[1].sku').waitFor();
  assert.equal(await copied(page, () => response.getByRole('button', { name: 'Copy path' }).click()), '$.items[1].sku');
  assert.equal(await copied(page, () => response.getByRole('button', { name: 'Copy value' }).click()), 'B-7');
});

await step('query, cookies, trailers', async () => {
  const request = side(page, 'request');
  await request.locator('[data-part=query]').getByText('query-secret-1').waitFor();
  await request.locator('[data-part=cookies] summary').click();
  await request.locator('[data-part=cookies]').getByText('cookie-secret-1').waitFor();
  await side(page, 'response').locator('[data-part=cookies] summary').click();
  await side(page, 'response').locator('[data-part=cookies]').getByText('HttpOnly · Secure').waitFor();
  await accessible(page, 'an exchange');
});

await step('copies have no secrets', async () => {
  const menu = panel(page).getByRole('group', { name: 'Copy this exchange' });
  const take = async (name) => {
    await panel(page).getByRole('button', { name: 'Copy', exact: true }).first().click();
    await menu.waitFor();
    const text = await copied(page, () => menu.getByRole('button', { name }).click());
    await page.keyboard.press('Escape');
    return text;
  };
  for (const [name, begin] of [['cURL', /^curl /], ['fetch', /^await fetch\(/], ['HTTPie', /^http /], ['HTTP both', /^POST /]]) {
    const text = await take(name);
    assert.match(text, begin);
    assert.doesNotMatch(text, /secret-1/, name);
    assert.match(text, /\[redacted\]|%5Bredacted%5D/, name);
    assert.match(text, /python-requests/, name);
  }
  await panel(page).getByRole('button', { name: 'Copy', exact: true }).first().click();
  await accessible(page, 'the menu of copies');
  await shot(page, 'copy-1280-light');
  const download = page.waitForEvent('download');
  await menu.getByRole('button', { name: 'HAR file' }).click();
  const file = await (await download).createReadStream();
  let har = '';
  for await (const piece of file) har += piece;
  assert.equal(JSON.parse(har).log.entries[0].request.method, 'POST');
  assert.doesNotMatch(har, /secret-1/);
});

await step('with secrets only by a second click, and after the audit', async () => {
  const menu = panel(page).getByRole('group', { name: 'Copy this exchange' });
  const asked = [];
  page.on('request', (r) => r.url().endsWith('/payload-links') && asked.push(r.postDataJSON()));
  await menu.getByRole('button', { name: 'With secrets…' }).click();
  await menu.getByText('The audit will say that you took it').waitFor();
  assert.deepEqual(asked, [], 'nothing yet');
  await shot(page, 'copy-raw-1280-light');
  const text = await copied(page, () => menu.getByRole('button', { name: 'cURL with secrets' }).click());
  for (const secret of ['query-secret-1', 'header-secret-1', 'cookie-secret-1', 'key-secret-1', 'body-secret-1']) assert.match(text, new RegExp(secret));
  assert.deepEqual(asked.map((a) => a.purpose), ['export']);
  await menu.getByText('The audit has it').waitFor();
  const [trace, span] = s.rows.secrets.split('/');
  const { events } = await page.evaluate(() => fetch('api/v1/audit?action=payload.export').then((r) => r.json()));
  assert.ok(events.some((e) => e.trace_id === trace && e.span_id === span && e.outcome === 'allowed' && e.role === 'payload:export_raw'));
  // What cannot be written to the audit is not copied.
  await page.route('**/payload-links', (r) => r.fulfill({ status: 503, contentType: 'application/problem+json', body: '{"title":"t","status":503,"code":"store_unavailable","detail":"the store did not answer"}' }));
  await menu.getByRole('button', { name: 'With secrets…' }).click();
  await page.evaluate(() => navigator.clipboard.writeText('before'));
  await menu.getByRole('button', { name: 'cURL with secrets' }).click();
  await menu.getByText('Not copied: the store did not answer').waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'before');
  await page.unroute('**/payload-links');
  await page.keyboard.press('Escape');
});

await step('who, over which connection', async () => {
  await tab(panel(page), 'Origin');
  for (const text of ['/usr/bin/python3.13', 'web-1', 't13d1516h2_8daaf6152771_b186095e22b6', 'e7d705a3286e19ea42f587b344ee6865', 'CN=api.shop.example,O=Shop', 'http/1.1', 'python3 shop.py --verbose', 'abad1dea00000001']) {
    await panel(page).locator(`dd:has-text(${JSON.stringify(text)}), dd [data-v=${JSON.stringify(text)}]`).first().waitFor();
  }
  await accessible(page, 'origin');
  await shot(page, 'origin-1280-light');
});

await step('where it lives, until when, and that it is what was stored', async () => {
  await tab(panel(page), 'Storage');
  await panel(page).locator('[data-fact=payload-expiry]').getByText(/^until 20/).waitFor();
  await panel(page).locator('[data-fact=row-expiry]').waitFor();
  await panel(page).locator('[data-fact=bytes]').getByText(/^0 to \d+/).waitFor();
  await panel(page).getByText('the CRC-32 of the entry matches').waitFor();
  await panel(page).getByRole('button', { name: 'Verify in this browser' }).click();
  await panel(page).locator('[data-verified=same]').waitFor();
  await accessible(page, 'storage');
  await shot(page, 'storage-1280-light');
  await go(page, 'tampered');
  await tab(panel(page), 'Storage');
  await panel(page).getByRole('button', { name: 'Verify in this browser' }).click();
  await panel(page).locator('[data-verified=other]').waitFor();
});

await step('a large payload: its beginning at once, the rest on demand', async () => {
  const ranges = [];
  page.on('request', (r) => r.headers().range && ranges.push(r.headers().range));
  await go(page, 'big');
  const response = side(page, 'response');
  await response.getByText('is-loaded-first').waitFor();
  await response.locator('[data-state=unloaded]').waitFor();
  const length = (r) => r.match(/\d+/g).reduce((a, b) => b - a + 1);
  assert.deepEqual(ranges.map(length), [64 << 10]);
  await shot(page, 'large-1280-light');
  await response.getByRole('button', { name: /^Load the rest/ }).click();
  await response.getByText('"rows"').waitFor();
  assert.equal(ranges.length, 2);
  await response.getByRole('searchbox').fill('at-the-end');
  await response.locator('mark.now').waitFor();
  assert.ok((await response.locator('[data-line]').count()) < 120, 'only lines in view are in the document');
});

await step('bodies of every kind', async () => {
  const response = side(page, 'response');
  const request = side(page, 'request');
  await go(page, 'gzip');
  await response.getByText("console.log('unpacked');").waitFor();
  await go(page, 'brotli');
  await response.getByText('body { color: brotli }').waitFor();
  await go(page, 'zstd');
  await response.getByText('"zstd": "json"').waitFor();
  await response.locator('[data-part=trailers]').getByText('db;dur=53').waitFor();
  await go(page, 'bomb');
  await response.getByText('Decoded up to 16 MiB').waitFor();
  await go(page, 'cut_brotli');
  await response.getByText('so little of a br body').waitFor();
  await go(page, 'form');
  await request.locator('[data-view=Form]').getByText('/home').waitFor();
  await go(page, 'multipart');
  await request.locator('[data-view=Parts]').getByText('first part').waitFor();
  await request.locator('[data-view=Parts]').getByText('"in": "a part"').waitFor();
  await shot(page, 'multipart-1280-light');
  await go(page, 'binary');
  await request.locator('[data-view=Hex]').waitFor();
  assert.equal(await request.getByRole('tab').count(), 1, 'noise is hex only');
  await go(page, 'truncated');
  await response.locator('[data-state=truncated]').getByText('650 B of 5.0 MiB').waitFor();
  await go(page, 'redacted');
  await panel(page).locator('[data-state=redacted]').getByText('3 values were taken out').waitFor();
  await go(page, 'no_response');
  await response.getByText('No response was seen').waitFor();
  await go(page, 'image');
  await response.locator('img').waitFor();
  await response.getByText('64 × 40').waitFor();
  assert.match(await response.locator('img').getAttribute('src'), /^blob:/);
  await shot(page, 'image-1280-light');
});

await step('frames, events and messages', async () => {
  const response = side(page, 'response');
  await go(page, 'grpc');
  await response.getByText('"from a gzip"').waitFor();
  await response.locator('[data-item]').nth(1).click();
  await response.getByText('"second"').waitFor();
  await accessible(page, 'frames');
  await shot(page, 'grpc-1280-light');
  await go(page, 'llm');
  await response.getByText('The answer is 42.').waitFor();
  await go(page, 'events');
  await response.getByText('decoded as it came').waitFor();
  const items = side(page, 'items');
  assert.deepEqual(await items.locator('[data-item] .text').allTextContents(), ['first', 'second']);
  await items.getByText('id 7').waitFor();
  await go(page, 'socket');
  await items.getByText('hello from a client').waitFor();
  assert.deepEqual(await items.locator('[data-item]').evaluateAll((all) => all.map((li) => li.dataset.from)), ['client', 'server', 'server', 'client']);
  assert.deepEqual(await items.locator('[data-item] .text').allTextContents(), ['hello from a client', '<b>hello</b>', '00 ff', 'bye']);
  await items.getByText('code 1000').waitFor();
  await items.getByRole('button', { name: '↑ client' }).click();
  assert.equal(await items.locator('[data-item]').count(), 2);
  await go(page, 'parts');
  await items.getByText('{"part":2,"message":2}').waitFor();
  assert.equal(await items.locator('[data-item]').count(), 6, 'of both parts, in order');
  await items.locator('[data-item]').nth(3).click();
  await items.getByText('"part": 2').waitFor();
  await shot(page, 'parts-1280-light');
  // A file has them where developer tools look for them, on whichever pane it is saved.
  await panel(page).getByRole('tab', { name: 'Origin' }).click();
  await panel(page).getByRole('button', { name: 'Copy', exact: true }).first().click();
  const saved = page.waitForEvent('download');
  await page.getByRole('button', { name: 'HAR file' }).click();
  let har = '';
  for await (const piece of await (await saved).createReadStream()) har += piece;
  const { entries } = JSON.parse(har).log;
  assert.equal(entries.length, 1);
  assert.equal(entries[0]._resourceType, 'websocket');
  assert.deepEqual(entries[0]._webSocketMessages.map((m) => JSON.parse(m.data)), [1, 2].flatMap((part) => [0, 1, 2].map((message) => ({ part, message }))));
  await page.getByText('Saved with 2 parts').waitFor();
  await page.keyboard.press('Escape');
  await panel(page).getByRole('tab', { name: 'Messages' }).click();
  await go(page, 'part1');
  await panel(page).getByRole('link', { name: 'part 1 of an exchange' }).waitFor();
});

await step('two exchanges compared, by a link', async () => {
  await go(page, 'secrets');
  await side(page, 'response').getByText('"A-1"').waitFor();
  await panel(page).getByRole('button', { name: 'Compare…' }).click();
  await go(page, 'secrets2');
  await panel(page).getByRole('link', { name: 'Compare' }).click();
  await page.waitForURL(`**/#/compare/${s.rows.secrets}/${s.rows.secrets2}`);
  const response = page.locator('[data-compare=response]');
  await response.getByText('"state": "open"').waitFor();
  assert.deepEqual((await response.locator('[data-change=left]').allTextContents()).map((t) => t.replace(/^\d+\s*−\s*/, '')), ['"state": "paid",', '"qty": 2,']);
  assert.deepEqual(await response.locator('table tr').allTextContents(), ['Servernginxenvoy']);
  await page.locator('[data-compare=request]').getByText('The bodies are the same').waitFor();
  await accessible(page, 'comparison');
  await shot(page, 'compare-1280-light');
  await page.reload();
  await response.getByText('"state": "open"').waitFor();
});

await step('a pending payload shows soon after its object is there', async () => {
  await go(page, 'late');
  await panel(page).locator('[data-state=pending]').waitFor();
  await shot(page, 'pending-1280-light');
  await control('late');
  await panel(page).getByText('arrived').waitFor();
});

await step('an encrypted payload opens with the key of its recipient, which stays in the tab', async () => {
  await go(page, 'sealed');
  await panel(page).getByRole('heading', { name: 'Encrypted' }).waitFor();
  assert.ok(!(await panel(page).innerText()).includes('only for who has the key'));
  const key = panel(page).getByLabel('Key', { exact: true });
  await key.fill('AGE-SECRET-KEY-1NOTONE');
  await panel(page).getByRole('button', { name: 'Decrypt' }).click();
  await panel(page).getByRole('alert').waitFor();
  await key.fill(s.age);
  await panel(page).getByRole('button', { name: 'Decrypt' }).click();
  await panel(page).getByText('only for who has the key').first().waitFor();
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]) + document.documentElement.outerHTML);
  assert.ok(!kept.includes(s.age), 'the key is nowhere but in memory');
  await shot(page, 'decrypted-1280-light');
  await page.reload();
  await panel(page).getByRole('heading', { name: 'Encrypted' }).waitFor(); // forgotten
});

await step('named states', async () => {
  for (const [name, title] of [
    ['lost', 'Payload lost'], ['not_visible', 'Payload not visible'], ['filtered', 'Payload filtered'], ['sampled_out', 'Payload sampled out'], ['gone', 'No longer in the bucket'],
    ['expired', 'Payload expired'], ['erased', 'Payload erased'], ['no_receipt', 'No receipt for this payload'], ['encrypted', 'Encrypted'],
  ]) {
    await go(page, name);
    await panel(page).locator(`[data-state=${name}]`).getByRole('heading', { name: title }).waitFor();
  }
  await go(page, 'gone');
  await panel(page).locator('[data-state=gone]').waitFor();
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
    if (name === 'cors') {
      await panel(other).getByText(s.cors).first().waitFor(); // the rule to paste
      await panel(other).getByRole('button', { name: 'Test the bucket' }).click();
      await panel(other).locator('[data-part=self-test]').getByText(`No Access-Control-Allow-Origin for ${s.cors}`).waitFor();
      await accessible(other, 'the self-test');
    }
    await shot(other, `${name}-1280-light`);
    await other.context().close();
  });
}

await step('with the keys of the user, who signs in the page', async () => {
  const other = await signedIn('#/requests', { url: s.keys.url });
  const sent = [];
  other.on('request', (r) => sent.push(`${r.url()} ${r.postData() ?? ''} ${JSON.stringify(r.headers())}`));
  await go(other, 'order');
  await panel(other).getByRole('heading', { name: 'Your keys are needed' }).waitFor();
  await accessible(other, 'the form of keys');
  await shot(other, 'keys-1280-light');
  const give = async (secret) => {
    await panel(other).getByLabel('Access key').fill(s.keys.access);
    await panel(other).getByLabel('Secret key').fill(secret);
    await panel(other).getByRole('button', { name: 'Open with these keys' }).click();
  };
  await give('a-wrong-key');
  await panel(other).getByRole('button', { name: 'Other keys' }).click();
  await give(s.keys.secret);
  await side(other, 'response').getByText('"canary-in-a-body"').waitFor();
  await go(other, 'secrets'); // with a receipt
  await tab(panel(other), 'Storage');
  await panel(other).getByText('this browser, with your keys').waitFor();
  await panel(other).getByRole('button', { name: 'Verify in this browser' }).click();
  await panel(other).locator('[data-verified=same]').waitFor();
  await other.reload();
  await tab(panel(other), 'Messages');
  await side(other, 'response').getByText('"A-1"').waitFor(); // kept for the tab
  for (const what of sent) {
    assert.ok(!what.includes(s.keys.secret), 'the secret is sent to nobody');
    if (what.startsWith(s.keys.url)) assert.ok(!what.includes(s.keys.access), 'and Pulse does not get the access key either');
  }
  const next = await open(s.keys.url);
  assert.equal(await next.evaluate(() => Object.keys(sessionStorage).length + Object.keys(localStorage).filter((k) => /key/.test(k)).length), 0, 'another tab has nothing');
  await next.context().close();
  await other.context().close();
});

await step('keyboard', async () => {
  await go(page, 'secrets');
  await side(page, 'response').getByText('"A-1"').waitFor();
  await page.locator('h2').first().click();
  await page.keyboard.press(']');
  await panel(page).getByRole('tab', { name: 'Origin', selected: true }).waitFor();
  await page.keyboard.press('[');
  await panel(page).getByRole('tab', { name: 'Messages', selected: true }).waitFor();
  assert.match(await copied(page, () => page.keyboard.press('c')), /^curl /);
  await page.keyboard.press('Escape');
});

await page.context().close();

await step('every look of it', async () => {
  await everyLook(`#/exchange/${s.rows.secrets}`, async (p, look) => {
    await side(p, 'response').getByText('"A-1"').waitFor();
    await shot(p, `exchange-${look}`);
    await accessible(p, `an exchange ${look}`);
    const [a, b] = await Promise.all(['request', 'response'].map((n) => side(p, n).boundingBox()));
    assert.equal(look.startsWith('390') ? b.y > a.y + a.height - 2 : Math.abs(a.y - b.y) < 2, true, 'side by side, or one below the other');
    await tab(panel(p), 'Origin');
    await shot(p, `exchange-origin-${look}`);
    await tab(panel(p), 'Storage');
    await shot(p, `exchange-storage-${look}`);
    await p.evaluate((h) => (location.hash = h), `#/compare/${s.rows.secrets}/${s.rows.secrets2}`);
    await p.locator('[data-compare=response]').getByText('"state": "open"').waitFor();
    await shot(p, `compare-${look}`);
  });
});
