// A tree as lines that can be folded: JSON and what protobuf holds without its schema. Numbers and strings of JSON stay as
// they were written, so that no digit is lost.

export type Kind = 'object' | 'array' | 'close' | 'string' | 'number' | 'word' | 'bytes';

export interface Line {
  depth: number;
  parent: number; // index of the line that holds it, -1 for none
  /** As written, with its quotes; "" in an array and at the top. */
  key: string;
  /** Its place in what holds it. */
  index: number;
  kind: Kind;
  text: string;
  /** Behind the text: what else it may be. */
  note: string;
  /** Of an object or array: the line that closes it; itself when it is empty. */
  end: number;
  /** How many it holds. */
  size: number;
  last: boolean; // no comma follows
}

// 24 pixels each, it is as high as every browser can scroll.
const maxLines = 700_000;

/** Where the string ends that begins at i: behind its quote. */
function stringEnd(text: string, i: number): number {
  for (let j = text.indexOf('"', i + 1); ; j = text.indexOf('"', j + 1)) {
    let slashes = 0;
    while (text.charCodeAt(j - 1 - slashes) === 0x5c) slashes++;
    if (slashes % 2 === 0) return j + 1;
  }
}

/** Where the number or word ends that begins at i. */
function wordEnd(text: string, i: number): number {
  for (; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c <= 0x20 || c === 0x2c || c === 0x5d || c === 0x7d) break; // white space , ] }
  }
  return i;
}

/** JSON as lines; null when the text is not JSON, or too much of it. */
export function jsonLines(text: string): Line[] | null {
  try {
    JSON.parse(text); // what follows need not look for errors
  } catch {
    return null;
  }
  const lines: Line[] = [];
  const open: number[] = [];
  let key = '';
  for (let i = 0; i < text.length; ) {
    const c = text[i]!;
    if (c === ',' || c === ':' || c <= ' ') {
      i++;
      continue;
    }
    if (c === '}' || c === ']') {
      const at = open.pop()!;
      if (lines.length === at + 1) lines[at]!.end = at;
      else close(lines, at, c);
      i++;
      continue;
    }
    const end = c === '"' ? stringEnd(text, i) : c === '{' || c === '[' ? i + 1 : wordEnd(text, i);
    const t = text.slice(i, end);
    i = end;
    const parent = open.at(-1) ?? -1;
    const holder = lines[parent];
    if (c === '"' && !key && holder?.kind === 'object') {
      key = t;
      continue;
    }
    if (lines.length >= maxLines) return null;
    const kind: Kind = c === '{' ? 'object' : c === '[' ? 'array' : c === '"' ? 'string' : c === 't' || c === 'f' || c === 'n' ? 'word' : 'number';
    lines.push({ depth: open.length, parent, key, index: holder ? holder.size++ : 0, kind, text: t, note: '', end: -1, size: 0, last: false });
    key = '';
    if (kind === 'object' || kind === 'array') open.push(lines.length - 1);
  }
  if (lines[0]) lines[0].last = true;
  return lines;
}

/** Ends what a line holds. */
export function close(lines: Line[], at: number, text: string) {
  const last = lines.at(-1)!;
  (last.kind === 'close' ? lines[last.parent]! : last).last = true;
  lines[at]!.end = lines.length;
  lines.push({ depth: lines[at]!.depth, parent: at, key: '', index: 0, kind: 'close', text, note: '', end: 0, size: 0, last: false });
}

/** Whether a comma follows a line. */
export function comma(lines: Line[], at: number): boolean {
  const l = lines[at]!;
  if (l.kind === 'close') return !lines[l.parent]!.last;
  return !l.last && !(holds(l) && l.end > at);
}

export const holds = (l: Line) => l.kind === 'object' || l.kind === 'array';

/** The lines in view when some are folded. */
export function unfolded(lines: Line[], folded: ReadonlySet<number>): number[] {
  const out: number[] = [];
  for (let i = 0; i < lines.length; i++) {
    out.push(i);
    if (folded.has(i) && lines[i]!.end > i) i = lines[i]!.end;
  }
  return out;
}

/** The lines to fold so that nothing deeper than depth is in view. */
export function foldedTo(lines: Line[], depth: number): Set<number> {
  const out = new Set<number>();
  lines.forEach((l, i) => holds(l) && l.depth >= depth && l.end > i && out.add(i));
  return out;
}

/** The way to a line, as JSONPath (RFC 9535). */
export function path(lines: Line[], at: number): string {
  const steps: string[] = [];
  if (lines[at]?.kind === 'close') at = lines[at]!.parent;
  for (let i = at; i >= 0 && lines[i]!.parent >= 0; i = lines[i]!.parent) {
    const l = lines[i]!;
    if (!l.key) steps.push(`[${l.index}]`);
    else {
      const name = unquote(l.key);
      steps.push(/^[A-Za-z_]\w*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`);
    }
  }
  return `$${steps.reverse().join('')}`;
}

/** What a key or a string says. */
export function unquote(key: string): string {
  try {
    return key[0] === '"' ? (JSON.parse(key) as string) : key;
  } catch {
    return key;
  }
}

/** What a line and all in it say, as indented text. */
export function textOf(lines: Line[], at: number): string {
  const l = lines[at]!;
  if (!holds(l)) return l.kind === 'string' ? unquote(l.text) : l.text;
  return print(lines, at, Math.max(l.end, at));
}

/** Lines as indented text, keys and all. */
export function print(lines: Line[], from = 0, to = lines.length - 1): string {
  const out: string[] = [];
  const base = lines[from]?.depth ?? 0;
  for (let i = from; i <= to; i++) {
    const l = lines[i]!;
    const key = i > from && l.key ? `${l.key}: ` : '';
    const text = holds(l) && l.end === i ? (l.kind === 'object' ? '{}' : '[]') : l.text;
    out.push('  '.repeat(l.depth - base) + key + text + (i < to && comma(lines, i) ? ',' : ''));
  }
  return out.join('\n');
}

/** The lines whose key or value holds a text, without case; at most limit. */
export function search(lines: Line[], what: string, limit: number): number[] {
  const out: number[] = [];
  const low = what.toLowerCase();
  if (!low) return out;
  for (let i = 0; i < lines.length && out.length < limit; i++) {
    const l = lines[i]!;
    if (l.kind !== 'close' && (l.key.toLowerCase().includes(low) || (!holds(l) && l.text.toLowerCase().includes(low)))) out.push(i);
  }
  return out;
}

/** Opens what hides a line. */
export function reveal(lines: Line[], folded: ReadonlySet<number>, at: number): Set<number> {
  const out = new Set(folded);
  for (let i = lines[at]?.parent ?? -1; i >= 0; i = lines[i]!.parent) out.delete(i);
  return out;
}
