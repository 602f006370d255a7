import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asText, hexRow, mediaType, multipart, parameter, raster } from '../../src/exchange/bytes.ts';
import { assemble, events, jsonSequence } from '../../src/exchange/events.ts';
import { framed, frames } from '../../src/exchange/frames.ts';
import { parse, protobufLines } from '../../src/exchange/protobuf.ts';
import { print } from '../../src/exchange/tree.ts';

const bytes = (s: string) => Uint8Array.from(s, (c) => c.charCodeAt(0));
const hex = (s: string) => Uint8Array.from(s.replaceAll(' ', '').match(/../g) ?? [], (h) => parseInt(h, 16));

test('text', () => {
  assert.equal(asText(bytes('caf\xc3\xa9'), false), 'café');
  assert.equal(asText(bytes('caf\xc3'), false), null);
  assert.equal(asText(bytes('caf\xc3'), true), 'caf');
  assert.equal(asText(bytes('a\0'), false), null);
  assert.equal(asText(bytes('\xef\xbb\xbfa'), false), '\ufeffa', 'a byte order mark stays');
});

test('a row of hex', () => {
  assert.deepEqual(hexRow(bytes('0123456789abcdefX\n'), 16), { offset: '000010', hex: '58 0a                                           ', chars: 'X·' });
});

test('raster images by their bytes only', () => {
  const pad = '\0'.repeat(40);
  assert.equal(raster(bytes(`\x89PNG\r\n\x1a\n${pad}`)), 'image/png');
  assert.equal(raster(bytes(`RIFF\0\0\0\0WEBP${pad}`)), 'image/webp');
  assert.equal(raster(bytes(`XIFF\0\0\0\0WEBP${pad}`)), '');
  for (const other of [`<svg xmlns="http://www.w3.org/2000/svg">${pad}`, `<?xml version="1.0"?>${pad}`, `<html>${pad}`, `%PDF-1.7${pad}`, `BMx${pad}`, 'GIF89a']) assert.equal(raster(bytes(other)), '');
});

test('parameters of a header', () => {
  assert.equal(parameter('multipart/form-data; charset=x; Boundary="a;\\"b"', 'boundary'), 'a;"b');
  assert.equal(parameter('multipart/form-data; boundary=xyz ', 'boundary'), 'xyz');
  assert.equal(parameter('text/plain', 'boundary'), '');
  assert.equal(mediaType('Text/HTML ;charset=x'), 'text/html');
});

test('multipart', () => {
  const type = 'multipart/form-data; boundary=B';
  const body = 'preamble\r\n--B\r\nContent-Disposition: form-data; name="a"\r\n\r\none\r\n--B  \r\ncontent-disposition: form-data; name=f; filename="x.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n--C\r\n--B--\r\nepilogue';
  const parts = multipart(bytes(body), type)!;
  assert.deepEqual(parts.map((p) => [p.name, p.fileName, p.mimeType, String.fromCharCode(...p.body)]), [['a', '', '', 'one'], ['f', 'x.png', 'image/png', '\x89PNG\r\n--C']]);
  assert.equal(multipart(bytes('--B\r\n\r\ncut'), type)![0]!.body.length, 3, 'the last one may be cut');
  assert.equal(multipart(bytes('--B\r\n\r\n\r\n--B--'), type)![0]!.body.length, 0);
  assert.equal(multipart(bytes('no delimiter'), type), null);
  assert.equal(multipart(bytes('--B--'), type), null);
  assert.equal(multipart(bytes('--B\r\n\r\nx'), 'text/plain; boundary=B'), null);
});

test('protobuf without its schema', () => {
  // protobuf.dev: {1: 150}, {2: "testing"}, {3: {1: 150}}
  assert.equal(print(protobufLines(hex('08 96 01 12 07 74 65 73 74 69 6e 67 1a 03 08 96 01'))!), '{\n  1: 150,\n  2: "testing",\n  3: {\n    1: 150\n  }\n}');
  assert.equal(print(protobufLines(hex('08 ff ff ff ff ff ff ff ff ff 01'))!), '{\n  1: 18446744073709551615\n}');
  assert.equal(protobufLines(hex('08 ff ff ff ff ff ff ff ff ff 01'))![1]!.note, 'varint, int64 -1');
  assert.equal(protobufLines(hex('0d 00 00 80 3f'))![1]!.note, 'fixed32, float 1');
  assert.equal(protobufLines(hex('09 00 00 00 00 00 00 f0 3f'))![1]!.note, 'fixed64, double 1');
  assert.equal(print(protobufLines(hex('0b 10 01 0c'))!), '{\n  1: {\n    2: 1\n  }\n}', 'a group');
  assert.equal(print(protobufLines(hex('0a 02 ff fe'))!), '{\n  1: fffe\n}', 'bytes');
  for (const bad of ['00', '08', '0a 05 00', '07', '0c', '0b 10 01', 'f8 ff ff ff ff ff ff ff ff ff ff 01 00', '08 ff ff ff ff ff ff ff ff ff 7f']) assert.equal(parse(hex(bad)), null, bad);
});

test('hostile protobuf ends', () => {
  let nested = new Uint8Array([8, 1]);
  for (let i = 0; i < 200; i++) nested = Uint8Array.from([0x0a, ...varint(nested.length), ...nested]);
  assert.ok(protobufLines(nested));
  assert.equal(protobufLines(new Uint8Array(1000).fill(0x0b)), null, 'groups in groups');
  let seed = 3;
  const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
  for (let i = 0; i < 3000; i++) {
    const b = Uint8Array.from({ length: random(60) }, () => random(4) ? random(40) : random(256));
    const lines = protobufLines(b);
    if (lines) for (const [k, l] of lines.entries()) assert.ok(l.kind === 'close' || l.parent < k);
    frames(b, 'application/grpc');
    multipart(b, 'multipart/x; boundary=\n');
    events(new TextDecoder().decode(b));
  }
  function varint(n: number) {
    const out = [];
    for (; n > 127; n >>= 7) out.push((n & 127) | 128);
    return [...out, n];
  }
});

test('frames', () => {
  const body = hex('00 00 00 00 02 08 01  01 00 00 00 01 ff  00 00 00 00 09 aa');
  const { frames: all, rest } = frames(body, 'application/grpc+proto');
  assert.deepEqual(all.map((f) => [f.compressed, f.trailer, f.size, f.data.length]), [[false, false, 2, 2], [true, false, 1, 1], [false, false, 9, 1]]);
  assert.equal(rest, 0);
  assert.equal(frames(hex('80 00 00 00 00'), 'application/grpc').rest, 5, 'no such flag in gRPC');
  assert.equal(frames(hex('80 00 00 00 01 61'), 'application/grpc-web+proto').frames[0]!.trailer, true);
  assert.equal(frames(bytes('AAAAAAEB'), 'application/grpc-web-text').frames[0]!.data[0], 1);
  assert.equal(frames(hex('02 00 00 00 02 7b 7d'), 'application/connect+json').frames[0]!.trailer, true);
  assert.deepEqual(['application/grpc', 'application/grpc+json; x=y', 'application/connect+proto', 'application/grpcx', 'application/json'].map(framed), [true, true, true, false, false]);
});

test('events', () => {
  assert.deepEqual(events('\ufeffdata: a\ndata:b\r\n: comment\rid: 7\revent: tick\r\rdata\n\nid: \0\ndata: cut'), [
    { event: 'tick', id: '7', data: 'a\nb' }, { event: 'message', id: '7', data: '' },
  ]);
  assert.deepEqual(jsonSequence('{"a":1}\n\n[2]\n', false), ['{"a":1}', '[2]']);
  assert.equal(jsonSequence('{"a":1}', false), null, 'one is not a sequence');
  assert.equal(jsonSequence('{"a":1}\n{"b', false), null);
  assert.deepEqual(jsonSequence('{"a":1}\n{"b', true), ['{"a":1}', '{"b']);
});

test('what a model wrote', () => {
  const openai = ['{"choices":[{"delta":{"content":"Hel"}}]}', '{"choices":[{"delta":{"content":"lo"}}]}', '{"choices":[{"delta":{}}]}', '[DONE]'];
  assert.equal(assemble(openai), 'Hello');
  assert.equal(assemble(['{"type":"message_start"}', '{"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}']), 'Hi');
  assert.equal(assemble(['{"type":"response.output_text.delta","delta":"Ho"}']), 'Ho');
  assert.equal(assemble(['{"candidates":[{"content":{"parts":[{"text":"Hu"}]}}]}']), 'Hu');
  assert.equal(assemble(['{"message":{"content":"Ha"},"done":false}', '{"response":"!","done":true}']), 'Ha!');
  assert.equal(assemble(['{"text":"other"}', 'null', '{', '{"choices":[null]}']), '');
});
