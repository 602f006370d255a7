// Sums and shapes of answers, for the views. Nothing here knows of the document.
import type { Bucket, Edge, HeatCell, LatencyBucket } from './schema.ts';

/** A share as a percentage with as many digits as it needs: 0 %, 0.03 %, 1.2 %, 43 %. */
export function percent(part: number, whole: number): string {
  if (whole === 0 || part === 0) return '0 %';
  const p = (100 * part) / whole;
  if (p < 0.01) return '< 0.01 %';
  return `${p < 1 ? p.toFixed(2) : p < 10 ? p.toFixed(1) : p.toFixed(0)} %`;
}

/** How often a second: 0.02 /s, 4.4 /s, 1,203 /s. */
export function rate(n: number, seconds: number): string {
  const r = seconds > 0 ? n / seconds : 0;
  return `${r === 0 ? '0' : r < 0.01 ? '< 0.01' : r < 1 ? r.toFixed(2) : r < 10 ? r.toFixed(1) : Math.round(r).toLocaleString('en')} /s`;
}

export const classes = ['2xx', '3xx', '4xx', '5xx', '1xx', 'none'] as const;

/** The starts of all buckets of a range, in milliseconds, and what each has: empty ones too, which answers leave out. */
export function spread<B extends { time: string }>(buckets: B[], step_ns: number, fromMs: number, toMs: number): { times: number[]; rows: (B | undefined)[] } {
  const step = step_ns / 1e6;
  const at = new Map(buckets.map((b) => [Date.parse(b.time), b]));
  const times: number[] = [];
  for (let t = Math.floor(fromMs / step) * step; t < toMs && times.length <= 1000; t += step) times.push(t);
  return { times, rows: times.map((t) => at.get(t)) };
}

export const total = (b: Bucket | undefined) => Object.values(b?.counts ?? {}).reduce((n, c) => n + c, 0);

export interface Sums {
  requests: number;
  errors: number;
}

export function sums(buckets: LatencyBucket[]): Sums {
  return buckets.reduce((s, b) => ({ requests: s.requests + b.requests, errors: s.errors + b.errors }), { requests: 0, errors: 0 });
}

/** The rows of a heat map: bounds of durations from the lowest to the highest that occur, without holes. */
export function bands(cells: HeatCell[]): { low: number; high: number }[] {
  const lows = [...new Set(cells.map((c) => c.low_ns))].sort((a, b) => a - b);
  if (lows.length === 0) return [];
  const known = new Map(cells.map((c) => [c.low_ns, c.high_ns ?? Infinity]));
  const out: { low: number; high: number }[] = [];
  const last = lows.at(-1)!;
  for (let low = lows[0]!; low <= last; ) {
    const high = known.get(low) ?? Math.floor(2 ** (Math.round(2 * Math.log2(Math.max(low, 1)) + 1) / 2));
    out.push({ low, high });
    if (!(high > low) || high === Infinity) break;
    low = lows.find((l) => Math.abs(l - high) <= 1) ?? high;
  }
  return out;
}

/** A quantile of a histogram of durations, within its bucket. Null when there is nothing. */
export function peak(cells: HeatCell[]): number {
  return cells.reduce((m, c) => Math.max(m, c.requests), 0);
}

/** Edges whose both ends are among the given nodes. */
export function within(edges: Edge[], ids: Set<string>): Edge[] {
  return edges.filter((e) => ids.has(e.from) && ids.has(e.to));
}

/** A duration as the filter language reads it, whole in its unit: 250us, 40ms, 3s. */
export function durationWord(ns: number): string {
  if (ns % 1e9 === 0) return `${ns / 1e9}s`;
  if (ns % 1e6 === 0) return `${ns / 1e6}ms`;
  if (ns % 1e3 === 0) return `${ns / 1e3}us`;
  return `${ns}ns`;
}
