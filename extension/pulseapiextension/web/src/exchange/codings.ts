// Undoes a content coding, as far as the bytes go. What the browser cannot do, a small library does, loaded when a body
// needs it: neither WebAssembly nor eval, which this page's content security policy forbids.
import { inflate } from '../lib/inflate.ts';

export interface Unpacked {
  bytes: Uint8Array;
  complete: boolean; // everything, and no error
}

const native: Record<string, string[]> = { gzip: ['gzip'], 'x-gzip': ['gzip'], deflate: ['deflate', 'deflate-raw'], br: ['brotli'], zstd: ['zstd'] };

/** Decodes up to limit bytes; null for a coding that is not known. */
export async function unpack(packed: Uint8Array, coding: string, limit: number): Promise<Unpacked | null> {
  const formats = native[coding];
  if (!formats) return null;
  let best: Unpacked | null = null;
  for (const format of formats) {
    try {
      const r = await inflate(packed, format, limit);
      if (!best || r.bytes.length > best.bytes.length) best = r;
      if (r.complete) break;
    } catch {
      // the constructor throws for a format that the browser does not have
    }
  }
  if (best) return best;
  const out = new Output(limit);
  let complete = false;
  try {
    if (coding === 'br') {
      const { BrotliDecompress } = await import('brotli-decode');
      BrotliDecompress(new Input(packed), out);
    } else {
      const { Decompress } = await import('fzstd');
      new Decompress((b) => out.write(b, b.length)).push(packed, true);
    }
    complete = true;
  } catch {
    // what was decoded before the error is still of use
  }
  return { bytes: out.bytes(), complete };
}

/** What brotli reads from. */
class Input {
  private pos = 0;
  private readonly b: Uint8Array;
  constructor(b: Uint8Array) {
    this.b = b;
  }
  read(to: Uint8Array, at: number, count: number): number {
    const piece = this.b.subarray(this.pos, this.pos + count);
    to.set(piece, at);
    this.pos += piece.length;
    return piece.length;
  }
}

/** Collects up to limit bytes, and then throws: a small body can claim to hold any amount. */
class Output {
  readonly buffer = { length: Infinity }; // brotli allocates one of its own when this is too short
  private readonly limit: number;
  private parts: Uint8Array[] = [];
  private length = 0;
  constructor(limit: number) {
    this.limit = limit;
  }
  write(b: Uint8Array, count: number): number {
    const piece = b.slice(0, Math.min(count, this.limit - this.length));
    this.parts.push(piece);
    this.length += piece.length;
    if (piece.length < count) throw new Error('too large');
    return count;
  }
  bytes(): Uint8Array {
    const all = new Uint8Array(this.length);
    let p = 0;
    for (const part of this.parts) {
      all.set(part, p);
      p += part.length;
    }
    return all;
  }
}
