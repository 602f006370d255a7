// Turns the bytes of a body into something to look at. Nothing here makes markup: every result
// is text, or a data: URL of a raster image.
import { unpack } from './codings.ts';

const maxDecoded = 16 << 20;

export interface Decoded {
  bytes: Uint8Array;
  note: string; // what could not be done, "" when all is well
}

/** Undoes the content codings, up to a bound. */
export async function decode(body: Uint8Array, contentEncoding: string, truncated: boolean): Promise<Decoded> {
  let bytes = body;
  const codings = contentEncoding.toLowerCase().split(',').map((s) => s.trim()).filter((s) => s && s !== 'identity');
  for (const coding of codings.reverse()) {
    const best = await unpack(bytes, coding, maxDecoded);
    if (!best) return { bytes, note: `Shown as sent: ${coding} is not a coding this page knows.` };
    if (best.bytes.length === 0 && !best.complete) {
      return { bytes, note: truncated ? `Shown as sent: so little of a ${coding} body cannot be decoded.` : `Shown as sent: this is not valid ${coding}.` };
    }
    bytes = best.bytes;
    if (!best.complete && bytes.length >= maxDecoded) return { bytes, note: 'Decoded up to 16 MiB; the rest is not shown.' };
    if (!best.complete && !truncated) return { bytes, note: `The ${coding} data ends early; what could be decoded is shown.` };
  }
  return { bytes, note: '' };
}

/** The text, or null when the bytes are not text. A cut in the middle of a character is forgiven. */
export function asText(bytes: Uint8Array, cut: boolean): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: cut });
    // eslint-disable-next-line no-control-regex
    return /[\u0000-\u0008\u000e-\u001a\u001c-\u001f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

export interface Token {
  kind: 'key' | 'string' | 'number' | 'word' | 'mark';
  text: string;
}

const jsonToken = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[[\]{},:]/g;
const maxTokens = 40_000;

/** Indented JSON as tokens, or null when the text is not JSON. Numbers and strings stay as written. */
export function prettyJson(text: string): Token[] | null {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  const out: Token[] = [];
  const raw = text.match(jsonToken) ?? [];
  if (raw.length > maxTokens) return null;
  let depth = 0;
  const mark = (t: string) => out.push({ kind: 'mark', text: t });
  const line = () => `\n${'  '.repeat(depth)}`;
  raw.forEach((t, i) => {
    switch (t) {
      case '{':
      case '[':
        if (raw[i + 1] === '}' || raw[i + 1] === ']') mark(t);
        else {
          depth++;
          mark(t + line());
        }
        break;
      case '}':
      case ']':
        if (raw[i - 1] === '{' || raw[i - 1] === '[') mark(t);
        else {
          depth--;
          mark(line() + t);
        }
        break;
      case ',':
        mark(',' + line());
        break;
      case ':':
        mark(': ');
        break;
      default:
        if (t[0] === '"') out.push({ kind: raw[i + 1] === ':' ? 'key' : 'string', text: t });
        else out.push({ kind: /^[tfn]/.test(t) ? 'word' : 'number', text: t });
    }
  });
  return out;
}

/** The fields of application/x-www-form-urlencoded. */
export function form(text: string): [string, string][] {
  return [...new URLSearchParams(text)];
}

const rows = 4096;

export function hex(bytes: Uint8Array): { text: string; cut: boolean } {
  const lines: string[] = [];
  const n = Math.min(bytes.length, rows * 16);
  for (let i = 0; i < n; i += 16) {
    const row = bytes.subarray(i, Math.min(i + 16, n));
    const digits = [...row].map((b) => b.toString(16).padStart(2, '0'));
    const left = digits.slice(0, 8).join(' ');
    const right = digits.slice(8).join(' ');
    const chars = [...row].map((b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '·')).join('');
    lines.push(`${i.toString(16).padStart(6, '0')}  ${left.padEnd(23)}  ${right.padEnd(23)}  ${chars}`);
  }
  return { text: lines.join('\n'), cut: n < bytes.length };
}

const rasters = ['image/png', 'image/jpeg', 'image/gif', 'image/webp', 'image/avif'];

/** A data: URL for a raster image; null for anything else, SVG included. */
export function imageUrl(bytes: Uint8Array, mimeType: string): string | null {
  const type = mimeType.split(';')[0]!.trim().toLowerCase();
  if (!rasters.includes(type) || bytes.length > 4 << 20) return null;
  let s = '';
  for (let i = 0; i < bytes.length; i += 8192) s += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return `data:${type};base64,${btoa(s)}`;
}
