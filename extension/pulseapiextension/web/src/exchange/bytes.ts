// What bytes are, by looking at them. Nothing here makes markup.

/** The text, or null when the bytes are not text. A cut in the middle of a character is forgiven. */
export function asText(bytes: Uint8Array, cut: boolean): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, { stream: cut });
    // eslint-disable-next-line no-control-regex
    return /[\u0000-\u0008\u000e-\u001a\u001c-\u001f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

export function toBase64(bytes: Uint8Array): string {
  let s = '';
  for (let i = 0; i < bytes.length; i += 8192) s += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(s);
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
}

/** One row of a hex dump: 16 bytes from a place. */
export function hexRow(bytes: Uint8Array, at: number): { offset: string; hex: string; chars: string } {
  const row = bytes.subarray(at, at + 16);
  const digits = Array.from(row, (b) => b.toString(16).padStart(2, '0'));
  return {
    offset: at.toString(16).padStart(6, '0'),
    hex: `${digits.slice(0, 8).join(' ').padEnd(23)}  ${digits.slice(8).join(' ').padEnd(23)}`,
    chars: Array.from(row, (b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '·')).join(''),
  };
}

const rasters: [type: string, offset: number, magic: string][] = [
  ['image/png', 0, '\x89PNG\r\n\x1a\n'],
  ['image/jpeg', 0, '\xff\xd8\xff'],
  ['image/gif', 0, 'GIF87a'],
  ['image/gif', 0, 'GIF89a'],
  ['image/webp', 8, 'WEBP'],
  ['image/avif', 4, 'ftypavif'],
  ['image/bmp', 0, 'BM'],
];
const maxImage = 16 << 20;

/** The type of a raster image, by its first bytes and never by what a header says; "" for all else, SVG included. */
export function raster(bytes: Uint8Array): string {
  if (bytes.length < 26 || bytes.length > maxImage) return '';
  const has = (at: number, magic: string) => [...magic].every((c, i) => bytes[at + i] === c.charCodeAt(0));
  for (const [type, at, magic] of rasters) {
    if (!has(at, magic)) continue;
    if (type === 'image/webp' && !has(0, 'RIFF')) continue;
    if (type === 'image/bmp' && new DataView(bytes.buffer, bytes.byteOffset).getUint32(2, true) !== bytes.length) continue;
    return type;
  }
  return '';
}

/** The fields of application/x-www-form-urlencoded. */
export function form(text: string): [string, string][] {
  return [...new URLSearchParams(text)];
}

/** A parameter of a header field such as Content-Type (RFC 9110 §5.6.6). */
export function parameter(value: string, name: string): string {
  for (const m of value.matchAll(/;\s*([^\s=;]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]*))/g)) {
    if (m[1]!.toLowerCase() === name) return m[2] === undefined ? m[3]! : m[2].replace(/\\(.)/g, '$1');
  }
  return '';
}

/** A media type without its parameters, in lower case. */
export const mediaType = (value: string) => value.split(';')[0]!.trim().toLowerCase();

export interface Part {
  headers: [string, string][];
  name: string;
  fileName: string;
  mimeType: string;
  body: Uint8Array;
}

const maxParts = 1000;

/** The parts of a multipart body (RFC 2046 §5.1); null when it is none. The last one may be cut. */
export function multipart(bytes: Uint8Array, contentType: string): Part[] | null {
  const boundary = parameter(contentType, 'boundary');
  if (!boundary || boundary.length > 200 || !mediaType(contentType).startsWith('multipart/')) return null;
  const mark = latin1Bytes(`\r\n--${boundary}`);
  const out: Part[] = [];
  // The first delimiter may be at the very start, without a line break before it.
  let at = startsWith(bytes, mark.subarray(2), 0) ? mark.length - 2 : next(bytes, mark, 0, mark.length);
  while (at >= 0 && at < bytes.length && out.length < maxParts) {
    if (bytes[at] === 0x2d && bytes[at + 1] === 0x2d) break; // the closing delimiter
    const begin = indexOf(bytes, latin1Bytes('\n'), at) + 1; // behind padding
    if (begin === 0) break;
    const stop = indexOf(bytes, mark, begin - 2);
    out.push(part(bytes.subarray(begin, stop < 0 ? bytes.length : Math.max(stop, begin))));
    if (stop < 0) break;
    at = stop + mark.length;
  }
  return out.length > 0 ? out : null;
}

function next(bytes: Uint8Array, what: Uint8Array, from: number, skip: number): number {
  const at = indexOf(bytes, what, from);
  return at < 0 ? -1 : at + skip;
}

function part(b: Uint8Array): Part {
  const headers: [string, string][] = [];
  let at = 0;
  for (;;) {
    const end = indexOf(b, latin1Bytes('\n'), at);
    if (end < 0) break;
    const line = new TextDecoder().decode(b.subarray(at, end)).replace(/\r$/, '');
    at = end + 1;
    if (line === '') break;
    const colon = line.indexOf(':');
    headers.push(colon < 0 ? [line, ''] : [line.slice(0, colon).trim(), line.slice(colon + 1).trim()]);
  }
  const get = (name: string) => headers.find(([n]) => n.toLowerCase() === name)?.[1] ?? '';
  const disposition = get('content-disposition');
  return { headers, name: parameter(disposition, 'name'), fileName: parameter(disposition, 'filename'), mimeType: get('content-type'), body: b.subarray(at) };
}

const latin1Bytes = (s: string) => Uint8Array.from(s, (c) => c.charCodeAt(0));

function startsWith(b: Uint8Array, what: Uint8Array, at: number): boolean {
  for (let i = 0; i < what.length; i++) if (b[at + i] !== what[i]) return false;
  return true;
}

function indexOf(b: Uint8Array, what: Uint8Array, from: number): number {
  for (let i = b.indexOf(what[0]!, Math.max(from, 0)); i >= 0 && i + what.length <= b.length; i = b.indexOf(what[0]!, i + 1)) {
    if (startsWith(b, what, i)) return i;
  }
  return -1;
}
