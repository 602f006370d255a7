// What is different between two exchanges: lines of text, and headers by their names.
import type { Pair } from './har.ts';
import { valueOf } from './har.ts';

export type Change = 'same' | 'left' | 'right';

export interface DiffLine {
  change: Change;
  text: string;
  left: number; // line numbers from 1, 0 for none
  right: number;
}

const maxEdits = 2_000;
const maxLines = 50_000;

/** The lines of two texts, by the shortest edit (Myers, 1986). Texts that differ too much are compared at their ends only, and whole says so. */
export function diff(a: string[], b: string[]): { lines: DiffLine[]; whole: boolean } {
  const cut = a.length > maxLines || b.length > maxLines;
  a = a.slice(0, maxLines);
  b = b.slice(0, maxLines);
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const middle = edits(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  const changes: Change[] = [...Array<Change>(head).fill('same'), ...middle.changes, ...Array<Change>(tail).fill('same')];
  let left = 0;
  let right = 0;
  const lines = changes.map((change): DiffLine => {
    const l = change === 'right' ? 0 : ++left;
    const r = change === 'left' ? 0 : ++right;
    return { change, text: l ? a[l - 1]! : b[r - 1]!, left: l, right: r };
  });
  return { lines, whole: middle.whole && !cut };
}

function edits(a: string[], b: string[]): { changes: Change[]; whole: boolean } {
  const replaced = (): Change[] => [...a.map((): Change => 'left'), ...b.map((): Change => 'right')];
  if (a.length === 0 || b.length === 0) return { changes: replaced(), whole: true };
  const limit = Math.min(a.length + b.length, maxEdits);
  let v = new Map([[1, 0]]); // by diagonal: how far into a
  const trace: Map<number, number>[] = [];
  for (let d = 0; d <= limit; d++) {
    const now = new Map<number, number>();
    trace.push(v);
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (v.get(k - 1) ?? -1) < (v.get(k + 1) ?? -1));
      let x = down ? (v.get(k + 1) ?? 0) : (v.get(k - 1) ?? 0) + 1;
      let y = x - k;
      while (x < a.length && y < b.length && x >= 0 && y >= 0 && a[x] === b[y]) {
        x++;
        y++;
      }
      now.set(k, x);
      if (x >= a.length && y >= b.length) return { changes: back(trace, a.length, b.length), whole: true };
    }
    v = now;
  }
  return { changes: replaced(), whole: false };
}

function back(trace: Map<number, number>[], x: number, y: number): Change[] {
  const out: Change[] = [];
  for (let d = trace.length - 1; d >= 0; d--) {
    const v = trace[d]!;
    const k = x - y;
    const down = k === -d || (k !== d && (v.get(k - 1) ?? -1) < (v.get(k + 1) ?? -1));
    const from = down ? k + 1 : k - 1;
    const fromX = d === 0 ? 0 : (v.get(from) ?? 0);
    const fromY = d === 0 ? 0 : fromX - from;
    while (x > fromX && y > fromY) {
      out.push('same');
      x--;
      y--;
    }
    if (d > 0) out.push(down ? 'right' : 'left');
    x = fromX;
    y = fromY;
  }
  return out.reverse();
}

export interface PairDiff {
  name: string;
  change: 'same' | 'left' | 'right' | 'changed';
  left: string;
  right: string;
}

/** Header fields side by side: by name without case, in the order of the left, then what only the right has. */
export function diffPairs(left: Pair[], right: Pair[]): PairDiff[] {
  const rest = new Map<string, Pair[]>();
  for (const p of right) {
    const name = p.name.toLowerCase();
    rest.set(name, [...(rest.get(name) ?? []), p]);
  }
  const out = left.map((p): PairDiff => {
    const other = rest.get(p.name.toLowerCase())?.shift();
    if (!other) return { name: p.name, change: 'left', left: valueOf(p), right: '' };
    return { name: p.name, change: valueOf(p) === valueOf(other) ? 'same' : 'changed', left: valueOf(p), right: valueOf(other) };
  });
  for (const p of right) if (rest.get(p.name.toLowerCase())?.includes(p)) out.push({ name: p.name, change: 'right', left: '', right: valueOf(p) });
  return out;
}
