import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { Feed } from '../../src/requests/feed.svelte.ts';

class Silent {
  addEventListener() {}
  close() {}
}

test('rows that come late are not those of another filter', async () => {
  // What a browser has and node lacks. Addresses are relative there.
  Object.assign(globalThis, { window: globalThis, document: { hidden: false }, EventSource: Silent });
  const held: ServerResponse[] = [];
  const row = (id: string) => ({ trace_id: id, span_id: id, time: '2026-11-24T06:00:00Z' });
  const server = createServer((req, res) => {
    const q = new URL(req.url!, 'http://x').searchParams;
    // The question after a pause begins shortly before the newest row.
    if (q.has('from')) {
      held.push(res);
      server.emit('held');
    } else if (q.get('filter') === 'a') res.end(JSON.stringify({ requests: [row('a')] }));
    else {
      held.push(res);
      server.emit('next');
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const real = globalThis.fetch;
  globalThis.fetch = (to, init) => real(new URL(String(to), `http://127.0.0.1:${(server.address() as AddressInfo).port}/`), init);
  const settled = async (f: () => boolean) => {
    while (!f()) await new Promise((done) => setTimeout(done, 5));
  };
  try {
    const feed = new Feed();
    feed.show({ filter: 'a', from: '', to: '' }, true);
    await settled(() => feed.loaded && !feed.loading);
    feed.live = false;
    const asked = once(server, 'held');
    feed.live = true;
    await asked;
    const next = once(server, 'next');
    feed.show({ filter: 'b', from: '', to: '' }, true);
    await next;
    assert.equal(feed.problem, null, 'a question that was given up is no trouble');
    held[0]!.end(JSON.stringify({ requests: [row('a'), row('a2')] }));
    held[1]!.end(JSON.stringify({ requests: [row('b')] }));
    await settled(() => !feed.loading);
    assert.deepEqual(feed.rows.map((r) => r.span_id), ['b']);
    feed.end();
  } finally {
    globalThis.fetch = real;
    server.close();
    server.closeAllConnections();
  }
});
