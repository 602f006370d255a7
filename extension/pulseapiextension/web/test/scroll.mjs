// A long list: every row can be reached, in order, few of them are in the document, and they move smoothly.
import assert from 'node:assert/strict';
import { s, signedIn, step } from './harness.mjs';

const page = await signedIn('#/requests?from=3d&live=off');
const cdp = await page.context().newCDPSession(page);
const box = page.locator('.rows .box');
const mib = async () => {
  await cdp.send('HeapProfiler.collectGarbage');
  return (await cdp.send('Runtime.getHeapUsage')).usedSize / (1 << 20);
};
let before = 0;
let all = []; // what the API tells, in its order

await step('the list is known', async () => {
  await page.waitForFunction(() => location.hash.includes('from=3d') && document.querySelector('.rows .row'));
  all = await page.evaluate(async () => {
    const keys = [];
    const range = `from=${new Date(Date.now() - 3 * 86_400_000).toISOString()}&to=${new Date().toISOString()}`;
    for (let cursor = ''; ; ) {
      const a = await fetch(`api/v1/requests?${range}&limit=1000${cursor && `&cursor=${cursor}`}`);
      if (a.status === 429) {
        await new Promise((done) => setTimeout(done, 1000));
        continue;
      }
      const p = await a.json();
      if (!a.ok) throw new Error(p.detail);
      keys.push(...p.requests.map((r) => `${r.trace_id}/${r.span_id}`));
      cursor = p.next_cursor ?? '';
      if (!cursor) return keys;
    }
  });
  assert.ok(all.length > s.stored * 0.99 && all.length <= s.stored, `${all.length} of ${s.stored} rows`);
});

await step('all rows come when the end is looked for', async () => {
  await page.locator('.rows .row').first().waitFor();
  before = await mib();
  const started = Date.now();
  await page.evaluate(async (n) => {
    const box = document.querySelector('.rows .box');
    const grid = document.querySelector('[role=grid][aria-rowcount]');
    const rows = () => Number(grid.getAttribute('aria-rowcount')) - 1; // the head is one, too
    let had = 0;
    let since = performance.now();
    while (rows() < n) {
      if (rows() > had) [had, since] = [rows(), performance.now()];
      if (performance.now() - since > 120_000) throw new Error(`${had} of ${n} rows came, and no more: ${document.querySelector('main [role=alert]')?.textContent ?? ''}`);
      box.scrollTop = box.scrollHeight;
      await new Promise((done) => setTimeout(done, 10));
    }
  }, all.length);
  console.log(`    ${all.length} rows came in ${Date.now() - started} ms`);
});

await step('every row is reached in order, and few are in the document', async () => {
  const seen = await page.evaluate(async () => {
    const box = document.querySelector('.rows .box');
    const keys = [];
    let most = 0;
    let wrong = '';
    box.scrollTop = 0;
    for (;;) {
      box.dispatchEvent(new Event('scroll')); // else it comes with the next frame, for which a busy machine takes long
      await new Promise((done) => setTimeout(done));
      const rows = [...document.querySelectorAll('.rows .row')].sort((a, b) => a.ariaRowIndex - b.ariaRowIndex);
      most = Math.max(most, rows.length);
      for (const r of rows) {
        const at = Number(r.ariaRowIndex) - 2;
        if (at < keys.length) {
          if (keys[at] !== r.dataset.key) wrong ||= `row ${at} was ${keys[at]} and is ${r.dataset.key}`;
          continue;
        }
        if (at > keys.length) return { wrong: `row ${keys.length} is not drawn before row ${at}`, keys, most };
        keys.push(r.dataset.key);
      }
      if (box.scrollTop + box.clientHeight >= box.scrollHeight - 1) break;
      box.scrollTop += (rows.length - 2) * rows[0].offsetHeight;
    }
    return { keys, most, wrong };
  });
  assert.equal(seen.wrong, '');
  assert.deepEqual(seen.keys, all);
  assert.ok(seen.most < 120, `${seen.most} rows in the document`);
});

await step('what is held is bounded', async () => {
  const each = ((await mib()) - before) / all.length;
  console.log(`    ${(each * 1024).toFixed(2)} KiB of the browser's memory for each row`);
  // Of few rows it is lost in what else the page holds.
  if (s.measured) assert.ok(each * 1024 < 4, 'a row is not held twice');
});

// How smooth it is, is for a machine that does nothing else.
if (s.measured) await step('it scrolls smoothly', async () => {
  for (const [how, by, times] of [['as by a wheel', 84, 300], ['as by the thumb', 14_000, 150]]) {
    const { work, frames } = await page.evaluate(
      async ([by, times]) => {
        const box = document.querySelector('.rows .box');
        box.scrollTop = 0;
        await new Promise(requestAnimationFrame);
        const work = [];
        const frames = [];
        let last = await new Promise(requestAnimationFrame);
        for (let i = 0; i < times; i++) {
          const t = performance.now();
          box.scrollTop += by;
          box.dispatchEvent(new Event('scroll'));
          await Promise.resolve();
          document.querySelector('.rows .row').getBoundingClientRect(); // layout is part of it
          work.push(performance.now() - t);
          const now = await new Promise(requestAnimationFrame);
          frames.push(now - last);
          last = now;
        }
        return { work: work.sort((a, b) => a - b), frames: frames.sort((a, b) => a - b) };
      },
      [by, times],
    );
    const long = frames.filter((f) => f > 50).length;
    console.log(`    ${how}: script and layout of a step ${work[times >> 1].toFixed(1)} ms, at most ${work.at(-1).toFixed(1)} ms; ${long} of ${times} frames took more than 50 ms, the longest ${frames.at(-1).toFixed(0)} ms`);
    assert.ok(work[times >> 1] < 16, 'half of the steps leave time for 60 frames a second');
    assert.ok(long < times / 50, 'frames that one sees are rare');
  }
  assert.ok((await box.evaluate((b) => b.scrollTop)) > 1_000_000);
});

await page.context().close();
