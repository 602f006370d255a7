// Captured text may hold characters that change how the text around them looks (bidi controls, invisible ones), or that
// a terminal obeys. They are shown as marks; what is copied keeps them.

export interface Piece {
  text: string;
  mark: boolean; // stands for a character that cannot be seen
}

// eslint-disable-next-line no-control-regex
const odd = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]|[\ud800-\udfff]/gu;

function name(c: string): string {
  const code = c.codePointAt(0)!;
  if (code < 0x20) return String.fromCharCode(0x2400 + code); // control pictures
  if (code === 0x7f) return '␡';
  return `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** Whether a text can be shown as it is. */
export function plain(text: string): boolean {
  return text.search(odd) < 0;
}

/** The text in pieces, with marks in place of what cannot be seen. */
export function pieces(text: string): Piece[] {
  const out: Piece[] = [];
  let from = 0;
  for (const m of text.matchAll(odd)) {
    if (m.index > from) out.push({ text: text.slice(from, m.index), mark: false });
    out.push({ text: name(m[0]), mark: true });
    from = m.index + m[0].length;
  }
  if (from < text.length) out.push({ text: text.slice(from), mark: false });
  return out;
}

/** The text with marks in it, where only one string can be. */
export function visible(text: string): string {
  return plain(text) ? text : pieces(text).map((p) => (p.mark ? `⟨${p.text}⟩` : p.text)).join('');
}

/** Rows of a text of a fixed width: so each has the same height and only those in view need be in the document. */
export interface Rows {
  starts: number[]; // of each row, in the text
  ends: number[];
  lines: number[]; // the number of the line that begins with this row, 0 when it goes on
  cut: boolean; // there is more than the limit
}

export function wrap(text: string, columns: number, limit: number): Rows {
  const r: Rows = { starts: [], ends: [], lines: [], cut: false };
  let at = 0;
  for (let line = 1; ; line++) {
    let end = text.indexOf('\n', at);
    if (end < 0) end = text.length;
    const stop = end < text.length && end > at && text[end - 1] === '\r' ? end - 1 : end;
    let from = at;
    do {
      if (r.starts.length >= limit) return { ...r, cut: true };
      let to = Math.min(stop, from + columns);
      if (to < stop && to > from + 1 && isHigh(text.charCodeAt(to - 1))) to--; // both halves of a character stay together
      r.starts.push(from);
      r.ends.push(to);
      r.lines.push(from === at ? line : 0);
      from = to;
    } while (from < stop);
    at = end + 1;
    if (at > text.length || (at === text.length && text.endsWith('\n'))) return r;
  }
}

const isHigh = (code: number) => code >= 0xd800 && code < 0xdc00;

export interface Match {
  start: number;
  end: number;
}

/** Where a text holds another, without case; at most limit. */
export function find(text: string, what: string, limit: number): Match[] {
  const out: Match[] = [];
  if (!what) return out;
  const re = new RegExp(what.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'giu');
  for (const m of text.matchAll(re)) {
    out.push({ start: m.index, end: m.index + m[0].length });
    if (out.length >= limit) break;
  }
  return out;
}

/** The row that holds a place of the text. */
export function rowAt(rows: Rows, at: number): number {
  let low = 0;
  let high = rows.starts.length - 1;
  while (low < high) {
    const mid = (low + high + 1) >> 1;
    if (rows.starts[mid]! <= at) low = mid;
    else high = mid - 1;
  }
  return low;
}

export interface Run {
  text: string;
  hit: boolean; // of a search
  now: boolean; // the one that is looked at
}

/** A part of a text, cut where matches begin and end. */
export function runs(text: string, from: number, to: number, matches: Match[], now: Match | undefined): Run[] {
  const out: Run[] = [];
  let at = from;
  // Matches are in order: the first that ends behind `from`.
  let low = 0;
  let high = matches.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (matches[mid]!.end <= from) low = mid + 1;
    else high = mid;
  }
  for (let i = low; i < matches.length && matches[i]!.start < to; i++) {
    const m = matches[i]!;
    const a = Math.max(m.start, from);
    const b = Math.min(m.end, to);
    if (a > at) out.push({ text: text.slice(at, a), hit: false, now: false });
    out.push({ text: text.slice(a, b), hit: true, now: m === now });
    at = b;
  }
  if (at < to) out.push({ text: text.slice(at, to), hit: false, now: false });
  return out;
}
