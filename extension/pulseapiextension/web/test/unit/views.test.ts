import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bands, durationWord, peak, percent, rate, spread, sums } from '../../src/lib/figures.ts';
import { busiest, layout } from '../../src/lib/layout.ts';
import type { Edge, HeatCell, Node } from '../../src/lib/schema.ts';
import { ordered } from '../../src/lib/sort.ts';

const edge = (from: string, to: string, requests = 1, errors = 0): Edge => ({ from, to, requests, errors, connections: 0, bytes: 10 });
const node = (id: string): Node => ({ id, kind: id.split(':')[0] as Node['kind'], name: id.slice(id.indexOf(':') + 1) });
const world = (n: number) => {
  const edges: Edge[] = [];
  for (let i = 0; i < n; i++) {
    edges.push(edge(`service:s${i % 7}`, `server:d${i}`, 1 + ((i * 37) % 11)));
    if (i % 3 === 0) edges.push(edge(`server:d${i}`, `service:s${(i * 5) % 7}`, 2));
  }
  const nodes = [...new Set(edges.flatMap((e) => [e.from, e.to]))].map(node);
  return { nodes, edges };
};

test('shares and rates', () => {
  assert.deepEqual([percent(0, 0), percent(0, 9), percent(1, 1e6), percent(1, 300), percent(1, 30), percent(43, 100)], ['0 %', '0 %', '< 0.01 %', '0.33 %', '3.3 %', '43 %']);
  assert.deepEqual([rate(0, 60), rate(3, 3600), rate(30, 60), rate(270, 60), rate(120_300, 100), rate(5, 0)], ['0 /s', '< 0.01 /s', '0.50 /s', '4.5 /s', '1,203 /s', '0 /s']);
});

test('durations as the filter reads them', () => {
  assert.deepEqual([3e9, 40e6, 250e3, 1_000_001, 46_340].map(durationWord), ['3s', '40ms', '250us', '1000001ns', '46340ns']);
});

test('empty buckets have their place', () => {
  const at = (s: number) => new Date(s * 1000).toISOString();
  const { times, rows } = spread([{ time: at(120), n: 1 }, { time: at(240), n: 2 }], 60e9, 90_000, 300_000);
  assert.deepEqual(times, [60_000, 120_000, 180_000, 240_000]);
  assert.deepEqual(rows.map((r) => r?.n), [undefined, 1, undefined, 2]);
  const b = (requests: number, errors: number) => ({ time: '', requests, errors, p50_ns: 0, p90_ns: 0, p95_ns: 0, p99_ns: 0 });
  assert.deepEqual(sums([b(3, 1), b(4, 0)]), { requests: 7, errors: 1 });
});

test('the bands of a heat map have no holes', () => {
  const cell = (low_ns: number, high_ns: number | undefined, requests = 1): HeatCell => ({ time: '', low_ns, requests, ...(high_ns ? { high_ns } : {}) });
  const bound = (n: number) => Math.floor(2 ** (13 + n / 2));
  const all = bands([cell(bound(3), bound(4), 7), cell(bound(8), bound(9)), cell(bound(3), bound(4))]);
  assert.equal(all.length, 6);
  for (const [i, b] of all.entries()) assert.ok(b.high > b.low && (i === 0 || Math.abs(b.low - all[i - 1]!.high) <= 1), JSON.stringify(all));
  assert.deepEqual(bands([]), []);
  assert.equal(bands([cell(bound(50), undefined)]).at(-1)!.high, Infinity);
  assert.equal(bands([cell(0, bound(0)), cell(bound(1), bound(2))]).length, 3);
  assert.equal(peak([cell(1, 2, 7), cell(2, 3, 9)]), 9);
});

test('the same map is drawn the same, whatever order it comes in', () => {
  const { nodes, edges } = world(60);
  const places = (n: Node[], e: Edge[]) => layout(n, e).nodes.map((p) => `${p.column} ${p.row} ${p.id}`).sort();
  assert.deepEqual(places(nodes, edges), places(nodes.toReversed(), edges.toReversed()));
  const p = layout(nodes, edges);
  assert.equal(p.lines.length, edges.length);
  for (const column of [0, 1, 2]) {
    const rows = p.nodes.filter((n) => n.column === column).map((n) => n.row);
    assert.deepEqual(rows.toSorted((a, b) => a - b), rows.map((_, i) => i), 'each row once');
  }
  assert.equal(p.rows, 60);
  assert.ok(p.nodes.filter((n) => n.id === 'service:s0').length === 2, 'who asks and answers stands in both columns');
});

test('few lines cross', () => {
  // Each service asks three servers of its own: some order has no crossing at all.
  const edges = Array.from({ length: 30 }, (_, i) => edge(`service:${(i * 7) % 10}`, `server:${i}`, 1 + (i % 4)));
  const { lines } = layout([...new Set(edges.flatMap((e) => [e.from, e.to]))].map(node), edges);
  let crossings = 0;
  for (const l of lines) for (const m of lines) if (l.a.row < m.a.row && l.b.row > m.b.row) crossings++;
  assert.equal(crossings, 0);
});

test('the busiest edges stay within the nodes that can be read', () => {
  const { edges } = world(300);
  const some = busiest(edges, 150);
  assert.ok(new Set(some.flatMap((e) => [e.from, e.to])).size <= 150);
  assert.ok(some.length > 100);
  assert.deepEqual(layout([], []), { nodes: [], lines: [], rows: 0 });
});

test('a hostile number of edges takes no time', () => {
  const { nodes, edges } = world(1000);
  const start = performance.now();
  layout(nodes, edges);
  assert.ok(performance.now() - start < 5_000);
});

test('rows in order', () => {
  const rows = [{ k: 'b', n: 2 }, { k: 'a', n: 2 }, { k: 'c', n: 10 }];
  const by = { n: (r: (typeof rows)[0]) => r.n, k: (r: (typeof rows)[0]) => r.k };
  const keys = (sort: string) => ordered(rows, sort, (r) => r.k, by).map((r) => r.k).join('');
  assert.deepEqual([keys('n'), keys('-n'), keys('-k'), keys('nothing')], ['abc', 'cab', 'cba', 'bac']);
});
