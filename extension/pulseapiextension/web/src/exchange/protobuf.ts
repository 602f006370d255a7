// Protobuf without its schema (protobuf.dev/programming-guides/encoding): fields by number, as lines of a tree. What a length-delimited
// field holds is not said by the bytes; the tree names what it took it for.
import { asText, toHex } from './bytes.ts';
import { close, type Line } from './tree.ts';

const maxDepth = 60;
const maxFields = 100_000;
const maxNumber = 536_870_911;

type Value = { wire: 0 | 1 | 5; bits: bigint } | { wire: 2; bytes: Uint8Array } | { wire: 3; fields: Field[] };
export type Field = { number: number } & Value;

class Bad extends Error {}

class Reader {
  at = 0;
  left: { fields: number };
  readonly b: Uint8Array;
  constructor(b: Uint8Array, left: { fields: number }) {
    this.b = b;
    this.left = left;
  }

  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.b[this.at++];
      if (byte === undefined) throw new Bad();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (value >> 64n) throw new Bad();
        return value;
      }
    }
    throw new Bad();
  }

  fixed(size: 4 | 8): bigint {
    if (this.at + size > this.b.length) throw new Bad();
    const view = new DataView(this.b.buffer, this.b.byteOffset + this.at, size);
    this.at += size;
    return size === 8 ? view.getBigUint64(0, true) : BigInt(view.getUint32(0, true));
  }

  /** Fields up to the end, or up to the end of a group. */
  fields(group: number, depth: number): Field[] {
    if (depth > maxDepth) throw new Bad();
    const out: Field[] = [];
    while (this.at < this.b.length) {
      if (--this.left.fields < 0) throw new Bad();
      const tag = this.varint();
      const number = Number(tag >> 3n);
      if (number < 1 || number > maxNumber) throw new Bad();
      switch (Number(tag & 7n)) {
        case 0:
          out.push({ number, wire: 0, bits: this.varint() });
          break;
        case 1:
          out.push({ number, wire: 1, bits: this.fixed(8) });
          break;
        case 2: {
          const length = this.varint();
          if (length > BigInt(this.b.length - this.at)) throw new Bad();
          out.push({ number, wire: 2, bytes: this.b.subarray(this.at, this.at + Number(length)) });
          this.at += Number(length);
          break;
        }
        case 3:
          out.push({ number, wire: 3, fields: this.fields(number, depth + 1) });
          break;
        case 4:
          if (number !== group) throw new Bad();
          return out;
        case 5:
          out.push({ number, wire: 5, bits: this.fixed(4) });
          break;
        default:
          throw new Bad();
      }
    }
    if (group) throw new Bad();
    return out;
  }
}

/** The fields of a message; null when the bytes are none. */
export function parse(bytes: Uint8Array, left = { fields: maxFields }): Field[] | null {
  try {
    return new Reader(bytes, left).fields(0, 0);
  } catch (err) {
    if (err instanceof Bad) return null;
    throw err;
  }
}

/** A message as lines of a tree; null when the bytes are none. */
export function protobufLines(bytes: Uint8Array): Line[] | null {
  const left = { fields: maxFields };
  const fields = parse(bytes, left);
  if (!fields || fields.length === 0) return null;
  const lines: Line[] = [];
  add(lines, line(-1, 0, '', 0, 'object', '{', ''), fields, left);
  lines[0]!.last = true;
  return lines;
}

function line(parent: number, depth: number, key: string, index: number, kind: Line['kind'], text: string, note: string): Line {
  return { depth, parent, key, index, kind, text, note, end: -1, size: 0, last: false };
}

function add(lines: Line[], holder: Line, fields: Field[], left: { fields: number }) {
  const at = lines.push(holder) - 1;
  const depth = holder.depth + 1;
  holder.size = fields.length;
  fields.forEach((f, i) => {
    const key = String(f.number);
    const leaf = (kind: Line['kind'], text: string, note: string) => lines.push(line(at, depth, key, i, kind, text, note));
    switch (f.wire) {
      case 0:
        leaf('number', String(f.bits), f.bits >> 63n ? `varint, int64 ${BigInt.asIntN(64, f.bits)}` : 'varint');
        break;
      case 1: {
        const view = new DataView(new ArrayBuffer(8));
        view.setBigUint64(0, f.bits);
        leaf('number', String(f.bits), `fixed64, double ${view.getFloat64(0)}`);
        break;
      }
      case 5: {
        const view = new DataView(new ArrayBuffer(4));
        view.setUint32(0, Number(f.bits));
        leaf('number', String(f.bits), `fixed32, float ${view.getFloat32(0)}`);
        break;
      }
      case 3:
        add(lines, line(at, depth, key, i, 'object', '{', 'group'), f.fields, left);
        break;
      case 2: {
        const text = asText(f.bytes, false);
        if (f.bytes.length === 0) leaf('string', '""', 'empty');
        else if (text !== null && printable(text)) leaf('string', JSON.stringify(text), 'taken for text');
        else {
          const inner = depth < maxDepth ? parse(f.bytes, left) : null;
          if (inner && inner.length > 0) add(lines, line(at, depth, key, i, 'object', '{', 'taken for a message'), inner, left);
          else leaf('bytes', toHex(f.bytes.subarray(0, 256)), f.bytes.length > 256 ? `${f.bytes.length} bytes, the first 256` : `${f.bytes.length} bytes`);
        }
      }
    }
  });
  if (fields.length === 0) holder.end = at;
  else close(lines, at, '}');
}

// eslint-disable-next-line no-control-regex
const printable = (text: string) => !/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/.test(text);
