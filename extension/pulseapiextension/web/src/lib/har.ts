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
    _target?: string;
  };
  response: {
    status: number;
    statusText: string;
    httpVersion: string;
    headers: Pair[];
    bodySize: number;
    content: BodyFields & { encoding?: string };
    _notSeen?: boolean;
  };
}

/** One side of an exchange, the same for both. */
export interface Message {
  start: string; // request or status line
  headers: Pair[];
  body: Uint8Array;
  mimeType: string;
  contentEncoding: string;
  truncated: boolean;
  originalSize: number;
  seen: boolean;
}

export interface Exchange {
  request: Message;
  response: Message;
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
      ...body(q.postData, q.postData?._encoding),
      seen: true,
    },
    response: {
      start: `${p.httpVersion} ${p.status} ${p.statusText}`.trim(),
      headers: p.headers,
      ...body(p.content, p.content?.encoding),
      seen: !p._notSeen && p.status > 0,
    },
  };
}

function body(f: BodyFields | undefined, encoding: string | undefined) {
  const text = f?.text ?? '';
  const bytes = encoding === 'base64' ? fromBase64(text) : new TextEncoder().encode(text);
  return {
    body: bytes,
    mimeType: f?.mimeType ?? '',
    contentEncoding: f?._contentEncoding ?? '',
    truncated: f?._truncated ?? false,
    originalSize: f?._originalSize ?? bytes.length,
  };
}

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}
