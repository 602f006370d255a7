// The part of HAR 1.2 that is shown, with our custom fields (they begin with _).

export interface Pair {
  name: string;
  value: string;
  _nameBase64?: string;
  _valueBase64?: string;
}

interface BodyFields {
  mimeType: string;
  text?: string;
  _contentEncoding?: string;
  _decoded?: boolean;
  _truncated?: boolean;
  _originalSize?: number;
}

export interface HarEntry {
  startedDateTime: string;
  request: {
    method: string;
    url: string;
    httpVersion: string;
    headers: Pair[];
    bodySize: number;
    postData?: BodyFields & { _encoding?: string };
    _trailers?: Pair[];
    _target?: string;
  };
  response: {
    status: number;
    statusText: string;
    httpVersion: string;
    headers: Pair[];
    bodySize: number;
    content: BodyFields & { encoding?: string };
    _trailers?: Pair[];
    _notSeen?: boolean;
  };
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
}

interface HarEvent {
  time: number; // Unix seconds
  event: string;
  id?: string;
  data: string;
}

/** A message of a WebSocket, or an event of a stream. */
export interface Item {
  time: number; // Unix seconds
  from: 'client' | 'server';
  kind: string;
  text: string;
  note: string; // what there is to know about the text, "" when all is well
}

/** One side of an exchange, the same for both. */
export interface Message {
  start: string; // request or status line
  headers: Pair[];
  trailers: Pair[];
  body: Uint8Array;
  mimeType: string;
  contentEncoding: string;
  decoded: boolean; // before it was kept
  truncated: boolean;
  originalSize: number;
  seen: boolean;
}

export interface Exchange {
  request: Message;
  response: Message;
  items: Item[];
}

export function parseHar(bytes: Uint8Array): Exchange {
  const file = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  const e: HarEntry | undefined = file?.log?.entries?.[0];
  if (!e?.request?.headers || !e.response?.headers) throw new Error('not a HAR entry');
  const { request: q, response: p } = e;
  return {
    request: {
      start: `${q.method} ${q._target ?? q.url} ${q.httpVersion}`,
      headers: q.headers,
      trailers: q._trailers ?? [],
      ...body(q.postData, q.postData?._encoding),
      seen: true,
    },
    response: {
      start: `${p.httpVersion} ${p.status} ${p.statusText}`.trim(),
      headers: p.headers,
      trailers: p._trailers ?? [],
      ...body(p.content, p.content?.encoding),
      seen: !p._notSeen && p.status > 0,
    },
    items: [...(e._webSocketMessages ?? []).map(message), ...(e._eventStream ?? []).map(event)],
  };
}

const opcodes: Record<number, string> = { 0: 'continuation', 1: 'text', 2: 'binary', 8: 'close', 9: 'ping', 10: 'pong' };
const shown = 4096; // bytes of a binary message

function message(m: HarMessage): Item {
  const notes: string[] = [];
  let text = m.data;
  if (m._encoding === 'base64') {
    const bytes = fromBase64(m.data);
    const code = m.opcode === 8 && bytes.length >= 2 ? `${(bytes[0]! << 8) | bytes[1]!} ` : '';
    text = code ? code + new TextDecoder().decode(bytes.subarray(2)) : [...bytes.subarray(0, shown)].map((b) => b.toString(16).padStart(2, '0')).join(' ');
    if (!code && bytes.length > shown) notes.push(`the first ${shown} bytes are shown`);
  }
  if (m._truncated) notes.push(`kept in part, ${m._size} bytes on the wire`);
  if (m._compressed) notes.push('still compressed');
  if (m._incomplete) notes.push(m._incomplete);
  return { time: m.time, from: m.type === 'send' ? 'client' : 'server', kind: opcodes[m.opcode] ?? `opcode ${m.opcode}`, text, note: notes.join(', ') };
}

function event(e: HarEvent): Item {
  return { time: e.time, from: 'server', kind: e.event, text: e.data, note: e.id ? `id ${e.id}` : '' };
}

function body(f: BodyFields | undefined, encoding: string | undefined) {
  const text = f?.text ?? '';
  const bytes = encoding === 'base64' ? fromBase64(text) : new TextEncoder().encode(text);
  return {
    body: bytes,
    mimeType: f?.mimeType ?? '',
    contentEncoding: f?._contentEncoding ?? '',
    decoded: f?._decoded ?? false,
    truncated: f?._truncated ?? false,
    originalSize: f?._originalSize ?? bytes.length,
  };
}

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}
