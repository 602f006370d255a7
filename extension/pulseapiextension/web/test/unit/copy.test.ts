import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { asCurl, asFetch, asHar, asHttpie, asRaw, CannotCopy, quote } from '../../src/exchange/copy.ts';
import { cleanCopy, withParts } from '../../src/exchange/export.ts';
import { complete, parseHar, type Entry } from '../../src/exchange/har.ts';
import { cleanBody, cleanEntry, cleanQuery, cleanText, cleanUrl, cleanValue, secretive } from '../../src/exchange/sanitise.ts';

const entry = (change: Partial<Entry['request']> = {}): Entry => ({
  startedDateTime: '2026-11-24T06:01:02.123456789Z',
  request: {
    method: 'POST', url: 'https://api.example/v1/x?q=1&token=abc', httpVersion: 'HTTP/1.1', bodySize: 9, _target: '/v1/x?q=1&token=abc',
    cookies: [{ name: 'sid', value: 'cookie-secret' }], queryString: [{ name: 'q', value: '1' }, { name: 'token', value: 'abc' }],
    headers: [
      { name: 'Host', value: 'api.example' }, { name: 'Authorization', value: 'Bearer very-secret-1' }, { name: 'Cookie', value: 'sid=cookie-secret' }, { name: 'X-Api-Key', value: 'k-secret' },
      { name: 'Content-Type', value: 'application/json' }, { name: 'Content-Length', value: '9' }, { name: 'X-Note', value: "it's" },
    ],
    postData: { mimeType: 'application/json', text: '{"a":"b\'c","password":"p-secret"}' },
    ...change,
  },
  response: {
    status: 200, statusText: 'OK', httpVersion: 'HTTP/1.1', bodySize: 3, cookies: [{ name: 's', value: 'set-secret' }], headers: [{ name: 'Set-Cookie', value: 's=set-secret' }],
    content: { mimeType: 'text/plain', text: 'key AKIAIOSFODNN7EXAMPLE.' },
  },
});

test('a shell gets back what was quoted', () => {
  const all = ['plain', '', "it's", '$(touch /tmp/x)`id`', 'a\nb', '\x1b]0;owned\x07', '\u202edesrever', '\t!x\\n\\', '\u009b31m', '"$HOME"', '-rf', '\x7f0f', "';id;'", 'ä漢👩', '\\x41', '#!', "\n'\\''", "\n';id;'", "x'\n;id #", '=id', 'a\n\n', "\x1b'\n!!", '%s\x07%d', '\r\n'];
  for (const text of all) {
    const quoted = quote(text);
    assert.doesNotMatch(quoted, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/, JSON.stringify(quoted));
    for (const shell of ['bash', 'dash']) assert.equal(execFileSync(shell, ['-c', `printf %s ${quoted}`], { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C.UTF-8' } }), text, `${shell}: ${quoted}`);
  }
  assert.throws(() => quote('a\0'), CannotCopy);
});

test('cURL, as its own parser reads it', () => {
  const text = asCurl(entry());
  assert.equal(text, `curl 'https://api.example/v1/x?q=1&token=abc' \\
  --header 'Authorization: Bearer very-secret-1' \\
  --header 'Cookie: sid=cookie-secret' \\
  --header 'X-Api-Key: k-secret' \\
  --header 'Content-Type: application/json' \\
  --header 'X-Note: it'\\''s' \\
  --data-raw '{"a":"b'\\''c","password":"p-secret"}'`);
  assert.match(asCurl(entry({ method: 'PUT' })), /--request PUT/);
  assert.match(asCurl(entry({ method: 'GET', postData: undefined })), /^curl (?!.*--request)/s);
  assert.match(asCurl(entry({ url: 'https://api.example/{1..9}/../x' })), /--globoff[^]*--path-as-is/);
  for (const form of [asCurl, asHttpie]) for (const method of ['-K/etc/x', '--output=x', 'a b', '']) assert.throws(() => form(entry({ method })), CannotCopy, method);
  for (const form of [asCurl, asHttpie]) assert.throws(() => form(entry({ headers: [{ name: 'X', value: 'a\nb' }] })), CannotCopy);
  assert.match(asCurl(entry({ headers: [{ name: 'X-Empty', value: '' }] })), /--header 'X-Empty;'/);
  assert.doesNotMatch(asCurl(entry({ headers: [{ name: '-K', value: 'x' }, { name: '@/etc/passwd', value: 'x' }, { name: 'a b', value: 'x' }] })), /--header/, 'only names that are names');
  assert.match(asCurl(entry({ postData: { mimeType: 'x/y', text: 'AP8=', _encoding: 'base64', _truncated: true } })), /^# The body was kept in part\.\nprintf %s AP8= \| base64 -d \| curl [^]*--data-binary @-$/);
  for (const form of [asCurl, asFetch, asHttpie]) assert.throws(() => form(entry({ url: 'file:///etc/passwd' })), CannotCopy);
});

test('fetch is code that runs', async () => {
  const hostile = entry({ headers: [{ name: 'x', value: '1' }, { name: 'X', value: '"\u2028\u202e</script>' }] });
  const text = asFetch(hostile);
  assert.doesNotMatch(text, /[\u2028\u202e]/);
  const run = new Function('fetch', `return (async () => { ${text} })()`);
  let got: unknown[] = [];
  await run((...args: unknown[]) => (got = args));
  assert.deepEqual(got, ['https://api.example/v1/x?q=1&token=abc', { method: 'POST', headers: [['x', '1'], ['X', '"\u2028\u202e</script>']], body: hostile.request.postData!.text }]);
  await run; // eslint
  await new Function('fetch', `return (async () => { ${asFetch(entry({ postData: { mimeType: '', text: 'AP8=', _encoding: 'base64' } }))} })()`)((...args: unknown[]) => (got = args));
  assert.deepEqual((got[1] as { body: unknown }).body, Uint8Array.of(0, 255));
});

test('a shell, curl and a server get what was captured', async () => {
  let got: { method?: string | undefined; url?: string | undefined; headers: string[]; body: string } | undefined;
  const server = createServer((req, res) => {
    let body = '';
    req.setEncoding('utf8').on('data', (d: string) => (body += d)).on('end', () => {
      got = { method: req.method, url: req.url, headers: req.rawHeaders, body };
      res.end();
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  try {
    const body = `@/etc/hostname\n'; id; '\x1b[31m\t$(id)!!\\n`;
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/[1-3]/{a,b}?q=1`;
    for (const shell of ['bash', 'dash']) {
      got = undefined;
      await promisify(execFile)(shell, ['-c', asCurl(entry({ url, method: 'PUT', headers: [{ name: 'X-File', value: '@/etc/hostname' }, { name: 'X-Eq', value: '=@/etc/hostname' }, { name: 'X-E', value: '' }], postData: { mimeType: '', text: body } }))], { env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8' } });
      assert.equal(got!.method, 'PUT');
      assert.equal(got!.url, '/[1-3]/{a,b}?q=1');
      assert.equal(got!.body, body, shell);
      for (const [name, value] of [['X-File', '@/etc/hostname'], ['X-Eq', '=@/etc/hostname'], ['X-E', '']]) assert.equal(got!.headers[got!.headers.indexOf(name!) + 1], value);
    }
  } finally {
    server.close();
  }
});

test('nothing captured becomes an option or a file of HTTPie', () => {
  const one = (value: string) => asHttpie(entry({ headers: [{ name: 'X', value }], postData: undefined })).split('\n').at(-1)!.trim();
  assert.deepEqual(['@/etc/passwd', '=@/etc/passwd', '=1', 'a=@b', '', ' '].map(one), ["'X:\\@/etc/passwd'", "'X:\\=@/etc/passwd'", "'X:\\=1'", 'X:a=@b', "'X;'", "'X;'"]);
  assert.equal(one('a\\b\\\\=c'), "'X:a\\b\\\\=c'");
  assert.throws(() => one('a\\=c'), CannotCopy, 'HTTPie would take the backslash away');
  assert.doesNotMatch(asHttpie(entry({ headers: [{ name: '--output', value: '/tmp/x' }] })), /output/);
  assert.throws(() => asHttpie(entry({ method: 'evil.example' })), CannotCopy, 'HTTPie would take it for the URL');
  assert.match(asHttpie(entry({ postData: { mimeType: '', text: '--output=x' } })), / --raw=--output=x$/);
});

test('a comment holds no captured word', () => {
  for (const form of [asCurl, asFetch, asHttpie]) {
    const text = form(entry({ headers: [{ name: 'a\nid', value: '' }], postData: { mimeType: '', _leftOut: 'x\nid;\u2028id' } }));
    assert.match(text, /^(#|\/\/) The body is left out\.\n(#|\/\/) Header fields/);
    assert.doesNotMatch(text, /id;|\u2028/);
  }
});

test('HTTPie, raw, HAR', () => {
  assert.match(asHttpie(entry({ headers: [{ name: 'X-File', value: '@/etc/passwd' }, { name: 'E', value: '' }] })), /^http --ignore-stdin POST \\\n {2}'https:[^]*'X-File:\\@\/etc\/passwd' \\\n {2}'E;' \\\n {2}'--raw=/);
  assert.match(asRaw(entry()), /^POST \/v1\/x\?q=1&token=abc HTTP\/1\.1\nHost: api\.example\n[^]*\n\n\{"a"[^]*HTTP\/1\.1 200 OK\nSet-Cookie: s=set-secret\n\nkey /);
  const har = JSON.parse(asHar([entry()], 'c'));
  assert.equal(har.log.version, '1.2');
  assert.deepEqual(har.log.entries[0], JSON.parse(JSON.stringify(entry())));
});

test('a copy has no secrets unless it is asked for', () => {
  const clean = cleanEntry(entry());
  for (const text of [asCurl(clean), asFetch(clean), asHttpie(clean), asRaw(clean), asHar([clean], '')]) {
    assert.doesNotMatch(text, /secret|AKIA|abc/, text);
    assert.match(text, /\[redacted\]|%5Bredacted%5D/);
    assert.match(text, /api\.example/);
  }
  assert.match(asCurl(clean), /X-Note: it/);
  assert.equal(entry().request.headers[1]!.value, 'Bearer very-secret-1', 'the original stays');
  const bytes = cleanEntry(entry({ postData: { mimeType: 'x/y', text: 'AP8=', _encoding: 'base64' } }));
  assert.match(asCurl(bytes), /^# The body is left out\.\ncurl/);
  const e = entry();
  e.response.content = { mimeType: 'application/json', text: 'c2VjcmV0', encoding: 'base64', _contentEncoding: 'gzip' };
  e._webSocketMessages = [{ type: 'send', time: 1, opcode: 1, data: '{"token":"ws-secret"}', _size: 1 }, { type: 'send', time: 1, opcode: 2, data: 'c2VjcmV0', _encoding: 'base64', _size: 1 }];
  e._eventStream = [{ time: 1, event: 'message', data: '{"password":"ev-secret"}' }];
  e.response.headers.push({ name: 'Location', value: 'https://u:pw-secret@x/?code_verifier=v-secret#access_token=f-secret' });
  assert.doesNotMatch(asHar([cleanEntry(e)], ''), /-secret|c2VjcmV0/);
});

test('names and looks of secrets', () => {
  for (const name of ['password', 'accessToken', 'ACCESS_TOKEN', 'x-api-key', 'client_secret', 'sessionId', 'user.password', 'X-Auth', 'pin', 'apiKey', 'id_token']) assert.ok(secretive(name), name);
  for (const name of ['author', 'tokens_used', 'monkey', 'key', 'keyboard', 'passage', 'pinned', 'side', 'tokenize', 'authority', 'significant']) assert.ok(!secretive(name), name);
  const jwt = `eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.${'x'.repeat(20)}`;
  for (const s of [jwt, 'AKIAIOSFODNN7EXAMPLE', `ghp_${'a1'.repeat(18)}`, `glpat-${'a1'.repeat(10)}`, 'xoxb-1234567890-abc', `sk_live_${'a1'.repeat(10)}`, `sk-ant-${'a1'.repeat(12)}`, `AIza${'a'.repeat(35)}`, 'Bearer abcdefgh', '-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----']) {
    assert.ok(!cleanText(`before ${s} after`).includes(s.replace(/^Bearer /, '')), s);
    assert.match(cleanText(`before ${s} after`), /^before .* after$/s);
  }
  assert.equal(cleanText('nothing to see: 12345, sk-short, eyJ'), 'nothing to see: 12345, sk-short, eyJ');
  assert.equal(cleanUrl('https://u:p@h/a?x=1&password=p%20q#t'), 'https://[redacted]@h/a?x=1&password=%5Bredacted%5D#t');
  assert.equal(cleanQuery('a=%zz&b&c=1+2'), 'a=%zz&b&c=1+2', 'what is no secret stays as written');
  assert.equal(cleanBody('{"n":1.50,"pin":1234,"a":{"token":"x\\"y"},"o":{"token":{"k":1}}}', 'application/json'), '{"n":1.50,"pin":"[redacted]","a":{"token":"[redacted]"},"o":{"token":"[redacted]"}}');
  assert.equal(cleanBody('user=a&passwd=b', 'application/x-www-form-urlencoded'), 'user=a&passwd=%5Bredacted%5D');
});

test('a body that is cleaned holds no secret', () => {
  const form = 'multipart/form-data; boundary=b1';
  const part = (name: string, value: string, type = '') => `--b1\r\nContent-Disposition: form-data; name="${name}"\r\n${type ? `Content-Type: ${type}\r\n` : ''}\r\n${value}\r\n`;
  const cases: [text: string, mime: string, clean: string | null][] = [
    [part('user', 'ann') + part('password', 'SECRET') + '--b1--\r\n', form, part('user', 'ann') + part('password', '[redacted]') + '--b1--\r\n'],
    [part('d', '{"token":"SECRET"}', 'application/json') + part('f', 'SECRET', 'application/x-pem'), form, part('d', '{"token":"[redacted]"}', 'application/json') + part('f', '[left out]', 'application/x-pem')],
    [part('password', 'SECR').slice(0, -2), form, part('password', '[redacted]').slice(0, -2)],
    ['--b1\r\nSECRET', 'multipart/form-data', null],
    ['{"a":1,"password":"SECRE', 'application/json', '{"a":1,"password":"[redacted]"'],
    ['{"a":1,"password":"SECRE\\', 'application/json', '{"a":1,"password":"[redacted]"'],
    ['{"a":["x",{"secrets":["SECRET",{"k":"SECRET}"}],"b":2}]}', 'application/json', '{"a":["x",{"secrets":"[redacted]","b":2}]}'],
    ['{"secrets":["SECRET",{"k":"SEC', '', '{"secrets":"[redacted]"'],
    ['{"passwords":"SECRET","api_keys":{"a":"SECRET"},"accessTokens":["SECRET"],"max_tokens":100,"token":null}', 'application/json', '{"passwords":"[redacted]","api_keys":"[redacted]","accessTokens":"[redacted]","max_tokens":100,"token":null}'],
    ['{"pass\\u0077ord" : "SECRET"}', 'application/vnd.api+json', '{"pass\\u0077ord" : "[redacted]"}'],
    ['{"next":"https:\\/\\/h\\/?a=1\\u0026token=SECRET","n":"é\\u00e9"}', 'application/json', '{"next":"https://h/?a=1&token=%5Bredacted%5D","n":"é\\u00e9"}'],
    ['{"inner":"{\\"pin\\":\\"SECRET\\"}"}', 'application/json', '{"inner":"{\\"pin\\":\\"[redacted]\\"}"}'],
    ['{"a":1}\n{"token":"SECRET"}\n', 'application/x-ndjson', '{"a":1}\n{"token":"[redacted]"}\n'],
    ['<a><Password>SECRET</Password><b token="SECRET" n="1"/><wsse:Password Type="t"><x>SECRET</x></wsse:Password>ok</a>', 'text/xml', '<a><Password>[redacted]</Password><b token="[redacted]" n="1"/><wsse:Password Type="t">[redacted]</wsse:Password>ok</a>'],
    ['<p name="apiKey" value="SECRET"/><e key=\'password\'>SECRET</e><c><![CDATA[{"token":"SECRET"}]]></c>', 'application/soap+xml; charset=utf-8', '<p name="apiKey" value="[redacted]"/><e key=\'password\'>[redacted]</e><c><![CDATA[{"token":"[redacted]"}]]></c>'],
    ['<a><secret>SECRE', 'application/xml', '<a><secret>[redacted]'],
    ['<a token="SECRE', '', '<a token="[redacted]"'],
    ['user=a\npassword: SECRET, SECRET\nAuthorization: Digest SECRET\nx=1 at /a;jsessionid=SECRET?b=1', 'text/plain', 'user=a\npassword: [redacted]\nAuthorization: [redacted]\nx=1 at /a;jsessionid=%5Bredacted%5D?b=1'],
    ['data: {"a":1}\ndata: {"token":"SECRET"}\n', 'text/event-stream', 'data: {"a":1}\ndata: {"token":[redacted]\n'],
    ['a=1&d=%7B%22token%22%3A%22SECRET%22%7D', 'application/x-www-form-urlencoded', `a=1&d=${encodeURIComponent('{"token":"[redacted]"}')}`],
    ['<html>SECRET', 'text/html', null],
    ['var k = "SECRET"', 'text/javascript', null],
    ['SECRET', 'application/graphql', null],
    ['', '', ''],
  ];
  for (const [text, mime, clean] of cases) {
    assert.equal(cleanBody(text, mime), clean, text);
    for (let n = 0; n <= text.length; n++) assert.doesNotMatch(cleanBody(text.slice(0, n), mime) ?? '', /SECR/, `${text.slice(0, n)} as ${mime}`);
  }
});

test('one value', () => {
  assert.equal(cleanValue('1', ['k', 'token', '']), '[redacted]');
  assert.equal(cleanValue('100', ['max_tokens']), '100');
  assert.equal(cleanValue('{"pin":1}', ['a']), '{"pin":"[redacted]"}');
  assert.equal(cleanValue('B-7', ['sku']), 'B-7');
});

test('URLs and what carries them', () => {
  for (const [url, clean] of [
    ['/a;jsessionid=1A2B;v=2/b?PHPSESSID=x&ASPSESSIONIDABC=y&q=1', '/a;jsessionid=%5Bredacted%5D;v=2/b?PHPSESSID=%5Bredacted%5D&ASPSESSIONIDABC=%5Bredacted%5D&q=1'],
    ['/r?to=https%3A%2F%2Fh%2F%3Ftoken%3Dx', `/r?to=${encodeURIComponent('https://h/?token=%5Bredacted%5D')}`],
    ['/v1?max_tokens=5', '/v1?max_tokens=5'],
  ] as const) assert.equal(cleanUrl(url), clean);
  const one = (name: string, value: string) => cleanEntry(entry({ headers: [{ name, value }] })).request.headers[0]!.value;
  assert.equal(one('Link', '</a?token=x&b=1>; rel="next"'), '</a?token=%5Bredacted%5D&b=1>; rel="next"');
  assert.equal(one('X-Next', '0; url=https://u:p@h/?sig=x'), '0; url=https://[redacted]@h/?sig=%5Bredacted%5D');
  assert.equal(one('X-Original-Url', '/a?sid=x'), '/a?sid=%5Bredacted%5D');
  assert.equal(one('Accept', 'text/html;q=0.9, */*'), 'text/html;q=0.9, */*');
  const html = entry();
  html.response.content = { mimeType: 'text/html', text: '<input name=csrf value=x>' };
  assert.deepEqual(cleanEntry(html).response.content, { mimeType: 'text/html', _leftOut: 'what may be secret in it cannot be told' });
});

test('sanitising is quick', () => {
  const big = '{"a":"' + 'eyJ.'.repeat(100_000) + '","b":[' + '"sk-",'.repeat(100_000) + '1]}';
  const t = performance.now();
  cleanBody(big, 'application/json');
  cleanBody('"'.repeat(300_000), 'application/json');
  cleanText('-----BEGIN PRIVATE KEY-----'.repeat(20_000));
  cleanText('Bearer '.repeat(50_000));
  for (const bit of ['{"token":', '[', '<token ', '<a b="', "<a 'b", 'a=?', ';a=', '://', 'a: ', 'a', 'a.', '"a":"', '<!--', '{"a":"{', '--b\r\n\r\n', '?#', '\\']) {
    for (const mime of ['', 'application/json', 'application/xml', 'application/x-www-form-urlencoded', 'multipart/x; boundary=b']) cleanBody(bit.repeat(50_000), mime);
  }
  assert.ok(performance.now() - t < 20_000, 'grows with the length, not with its square');
});

test('the beginning of a file', () => {
  const file = JSON.stringify({ log: { version: '1.2', entries: [{ ...entry(), timings: { send: 1, wait: -1, receive: 2 } }] } });
  for (let n = 0; n <= file.length; n++) {
    const whole = complete(file.slice(0, n));
    if (whole) JSON.parse(whole);
    const cut = parseHar(new TextEncoder().encode(file.slice(0, n) || '{}'), true);
    for (const h of cut.request.headers) assert.ok(entry().request.headers.some((o) => o.name === h.name && o.value === h.value), 'no header is half');
    if (!cut.request.unloaded) assert.equal(new TextDecoder().decode(cut.request.body), entry().request.postData!.text);
    if (!cut.response.unloaded) assert.equal(new TextDecoder().decode(cut.response.body), entry().response.content.text);
  }
  const all = parseHar(new TextEncoder().encode(file));
  assert.equal(all.response.unloaded, false);
  assert.equal(all.request.unloaded, false);
});

test('a file has the parts of an exchange where tools look for them', async () => {
  const part = (n: number, change: Partial<Entry>, content: Entry['response']['content'] = { mimeType: '' }): Entry => ({ ...entry({ headers: [], cookies: [], queryString: [] }), _part: n, ...change, request: { ...entry().request, headers: [], postData: undefined! }, response: { ...entry().response, headers: [], cookies: [], content } });
  const message = (text: string) => ({ type: 'send' as const, time: 1, opcode: 1, data: text, _size: text.length });
  const socket = { ...entry(), response: { ...entry().response, content: { mimeType: '', size: 0 } } };
  const [one, ...none] = withParts(socket, [part(1, { _webSocketMessages: [message('first'), message('{"password":"p-secret"}')] }), part(2, { _webSocketMessages: [message('third')] })]);
  assert.equal(none.length, 0);
  assert.deepEqual(one!._webSocketMessages!.map((m) => m.data), ['first', '{"password":"p-secret"}', 'third']);
  assert.equal(one!._resourceType, 'websocket');
  assert.equal(socket._webSocketMessages, undefined, 'what is shown stays as it is');
  assert.doesNotMatch(asHar([await cleanCopy(one!)], ''), /p-secret/);

  const stream = { ...entry(), response: { ...entry().response, content: { mimeType: 'text/event-stream', text: 'data: a\n\n', size: 9, _contentEncoding: '' } } };
  const event = (data: string) => ({ time: 1, event: 'message', data });
  const bytes = part(3, {}, { mimeType: 'text/event-stream', text: 'AAE=', encoding: 'base64', size: 2 });
  const [all, left] = withParts(stream, [part(1, { _eventStream: [event('b')] }, { mimeType: 'text/event-stream', text: 'data: b\n\n', size: 9, _decoded: true }), part(2, { _eventStream: [event('c')] }, { mimeType: 'text/event-stream', text: 'data: c\n\n', size: 9 }), bytes]);
  assert.equal(all!.response.content.text, 'data: a\n\ndata: b\n\ndata: c\n\n');
  assert.equal(all!.response.content.size, 27);
  assert.deepEqual(all!._eventStream!.map((e) => e.data), ['b', 'c']);
  assert.equal(left, bytes, 'what is no text stays a part');
  const request = { ...part(1, {}), request: { ...entry().request } };
  assert.deepEqual(withParts(stream, [request]).slice(1), [request], 'nor is a part of a request left out');
});
