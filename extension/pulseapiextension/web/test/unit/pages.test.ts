import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refreshed } from '../../src/lib/pages.ts';

const row = (n: number, v = 0) => ({ id: `c${n}`, time: new Date(n * 1000).toISOString(), v });
const list = (from: number, to: number, v = 0) => Array.from({ length: from - to + 1 }, (_, i) => row(from - i, v));
const again = (first: ReturnType<typeof list>, known: ReturnType<typeof list>) => refreshed(first, known, (r) => r.id, (r) => r.time);

test('older pages stay when the first one is read again', () => {
  assert.deepEqual(again(list(12, 8, 1), list(10, 1)), [...list(12, 8, 1), ...list(7, 1)]);
  assert.deepEqual(again(list(10, 6, 1), list(10, 1)), [...list(10, 6, 1), ...list(5, 1)], 'as they are now');
  assert.deepEqual(again([row(12), row(9), row(8)], list(10, 1))!.map((r) => r.id), ['c12', 'c9', 'c8', 'c7', 'c6', 'c5', 'c4', 'c3', 'c2', 'c1'], 'without those that do not fit any more');
  assert.equal(again(list(20, 15), list(10, 1)), null, 'rows between are not known');
  assert.equal(again([], list(10, 1)), null);
  assert.equal(again(list(3, 1), []), null);
});
