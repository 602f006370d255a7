// Counts by class of status as series of a chart.
import type { Series } from './chart.ts';
import { spread } from './figures.ts';
import { count } from './format.ts';
import type { CountByTimeAnswer } from './schema.ts';

const colors: [string, string][] = [
  ['2xx', '--s2'],
  ['3xx', '--s3'],
  ['1xx', '--s1'],
  ['none', '--s0'],
  ['4xx', '--s4'],
  ['5xx', '--s5'],
];

/** The lowest of the stack first: what went well. */
export function statusSeries(answer: CountByTimeAnswer | null, bounds: { fromMs: number; toMs: number }): { times: number[]; series: Series[]; stepMs: number; label: string } {
  if (!answer || answer.buckets.length === 0) return { times: [], series: [], stepMs: 0, label: '' };
  const { times, rows } = spread(answer.buckets, answer.step_ns, bounds.fromMs, bounds.toMs);
  const series = colors
    .map(([label, color]) => ({ label, color, values: rows.map((b) => b?.counts[label] ?? 0) }))
    .filter((s) => s.values.some((n) => n > 0));
  const said = series.map((s) => `${s.label} ${count(s.values.reduce((a, b) => a + b, 0))}`).join(', ');
  return { times, series: series.map((s) => (s.label === 'none' ? { ...s, label: 'no response' } : s)), stepMs: answer.step_ns / 1e6, label: `Requests by time and status: ${said}` };
}
