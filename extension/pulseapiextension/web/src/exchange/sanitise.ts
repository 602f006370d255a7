// What is taken out of copies and exports unless somebody asks for it as it is. This page has the payload in full; a
// copy leaves it for a ticket or a chat.
import type { Entry, Pair } from './har.ts';

export const redacted = '[redacted]';

const secretHeaders = /^(authorization|proxy-authorization|cookie|set-cookie|www-authenticate|proxy-authenticate|authentication-info|x-amz-security-token|x-amz-signature|x-amz-credential|x-goog-iam-authorization-token|x-forwarded-authorization|x-csrf-token|x-xsrf-token|sec-websocket-key|dpop|signature)$/i;
const secretName = /(^|[^a-z])(passw(or)?d|passphrase|pwd|secret|token|api[-_]?key|apikey|access[-_]?key|auth|credentials?|private[-_]?key|session([-_]?id)?|sid|jwt|signature|sig|otp|pin|ssn|cvv|cvc|csrf|xsrf|bearer|code[-_]?verifier|client[-_]?secret|refresh|assertion)($|[^a-z])/i;

/** Whether a name says that what it holds is a secret: of a header, a field of a form or query, or a key of JSON. */
export function secretive(name: string): boolean {
  // accessToken and ACCESS_TOKEN are words as access_token is.
  return secretName.test(name.replace(/([a-z\d])([A-Z])/g, '$1_$2'));
}

// Secrets that are known by their look. Each has a fixed beginning or form, so that a match is not a guess.
const looks = new RegExp(
  [
    String.raw`\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*`, // JWT
    String.raw`-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?`,
    String.raw`\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`,
    String.raw`\bgh[pousr]_[A-Za-z0-9]{20,}`,
    String.raw`\bgithub_pat_\w{20,}`,
    String.raw`\bglpat-[\w-]{20,}`,
    String.raw`\bxox[abeoprs]-[\w-]{10,}`,
    String.raw`\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}`,
    String.raw`\bsk-(?:ant-|proj-)?[\w-]{20,}`,
    String.raw`\bAIza[\w-]{35}`,
    String.raw`\bya29\.[\w-]{20,}`,
    String.raw`\bqp_[a-z0-9-]+_[A-Za-z0-9]{16,}_\w+`,
    String.raw`\b(?:Bearer|Basic|Negotiate|Token)\s+[A-Za-z0-9+/=._~-]{8,}`,
  ].join('|'),
  'g',
);

/** Text without the secrets that are known by their look. */
export function cleanText(text: string): string {
  return text.replace(looks, (m) => (/^(Bearer|Basic|Negotiate|Token)\s/.exec(m)?.[0] ?? '') + redacted);
}

export function cleanPairs<T extends Pair>(pairs: T[]): T[] {
  return pairs.map((p) => {
    const { _valueBase64: _, ...rest } = p;
    const value = secretHeaders.test(p.name) || secretive(p.name) ? redacted : cleanText(p.value);
    // Bytes that are not text stay as they are only where the text says nothing else.
    return value === p.value ? p : ({ ...rest, value } as T);
  });
}

/** A query or form without the values of fields that are secrets; what is not a secret stays as it was written. */
export function cleanQuery(query: string): string {
  return query
    .split('&')
    .map((field) => {
      const eq = field.indexOf('=');
      if (eq < 0) return cleanText(field);
      const name = field.slice(0, eq);
      return secretive(unescape(name)) ? `${name}=${encodeURIComponent(redacted)}` : `${name}=${cleanEscaped(field.slice(eq + 1))}`;
    })
    .join('&');
}

function cleanEscaped(value: string): string {
  const open = unescape(value);
  const clean = cleanText(open);
  return clean === open ? value : encodeURIComponent(clean);
}

function unescape(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}

/** A URL, or a request target, without secrets: user and password, and in path and query. */
export function cleanUrl(url: string): string {
  const [all, hash] = cutAt(url, '#');
  const [front, query] = cutAt(all, '?');
  const path = cleanText(front.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]*@/i, `$1${redacted}@`));
  return path + (query === null ? '' : `?${cleanQuery(query)}`) + (hash === null ? '' : `#${cleanQuery(hash)}`);
}

function cutAt(text: string, mark: string): [string, string | null] {
  const at = text.indexOf(mark);
  return at < 0 ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
}

/** A body without secrets, by what it is: JSON and forms by the names of their fields, all text by the look of values. */
export function cleanBody(text: string, mimeType: string): string {
  if (/^application\/x-www-form-urlencoded/i.test(mimeType)) return cleanQuery(text);
  if (/json/i.test(mimeType) || /^\s*[[{]/.test(text)) text = cleanJson(text);
  return cleanText(text);
}

// A key, and the text or number that it has. Objects and arrays under such a key stay, without what is a secret in them.
const jsonField = /("(?:[^"\\]|\\.)*")(\s*:\s*)("(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*)/g;

function cleanJson(text: string): string {
  return text.replace(jsonField, (all, key: string, colon: string) => (secretive(key) ? `${key}${colon}"${redacted}"` : all));
}

/** A HAR entry without secrets. Bodies that are not text are left out: nobody has looked into them. */
export function cleanEntry(e: Entry): Entry {
  const out = structuredClone(e);
  out.request.headers = cleanPairs(out.request.headers);
  out.response.headers = cleanPairs(out.response.headers);
  if (out.request._trailers) out.request._trailers = cleanPairs(out.request._trailers);
  if (out.response._trailers) out.response._trailers = cleanPairs(out.response._trailers);
  for (const side of [out.request, out.response]) for (const c of side.cookies ?? []) c.value = redacted;
  out.request.url = cleanUrl(out.request.url);
  if (out.request._target !== undefined) out.request._target = cleanUrl(out.request._target);
  delete out.request._targetBase64;
  delete out.response._statusTextBase64;
  for (const p of out.request.queryString ?? []) p.value = secretive(p.name) ? redacted : cleanText(p.value);
  if (out.response.redirectURL) out.response.redirectURL = cleanUrl(out.response.redirectURL);
  for (const h of [...out.request.headers, ...out.response.headers]) if (/^(location|content-location|referer)$/i.test(h.name)) h.value = cleanUrl(h.value);
  const post = out.request.postData;
  if (post) {
    if (post._encoding) Object.assign(post, { text: '', _leftOut: 'not text' });
    else post.text = cleanBody(post.text ?? '', post.mimeType);
    delete post._encoding;
  }
  const content = out.response.content;
  if (content.encoding) {
    delete content.encoding;
    delete content.text;
    content._leftOut = 'not text';
  } else if (content.text !== undefined) content.text = cleanBody(content.text, content.mimeType);
  for (const m of out._webSocketMessages ?? []) {
    if (m._encoding) {
      m.data = '';
      m._leftOut = 'not text';
      delete m._encoding;
    } else m.data = cleanBody(m.data, '');
  }
  for (const ev of out._eventStream ?? []) ev.data = cleanBody(ev.data, '');
  return out;
}
