// Which ways there are to look at a body, the best first.
import { unpack } from './codings.ts';
import { asText, form, mediaType, multipart, raster, type Part } from './bytes.ts';
import { events, jsonSequence } from './events.ts';
import { framed, frames } from './frames.ts';
import type { Item, Message } from './har.ts';
import { header } from './har.ts';
import { protobufLines } from './protobuf.ts';
import { jsonLines, type Line } from './tree.ts';

const maxDecoded = 16 << 20;
const maxTree = 8 << 20; // characters of JSON

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

export type View =
  | { name: 'JSON'; lines: Line[] }
  | { name: 'Fields'; lines: Line[] } // of protobuf
  | { name: 'Form'; fields: [string, string][] }
  | { name: 'Parts'; parts: Part[] }
  | { name: 'Messages'; items: Item[]; rest: number }
  | { name: 'Image'; type: string }
  | { name: 'Text'; text: string }
  | { name: 'Hex' };

/** What bytes of a type can be looked at as. truncated: the end is missing. */
export function look(bytes: Uint8Array, mimeType: string, truncated: boolean): View[] {
  const out: View[] = [];
  const type = mediaType(mimeType);
  const text = asText(bytes, truncated);
  if (/^application\/(x-)?(protobuf|proto|vnd\.google\.protobuf)\b/.test(type)) {
    const lines = protobufLines(bytes);
    if (lines) out.push({ name: 'Fields', lines });
  }
  const parts = multipart(bytes, mimeType);
  if (parts) out.push({ name: 'Parts', parts });
  const image = raster(bytes);
  if (image) out.push({ name: 'Image', type: image });
  if (text !== null) {
    if (text.length <= maxTree && /^\s*(?:[[{"]|-?\d|true|false|null)/.test(text)) {
      // A word or a number alone is JSON too, where the type says so.
      const lines = /^\s*[[{]/.test(text) || /json/.test(type) ? jsonLines(text) : null;
      if (lines) out.push({ name: 'JSON', lines });
    }
    if (type === 'application/x-www-form-urlencoded') out.push({ name: 'Form', fields: form(text) });
    if (type === 'text/event-stream') {
      const items = events(text).map((e): Item => item(e.data, e.event, e.id ? `id ${e.id}` : ''));
      if (items.length > 0) out.push({ name: 'Messages', items, rest: 0 });
    } else if (out.length === 0 || /ndjson|jsonl|json-seq|stream\+json/.test(type)) {
      const lines = text.length <= maxTree ? jsonSequence(text, truncated) : null;
      if (lines) out.unshift({ name: 'Messages', items: lines.map((l) => item(l, 'line', '')), rest: 0 });
    }
    out.push({ name: 'Text', text });
  }
  return [...out, { name: 'Hex' }];
}

function item(text: string, kind: string, note: string): Item {
  return { time: 0, from: 'server', kind, bytes: new TextEncoder().encode(text), note };
}

/** The frames of a body of gRPC as messages, with their compression undone. */
export async function frameItems(bytes: Uint8Array, message: Message, from: 'client' | 'server'): Promise<View | null> {
  if (!framed(message.mimeType)) return null;
  const { frames: all, rest } = frames(bytes, message.mimeType);
  const coding = header(message.headers, 'grpc-encoding') || header(message.headers, 'connect-content-encoding');
  const items: Item[] = [];
  let left = maxDecoded; // for all of them together
  for (const f of all) {
    const notes: string[] = [];
    let data = f.data;
    if (f.data.length < f.size) notes.push(`${f.data.length} of ${f.size} bytes were kept`);
    if (f.compressed) {
      const r = await unpack(f.data, coding.toLowerCase(), Math.max(left, 1));
      if (r && (r.complete || r.bytes.length > 0)) {
        data = r.bytes;
        left -= data.length;
        notes.push(r.complete ? coding : `${coding}, decoded in part`);
      } else notes.push(`still compressed by ${coding || 'an unknown coding'}`);
    }
    items.push({ time: 0, from, kind: f.trailer ? 'trailers' : 'message', bytes: data, note: notes.join(', ') });
  }
  return items.length > 0 ? { name: 'Messages', items, rest } : null;
}

/** The type of the messages in a body, for looking at each. */
export function innerType(mimeType: string): string {
  const type = mediaType(mimeType);
  if (!framed(type)) return '';
  return /\+json$/.test(type) ? 'application/json' : 'application/protobuf';
}
