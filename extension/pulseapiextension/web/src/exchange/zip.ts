// Reads one entry of a ZIP by its own bytes: a link is for these and no others.
// Format: PKWARE APPNOTE 6.3.10. ZIP64 is not needed: segments are far below 4 GiB.

import { sealedSuffix } from '../lib/age.ts';
import { inflate } from '../lib/inflate.ts';

export class ZipError extends Error {}
/** The archive is sound but has no such entry. */
export class NoEntry extends ZipError {}

const maxEntry = 256 << 20;

/** Reads the bytes of one entry, from its local header to its end. Its sizes stand there: our segments have no data descriptors. */
export async function readLocal(raw: Uint8Array, name: string): Promise<Uint8Array> {
  const view = viewOf(raw);
  if (raw.length < 30 || view.getUint32(0, true) !== 0x04034b50 || view.getUint16(6, true) & 8) throw new ZipError('the entry is damaged');
  const nameLen = view.getUint16(26, true);
  if (!named(raw.subarray(30, 30 + nameLen), name)) throw new NoEntry(`no entry ${name}`);
  return unpack(raw, { method: view.getUint16(8, true), crc: view.getUint32(14, true), packed: view.getUint32(18, true), size: view.getUint32(22, true) });
}

/** Reads the beginning of one entry, as far as the bytes go. Nothing proves it: the checksum is of the whole. */
export async function readHead(raw: Uint8Array, name: string): Promise<Uint8Array> {
  const view = viewOf(raw);
  if (raw.length < 30 || view.getUint32(0, true) !== 0x04034b50 || view.getUint16(6, true) & 8) throw new ZipError('the entry is damaged');
  const nameLen = view.getUint16(26, true);
  const at = 30 + nameLen + view.getUint16(28, true);
  if (!named(raw.subarray(30, 30 + nameLen), name)) throw new NoEntry(`no entry ${name}`);
  const packed = raw.subarray(at);
  const method = view.getUint16(8, true);
  if (method === 0) return packed;
  if (method !== 8) throw new ZipError(`the entry is packed by method ${method}`);
  return (await inflate(packed, 'deflate-raw', Math.min(view.getUint32(22, true), maxEntry))).bytes;
}

/** Whether an entry is the wanted one, encrypted or not. */
function named(raw: Uint8Array, name: string): boolean {
  const text = new TextDecoder().decode(raw);
  return text === name || text === name + sealedSuffix;
}

interface Packed {
  method: number;
  crc: number;
  packed: number;
  size: number;
}

function viewOf(b: Uint8Array): DataView {
  return new DataView(b.buffer, b.byteOffset, b.byteLength);
}

async function unpack(raw: Uint8Array, e: Packed): Promise<Uint8Array> {
  const view = viewOf(raw);
  if (raw.length < 30 || view.getUint32(0, true) !== 0x04034b50) throw new ZipError('the entry is damaged');
  const at = 30 + view.getUint16(26, true) + view.getUint16(28, true);
  const packed = raw.subarray(at, at + e.packed);
  if (packed.length !== e.packed || e.size > maxEntry) throw new ZipError('the entry is cut');
  let out: Uint8Array;
  if (e.method === 0) out = packed;
  else if (e.method === 8) {
    const r = await inflate(packed, 'deflate-raw', e.size);
    if (!r.complete) throw new ZipError('the entry does not inflate');
    out = r.bytes;
  } else throw new ZipError(`the entry is packed by method ${e.method}`);
  if (out.length !== e.size || crc32(out) !== e.crc) throw new ZipError('the checksum of the entry does not match');
  return out;
}

const table = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

export function crc32(b: Uint8Array): number {
  let c = ~0;
  for (const byte of b) c = (c >>> 8) ^ table[(c ^ byte) & 0xff]!;
  return ~c >>> 0;
}
