import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diff, diffPairs } from '../../src/exchange/diff.ts';
import { objectUrl, presign } from '../../src/exchange/sigv4.ts';

test('the signature that AWS publishes', async () => {
  // Amazon S3 API Reference, Authenticating Requests: Using Query Parameters.
  const keys = { accessKey: 'AKIAIOSFODNN7EXAMPLE', secretKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', sessionToken: '' };
  const url = await presign('https://examplebucket.s3.amazonaws.com/test.txt', 'us-east-1', keys, 86400, new Date('2013-05-24T00:00:00Z'));
  assert.equal(url, 'https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404');
});

test('temporary keys, and odd keys of objects', async () => {
  const at = new Date('2026-11-24T00:00:00Z');
  const url = await presign('https://b.example/x', 'eu-central-1', { accessKey: 'a', secretKey: 'b', sessionToken: 'to/ken+' }, 60, at);
  assert.match(url, /&X-Amz-Security-Token=to%2Fken%2B&X-Amz-SignedHeaders=host&/, 'sorted by name');
  assert.equal(objectUrl('http://h:1/bucket/', "a b/(c)'*!é/x.zip"), 'http://h:1/bucket/a%20b/%28c%29%27%2A%21%C3%A9/x.zip');
});

test('lines', () => {
  const show = (a: string, b: string) => diff([...a], [...b]).lines.map((l) => ({ same: ' ', left: '-', right: '+' })[l.change] + l.text).join('');
  assert.equal(show('abc', 'abc'), ' a b c');
  assert.equal(show('', 'ab'), '+a+b');
  assert.equal(show('abcabba', 'cbabac').length, 18);
  assert.equal(show('axc', 'ayc'), ' a-x+y c');
  assert.deepEqual(diff(['a', 'b'], ['b']).lines, [{ change: 'left', text: 'a', left: 1, right: 0 }, { change: 'same', text: 'b', left: 2, right: 1 }]);
  assert.equal(diff(Array.from({ length: 4000 }, (_, i) => `a${i}`), Array.from({ length: 4000 }, (_, i) => `b${i}`)).whole, false, 'too different: bounded');
});

test('whatever is compared, both sides come out', () => {
  let seed = 5;
  const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
  for (let i = 0; i < 3000; i++) {
    const a = Array.from({ length: random(12) }, () => 'abc'[random(3)]!);
    const b = Array.from({ length: random(12) }, () => 'abc'[random(3)]!);
    const { lines } = diff(a, b);
    assert.deepEqual(lines.filter((l) => l.change !== 'right').map((l) => l.text), a);
    assert.deepEqual(lines.filter((l) => l.change !== 'left').map((l) => l.text), b);
    lines.forEach((l) => l.change === 'same' && assert.equal(a[l.left - 1], b[l.right - 1]));
  }
});

test('headers', () => {
  const p = (name: string, value: string) => ({ name, value });
  assert.deepEqual(diffPairs([p('A', '1'), p('x', '1'), p('x', '2'), p('gone', '')], [p('x', '1'), p('a', '1'), p('X', '3'), p('new', 'n')]), [
    { name: 'A', change: 'same', left: '1', right: '1' }, { name: 'x', change: 'same', left: '1', right: '1' }, { name: 'x', change: 'changed', left: '2', right: '3' },
    { name: 'gone', change: 'left', left: '', right: '' }, { name: 'new', change: 'right', left: '', right: 'n' },
  ]);
});
