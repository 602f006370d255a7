import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import type { Request } from '../../src/lib/api.ts';
import { loadWhole, type View } from '../../src/exchange/load.ts';
import { readRange } from '../../src/exchange/bucket.ts';
import { crc32 } from '../../src/exchange/zip.ts';

// A link and the bytes of a bucket, over HTTP. The page's addresses are relative, which node's fetch does not know.
const messages = 3000;
const har = new TextEncoder().encode(
  JSON.stringify({
    log: {
      entries: [
        {
          request: { method: 'GET', url: 'wss://h/', httpVersion: 'HTTP/1.1', headers: [], bodySize: 0 },
          response: { status: 101, statusText: '', httpVersion: 'HTTP/1.1', headers: [], bodySize: 0, content: { mimeType: '' } },
          _webSocketMessages: Array.from({ length: messages }, (_, i) => ({ type: 'send', time: i, opcode: 1, data: `${i} ${'x'.repeat(300)}`, _size: 300 })),
        },
      ],
    },
  }),
);
const name = new TextEncoder().encode('a.har');
const entry = new Uint8Array(30 + name.length + har.length);
const view = new DataView(entry.buffer);
view.setUint32(0, 0x04034b50, true);
view.setUint32(14, crc32(har), true);
view.setUint32(18, har.length, true);
view.setUint32(22, har.length, true);
view.setUint16(26, name.length, true);
entry.set(name, 30);
entry.set(har, 30 + name.length);

const head = 64 << 10;
let base = '';
const server = createServer((req, res) => {
  if (req.url!.startsWith('/api/')) {
    const url = `${base}/object`;
    return res.end(JSON.stringify({ url, range: `bytes=0-${head - 1}`, rest: { url, range: `bytes=${head}-${entry.length - 1}` }, entry: 'a.har', expires_at: new Date(Date.now() + 60_000).toISOString() }));
  }
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(req.headers.range!)!;
  // Without it: as a page sees a bucket that does not expose it.
  if (req.url === '/object') res.setHeader('Content-Range', `bytes ${first}-${last}/${entry.length}`);
  res.writeHead(206).end(entry.subarray(Number(first), Number(last) + 1));
});
const real = globalThis.fetch;
before(async () => {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  globalThis.fetch = (to, init) => real(new URL(String(to), `${base}/`), init);
});
after(() => {
  globalThis.fetch = real;
  server.close();
  server.closeAllConnections();
});

test('a part is loaded to its end', async () => {
  assert.ok(entry.length > 512 << 10, 'larger than what follows its beginning without being asked for');
  const shown: View[] = [];
  await loadWhole({ trace_id: 't', span_id: 's', payload: { state: 'sent' } } as Request, null, new AbortController().signal, (v) => shown.push(v));
  assert.deepEqual(shown.map((v) => v.kind), ['loading', 'ready']);
  const last = shown.at(-1)!;
  assert.ok(last.kind === 'ready' && last.more === null);
  assert.equal(last.exchange.items.length, messages);
});

test('a bucket that does not expose Content-Range is read', async () => {
  assert.deepEqual(await readRange(`${base}/unexposed`, 0, 29, new AbortController().signal), new Uint8Array(entry.subarray(0, 30)));
});
