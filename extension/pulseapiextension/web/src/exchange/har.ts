// HAR 1.2 as the archive has it, with our custom fields (they begin with _), and one exchange of it as it is shown.
import { fromBase64 } from './bytes.ts';

export interface Pair {
  name: string;
  value: string;
  _nameBase64?: string;
  _valueBase64?: string;
}

export interface Cookie {
  name: string;
  value: string;
  path?: string;
  domain?: string;
  expires?: string;
  httpOnly?: boolean;
  secure?: boolean;
}

interface BodyFields {
  mimeType: string;
  text?: string;
  _contentEncoding?: string;
  _decoded?: boolean;
  _truncated?: boolean;
  _originalSize?: number;
  _leftOut?: string;
}

/** An entry as it is in the file. */
export interface Entry {
  startedDateTime: string;
  time?: number;
  request: {
    method: string;
    url: string;
    httpVersion: string;
    cookies?: Cookie[];
    headers: Pair[];
    queryString?: Pair[];
    bodySize: number;
    postData?: BodyFields & { _encoding?: string };
    _trailers?: Pair[];
    _target?: string;
    _targetBase64?: string;
  };
  response: {
    status: number;
    statusText: string;
    httpVersion: string;
    cookies?: Cookie[];
    headers: Pair[];
    redirectURL?: string;
    bodySize: number;
    content: BodyFields & { encoding?: string; size?: number };
    _trailers?: Pair[];
    _statusTextBase64?: string;
    _notSeen?: boolean;
  };
  timings?: { send: number; wait: number; receive: number };
  serverIPAddress?: string;
  connection?: string;
  _scheme?: string;
  _serverAddress?: string;
  _serverPort?: number;
  _incomplete?: string;
  /** What was taken out before it was stored, and by which policy. */
  _redaction?: { policy: string; removed: { at: string; reason: string; count: number }[] };
  _resource?: Record<string, string>;
  _part?: number;
  _resourceType?: string;
  _webSocketMessages?: HarMessage[];
  _eventStream?: HarEvent[];
}

interface HarMessage {
  type: 'send' | 'receive';
  time: number; // Unix seconds
  opcode: number;
  data: string;
  _encoding?: string;
  _size: number;
  _truncated?: boolean;
  _compressed?: boolean;
  _incomplete?: string;
  _leftOut?: string;
}

interface HarEvent {
  time: number; // Unix seconds
  event: string;
  id?: string;
  data: string;
}

/** A message of a WebSocket, an event of a stream, or a frame: something with a direction and a content of its own. */
export interface Item {
  time: number; // Unix seconds, 0 when it is not known
  from: 'client' | 'server';
  kind: string;
  bytes: Uint8Array;
  /** What there is to know, "" when all is well. */
  note: string;
}

/** One side of an exchange, the same for both. */
export interface Message {
  start: string; // request or status line
  headers: Pair[];
  cookies: Cookie[];
  query: Pair[];
  trailers: Pair[];
  body: Uint8Array;
  mimeType: string;
  contentEncoding: string;
  decoded: boolean; // before it was kept
  truncated: boolean;
  originalSize: number;
  seen: boolean;
  /** Where the rest of the body is: not loaded yet. */
  unloaded: boolean;
}

export interface Exchange {
  entry: Entry;
  request: Message;
  response: Message;
  items: Item[];
}

/** Reads a file. When only its beginning was loaded, what is cut is said to be unloaded. */
export function parseHar(bytes: Uint8Array, cut = false): Exchange {
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: cut });
  const file = JSON.parse(cut ? complete(text) : text);
  const e = file?.log?.entries?.[0] as Entry | undefined;
  if (!cut && (!e?.request?.headers || !e.response?.headers)) throw new Error('not a HAR entry');
  const q = { method: '', url: '', httpVersion: '', headers: [], bodySize: 0, ...e?.request } satisfies Entry['request'];
  const p = { status: 0, statusText: '', httpVersion: '', headers: [], bodySize: 0, content: { mimeType: '' }, ...e?.response } satisfies Entry['response'];
  const entry = { ...e, request: q, response: p } as Entry;
  // In a cut file the last value that is there may lack its end: a body counts only when what follows it is there, too.
  const responseBegan = !cut || e?.response !== undefined;
  return {
    entry,
    request: {
      start: `${q.method} ${q._target ?? q.url} ${q.httpVersion}`,
      headers: pairs(q.headers),
      cookies: q.cookies ?? [],
      query: q.queryString ?? [],
      trailers: pairs(q._trailers),
      ...body(q.postData, q.postData?._encoding, !responseBegan),
      seen: true,
    },
    response: {
      start: `${p.httpVersion} ${p.status || ''} ${p.statusText}`.trim(),
      headers: pairs(p.headers),
      cookies: p.cookies ?? [],
      query: [],
      trailers: pairs(p._trailers),
      ...body(p.content, p.content?.encoding, cut && entry.timings === undefined),
      seen: cut ? true : !p._notSeen && p.status > 0,
    },
    items: [...(e?._webSocketMessages ?? []).map(message), ...(e?._eventStream ?? []).map(event)],
  };
}

function pairs(list: Pair[] | undefined): Pair[] {
  return (list ?? []).filter((p) => typeof p?.name === 'string' && typeof p.value === 'string');
}

/** A header's value. What is not UTF-8 is shown as Latin-1, as HTTP/1.1 once defined it. */
export function valueOf(p: Pair): string {
  return p._valueBase64 === undefined ? p.value : String.fromCharCode(...fromBase64(p._valueBase64));
}

export function header(headers: Pair[], name: string): string {
  const p = headers.find((h) => h.name.toLowerCase() === name);
  return p ? valueOf(p) : '';
}

const opcodes: Record<number, string> = { 0: 'continuation', 1: 'text', 2: 'binary', 8: 'close', 9: 'ping', 10: 'pong' };

function message(m: HarMessage): Item {
  const notes: string[] = [];
  let bytes: Uint8Array = m._encoding === 'base64' ? fromBase64(m.data) : new TextEncoder().encode(m.data);
  if (m.opcode === 8 && bytes.length >= 2) {
    notes.push(`code ${(bytes[0]! << 8) | bytes[1]!}`);
    bytes = bytes.subarray(2);
  }
  if (m._truncated) notes.push(`kept in part, ${m._size} bytes on the wire`);
  if (m._compressed) notes.push('still compressed');
  if (m._incomplete) notes.push(m._incomplete);
  return { time: m.time, from: m.type === 'send' ? 'client' : 'server', kind: opcodes[m.opcode] ?? `opcode ${m.opcode}`, bytes, note: notes.join(', ') };
}

function event(e: HarEvent): Item {
  return { time: e.time, from: 'server', kind: e.event, bytes: new TextEncoder().encode(e.data), note: e.id ? `id ${e.id}` : '' };
}

function body(f: BodyFields | undefined, encoding: string | undefined, unloaded: boolean) {
  const text = unloaded ? '' : (f?.text ?? '');
  const bytes: Uint8Array = encoding === 'base64' && !unloaded ? fromBase64(text) : new TextEncoder().encode(text);
  return {
    body: bytes,
    mimeType: f?.mimeType ?? '',
    contentEncoding: f?._contentEncoding ?? '',
    decoded: f?._decoded ?? false,
    truncated: f?._truncated ?? false,
    originalSize: f?._originalSize ?? bytes.length,
    unloaded,
  };
}

/** Closes what is open in the beginning of a JSON text, so that it can be read. What is cut in the middle goes. */
export function complete(text: string): string {
  const open: string[] = [];
  let end = 0; // up to here the text is whole values
  let closing = '';
  let inKey = false; // between a key and its value
  let i = 0;
  const whole = () => {
    end = i;
    closing = open.toReversed().join('');
  };
  while (i < text.length) {
    const c = text[i]!;
    if (c === '"') {
      let j = i + 1;
      while (j < text.length && text[j] !== '"') j += text[j] === '\\' ? 2 : 1;
      if (j >= text.length) break;
      i = j + 1;
      if (open.at(-1) === '}' && !inKey) inKey = true;
      else {
        inKey = false;
        whole();
      }
      continue;
    }
    if (c === '{' || c === '[') {
      open.push(c === '{' ? '}' : ']');
      i++;
      inKey = false;
      whole();
      continue;
    }
    if (c === '}' || c === ']') {
      open.pop();
      i++;
      whole();
      continue;
    }
    if (/[\s,:]/.test(c)) {
      i++;
      continue;
    }
    let j = i;
    while (j < text.length && !/[\s,:\]}]/.test(text[j]!)) j++;
    if (j >= text.length) break; // a number may go on
    i = j;
    inKey = false;
    whole();
  }
  return text.slice(0, end) + closing;
}
