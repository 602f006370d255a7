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
  }, s.stored);
  console.log(`    ${s.stored} rows came in ${Date.now() - started} ms`);
});

await step('every row is reached in order, and few are in the document', async () => {
  const seen = await page.evaluate(async () => {
    const box = document.querySelector('.rows .box');
    const keys = [];
    let most = 0;
    let wrong = '';
    let last = '\uffff';
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
        if (at > keys.length) return { wrong: `row ${keys.length} is not drawn before row ${at}`, keys: keys.length, most, different: 0 };
        const time = r.firstElementChild.title;
        if (time > last) wrong ||= `row ${at} of ${time} comes after ${last}`;
        last = time;
        keys.push(r.dataset.key);
      }
      if (box.scrollTop + box.clientHeight >= box.scrollHeight - 1) break;
      box.scrollTop += (rows.length - 2) * rows[0].offsetHeight;
    }
    return { keys: keys.length, different: new Set(keys).size, most, wrong };
  });
  assert.equal(seen.wrong, '');
  assert.equal(seen.keys, s.stored);
  assert.equal(seen.different, s.stored);
  assert.ok(seen.most < 120, `${seen.most} rows in the document`);
});

await step('what is held is bounded', async () => {
  const each = ((await mib()) - before) / s.stored;
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
