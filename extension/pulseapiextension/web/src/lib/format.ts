import type { Request } from './api.ts';
import { range } from './range.svelte.ts';

const two = (n: number) => String(n).padStart(2, '0');
const parts = (d: Date) => (range.utc ? [d.getUTCFullYear(), d.getUTCMonth() + 1, d.getUTCDate(), d.getUTCHours(), d.getUTCMinutes(), d.getUTCSeconds()] : [d.getFullYear(), d.getMonth() + 1, d.getDate(), d.getHours(), d.getMinutes(), d.getSeconds()]);

/** The time of day in milliseconds, in UTC or as the browser's zone has it. */
export function clock(time: string): string {
  const d = new Date(time);
  const p = parts(d);
  return `${two(p[3]!)}:${two(p[4]!)}:${two(p[5]!)}.${String(d.getMilliseconds()).padStart(3, '0')}`;
}

/** Date and time in seconds: 2026-11-24 13:05:09. */
export function moment(time: string | number): string {
  const p = parts(new Date(time));
  return `${p[0]}-${two(p[1]!)}-${two(p[2]!)} ${two(p[3]!)}:${two(p[4]!)}:${two(p[5]!)}`;
}

/** How long ago, in one unit: 3 min ago. */
export function ago(time: string, now = Date.now()): string {
  const s = Math.max(0, (now - Date.parse(time)) / 1000);
  if (s < 60) return `${Math.floor(s)} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86_400)} d ago`;
}

/** A whole number with commas. Not by Intl, which takes the browser tens of milliseconds to begin with. */
export const grouped = (n: number) => String(n).replace(/\B(?=(\d{3})+$)/g, ',');

/** A whole number, short when it is large: 12,345 · 1.2 M. */
export function count(n: number): string {
  if (n < 100_000) return Number.isInteger(n) ? grouped(n) : n.toLocaleString('en');
  if (n < 1e6) return `${(n / 1e3).toFixed(0)} k`;
  if (n < 1e9) return `${(n / 1e6).toFixed(n < 1e7 ? 1 : 0)} M`;
  return `${(n / 1e9).toFixed(1)} G`;
}

export function duration(ns: number): string {
  if (ns < 1e3) return `${ns} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(ns < 1e4 ? 1 : 0)} µs`;
  if (ns < 1e9) return `${(ns / 1e6).toFixed(ns < 1e7 ? 1 : 0)} ms`;
  return `${(ns / 1e9).toFixed(ns < 1e10 ? 2 : 1)} s`;
}

export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let n = bytes;
  let u = -1;
  do {
    n /= 1024;
    u++;
  } while (n >= 1024 && u < units.length - 1);
  return `${n.toFixed(n < 10 ? 1 : 0)} ${units[u]}`;
}

export function base(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1) || path;
}

export function statusClass(r: Request): string {
  if (r.error_type && !r.status) return 's-err';
  return r.status ? `s-${Math.floor(r.status / 100)}` : 's-none';
}

export function authority(r: Request): string {
  const host = r.server_address || r.peer_address || '';
  const usual = r.scheme === 'https' ? 443 : 80;
  const text = host.includes(':') ? `[${host}]` : host;
  return r.server_port && r.server_port !== usual ? `${text}:${r.server_port}` : text;
}

/** What a payload state means, in a few words. */
export const stateWords: Record<string, string> = {
  sent: 'in your bucket',
  pending: 'on its way',
  truncated: 'kept in part',
  sampled_out: 'sampled out',
  filtered: 'filtered',
  not_visible: 'not visible',
  lost: 'lost',
  erased: 'erased',
};

/** The reasons that capture gives, as sentences. An unknown one is shown as it is. */
export const reasonWords: Record<string, string> = {
  attached_late: 'The connection was opened before capture was attached to this program. The next connection will be readable.',
  no_key: 'The TLS library of this program gave no session key. See the coverage notes for the libraries that are supported.',
  no_receipt: 'No sender ever confirmed the segment. The collector may have been killed, or the bucket refused it: see the log of qpoint_s3.',
  gap: 'Some packets were dropped before they could be read, so the message is not complete.',
  level: 'The capture level of this connection keeps metadata only.',
};
