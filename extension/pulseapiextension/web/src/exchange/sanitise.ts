// What is taken out of copies and exports unless somebody asks for it as it is. This page has the payload in full; a
// copy leaves it for a ticket or a chat.
import type { Entry, Pair } from './har.ts';

export const redacted = '[redacted]';

const secretHeaders = /^(authorization|proxy-authorization|cookie|set-cookie|www-authenticate|proxy-authenticate|authentication-info|x-amz-security-token|x-amz-signature|x-amz-credential|x-goog-iam-authorization-token|x-forwarded-authorization|x-csrf-token|x-xsrf-token|sec-websocket-key|dpop|signature)$/i;
const secretName = /(^|[^a-z])(passw(or)?ds?|passphrases?|pwds?|secrets?|token|tokens$|api[-_]?keys?|access[-_]?keys?|auth|credentials?|private[-_]?keys?|sessions?|[a-z]*sess(ion)?[-_]?ids?|aspsessionid[a-z]*|sids?|jwts?|signatures?|sig|otps?|pins?|ssn|cvv|cvc|csrf|xsrf|bearer|code[-_]?verifier|client[-_]?secret|refresh|assertion)($|[^a-z])/i;

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

// A count of tokens is not one.
const counts = (name: string, value: string) => /tokens$/i.test(name) && /^\s*\d+\s*$/.test(value);

// Texts in texts in texts: behind this many nobody looks.
const deepest = 6;

function cleanLooks(text: string): string {
  return text.replace(looks, (m) => (/^(Bearer|Basic|Negotiate|Token)\s/.exec(m)?.[0] ?? '') + redacted);
}

/** Text without the secrets that are known by their look, or that stand in URLs. */
export function cleanText(text: string, deep = 0): string {
  return cleanLooks(text).replace(/[^\s"'<>]+/g, (w) => (/[?;#]|:\/\//.test(w) ? cleanUrl(w, deep) : w));
}

// A name before a value in text. The value may go on to the end of its line.
const named = /(?<![\w.-])([\w.-]+)["']?[ \t]{0,8}[=:][ \t]{0,8}/g;
const gone = /^["']?(\[redacted\]|%5Bredacted%5D)/;

/** Text in which names stand before values, such as lines of a configuration. */
function cleanPlain(text: string, deep = 0): string {
  return cleanText(text, deep).replace(/[^\r\n]+/g, (line) => {
    for (const m of line.matchAll(named)) {
      const end = m.index + m[0].length;
      const value = line.slice(end);
      const name = m[1]!;
      if ((secretHeaders.test(name) || secretive(name)) && value !== '' && !gone.test(value) && !counts(name, value)) return line.slice(0, end) + redacted;
    }
    return line;
  });
}

/** The values of header fields, and what is like them. */
export function cleanPairs<T extends Pair>(pairs: T[]): T[] {
  return pairs.map((p) => {
    const { _valueBase64: _, ...rest } = p;
    const value = secretHeaders.test(p.name) || (secretive(p.name) && !counts(p.name, p.value)) ? redacted : cleanPlain(p.value);
    // Bytes that are not text stay as they are only where the text says nothing else.
    return value === p.value ? p : ({ ...rest, value } as T);
  });
}

/** A query or form without the values of fields that are secrets; what is not a secret stays as it was written. */
export function cleanQuery(query: string, deep = 0): string {
  return query
    .split('&')
    .map((field) => {
      const eq = field.indexOf('=');
      if (eq < 0) return cleanLooks(field);
      const name = field.slice(0, eq);
      const value = field.slice(eq + 1);
      const open = unescape(value);
      if (secretive(unescape(name)) && !counts(name, value)) return `${name}=${encodeURIComponent(redacted)}`;
      const clean = cleanAny(open, deep + 1);
      return `${name}=${clean === open ? value : encodeURIComponent(clean)}`;
    })
    .join('&');
}

/** What percent-encoded text says; what is no such code, or is cut, stays. */
function unescape(text: string): string {
  return text.replaceAll('+', ' ').replace(/(?:%[\da-f]{2})+/gi, (run) => {
    try {
      return decodeURIComponent(run);
    } catch {
      return run.replace(/%[2-7][\da-f]/gi, decodeURIComponent);
    }
  });
}

/** A URL, or a request target, without secrets: user and password, parameters of the path, query and fragment. */
export function cleanUrl(url: string, deep = 0): string {
  const [all, hash] = cutAt(url, '#');
  const [front, query] = cutAt(all, '?');
  const path = cleanLooks(front.replace(/:\/\/[^/@]*@/g, `://${redacted}@`).replace(/;([^;=/]+)=([^;/]*)/g, (m, name: string) => (secretive(unescape(name)) ? `;${name}=${encodeURIComponent(redacted)}` : m)));
  return path + (query === null ? '' : `?${cleanQuery(query, deep)}`) + (hash === null ? '' : `#${cleanQuery(hash, deep)}`);
}

function cutAt(text: string, mark: string): [string, string | null] {
  const at = text.indexOf(mark);
  return at < 0 ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
}

/**
 * A body without secrets, by what it is: JSON, XML, forms and parts by the names of their fields, all text by the look of values.
 * Null when it is something else, which may hold a secret that nobody finds.
 */
export function cleanBody(text: string, mimeType: string, deep = 0): string | null {
  const type = mimeType.split(';', 1)[0]!.trim().toLowerCase();
  if (type === 'application/x-www-form-urlencoded') return cleanQuery(text, deep);
  if (type.startsWith('multipart/')) return cleanParts(text, mimeType, deep);
  if (/json/.test(type)) return cleanJson(text, deep);
  if (/[/+]xml(-dtd)?$/.test(type)) return cleanXml(text, deep);
  if (/^(|text\/plain|text\/event-stream|text\/xml)$/.test(type)) return cleanAny(text, deep);
  return null;
}

/** One value without secrets, by the names that lead to it and by its look. */
export function cleanValue(text: string, names: string[]): string {
  return names.some((n) => secretive(n) && !counts(n, text)) ? redacted : cleanAny(text, 0);
}

/** Text that does not say what it is. */
function cleanAny(text: string, deep: number): string {
  if (deep > deepest) return /[[{<?;#=:]/.test(text) ? redacted : cleanLooks(text);
  if (/^\s*[[{]/.test(text)) return cleanJson(text, deep);
  if (/^\s*</.test(text)) return cleanXml(text, deep);
  return cleanPlain(text, deep);
}

/** Where the string ends that begins at i: behind its quote, or where the text is cut. */
function stringEnd(text: string, i: number): number {
  for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === '\\') i++;
  return Math.min(i + 1, text.length);
}

/** What a string of JSON says, though it is cut; null when it is none. */
function readString(raw: string): string | null {
  for (const whole of [raw, `${raw}"`, `${raw.replace(/\\(u[\da-f]{0,3})?$/i, '')}"`]) {
    try {
      const v: unknown = JSON.parse(whole);
      if (typeof v === 'string') return v;
    } catch {
      // the next
    }
  }
  return null;
}

/** Where the value ends that begins at i: an object or list with all that is in it, or as far as the text goes. */
function valueEnd(text: string, i: number): number {
  let depth = 0;
  while (i < text.length) {
    const c = text[i]!;
    if (c === '"') i = stringEnd(text, i);
    else if (c === '[' || c === '{') {
      depth++;
      i++;
    } else if (c === ']' || c === '}') {
      if (depth === 0) return i; // it belongs to what is around
      depth--;
      i++;
    } else if (depth === 0) {
      const end = text.slice(i).search(/[\s,\]}"]/);
      return end < 0 ? text.length : i + Math.max(end, 1);
    } else {
      i++;
      continue;
    }
    if (depth === 0) return i;
  }
  return i;
}

const colon = /\s*:\s*/y;

// Not by a parser: what is no secret stays as it was written, and a body may be cut anywhere.
function cleanJson(text: string, deep: number): string {
  let out = '';
  let i = 0;
  while (i < text.length) {
    const quote = text.indexOf('"', i);
    const between = text.slice(i, quote < 0 ? text.length : quote);
    // Where letters stand outside of strings, this is not JSON, or not only.
    out += /[a-z]{2}/i.test(between.replace(/\b(true|false|null)\b/g, '')) ? cleanPlain(between, deep) : between;
    if (quote < 0) break;
    i = stringEnd(text, quote);
    const raw = text.slice(quote, i);
    const said = readString(raw);
    colon.lastIndex = i;
    const mark = colon.exec(text)?.[0];
    if (mark === undefined) {
      const clean = cleanAny(said ?? raw, deep + 1);
      out += clean === (said ?? raw) ? raw : JSON.stringify(clean);
      continue;
    }
    i += mark.length;
    out += cleanLooks(raw) + mark;
    if (!secretive(said ?? raw)) continue;
    const end = valueEnd(text, i);
    const value = text.slice(i, end);
    out += /^(true|false|null|)$/.test(value) || counts(said ?? raw, value) ? value : `"${redacted}"`;
    i = end;
  }
  return out;
}

const xmlToken = /<!--[^]*?(?:-->|$)|<!\[CDATA\[[^]*?(?:\]\]>|$)|<(\/?)([^\s<>/"']+)((?:[^<>"']+|"[^"]*(?:"|$)|'[^']*(?:'|$))*)(?:>|(?=<)|$)|[^<]+|</g;
const xmlAttribute = /([^\s=<>"'/]+)(\s{0,8}=\s{0,8})("[^"]*"?|'[^']*'?|[^\s>"']+)/g;

function cleanXml(text: string, deep: number): string {
  if (/<!ENTITY/i.test(text)) return redacted; // what a document means is then not what is written
  let out = '';
  let inside = ''; // the element whose content is a secret
  let depth = 0;
  for (const [all, end, name, rest] of text.matchAll(xmlToken)) {
    if (inside) {
      if (name === inside && !rest!.endsWith('/')) depth += end ? -1 : 1;
      if (depth > 0) continue;
      inside = '';
      out += all;
      continue;
    }
    if (name === undefined) {
      const cdata = /^<!\[CDATA\[([^]*?)(\]\]>)?$/.exec(all);
      out += cdata ? `<![CDATA[${cleanAny(cdata[1]!, deep + 1)}${cdata[2] ?? ''}` : cleanPlain(all, deep);
      continue;
    }
    let secret = !end && secretive(name);
    // <field name="password" value="…"/>, <entry key="password">…</entry>
    for (const [, k, , v] of rest!.matchAll(xmlAttribute)) if (/(^|:)(name|key|id|type|property)$/i.test(k!) && secretive(v!)) secret = true;
    out += all.replace(rest!, () =>
      rest!.replace(xmlAttribute, (_, k: string, eq: string, v: string) => {
        const mark = /^["']/.exec(v)?.[0] ?? '';
        if (secretive(k) || (secret && /(^|:)(value|content|text|data)$/i.test(k))) return `${k}${eq}${mark || '"'}${redacted}${mark || '"'}`;
        return `${k}${eq}${cleanText(v, deep)}`;
      }),
    );
    if (secret && !rest!.endsWith('/') && !/^[!?]/.test(name)) {
      inside = name;
      depth = 1;
      out += redacted;
    }
  }
  return out;
}

/** Parts by the names that their headers give them; null without a boundary. */
function cleanParts(text: string, mimeType: string, deep: number): string | null {
  const boundary = /;\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(mimeType);
  const mark = boundary && `--${boundary[1] ?? boundary[2]}`;
  if (!mark || deep > deepest) return null;
  return text
    .split(mark)
    .map((part, i) => {
      if (i === 0) return cleanPlain(part, deep);
      if (/^--\s*$/.test(part)) return part;
      const blank = /\r?\n\r?\n/.exec(part);
      if (!blank) return '\r\n'; // cut in its headers
      const headers = part.slice(0, blank.index);
      const body = part.slice(blank.index + blank[0].length);
      const tail = /\r?\n$/.exec(body)?.[0] ?? '';
      const name = /^content-disposition:[^\n]*;\s*name\*?=(?:"((?:[^"\\]|\\.)*)"?|([^\s;]+))/im.exec(headers);
      const type = /^content-type:[ \t]*([^\r\n]*)/im.exec(headers)?.[1] ?? '';
      const inner = body.slice(0, body.length - tail.length);
      const clean = secretive(unescape(name?.[1] ?? name?.[2] ?? '')) ? redacted : (cleanBody(inner, type, deep + 1) ?? '[left out]');
      return cleanPlain(headers, deep) + blank[0] + clean + tail;
    })
    .join(mark);
}

const notClean = 'what may be secret in it cannot be told';

/** A HAR entry without secrets. Bodies that are not text, or of which it cannot be told what is a secret, are left out. */
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
  for (const p of out.request.queryString ?? []) p.value = secretive(p.name) && !counts(p.name, p.value) ? redacted : cleanAny(p.value, 1);
  if (out.response.redirectURL) out.response.redirectURL = cleanUrl(out.response.redirectURL);
  if (out._resource) out._resource = Object.fromEntries(cleanPairs(Object.entries(out._resource).map(([name, value]) => ({ name, value }))).map((p) => [p.name, p.value]));
  const post = out.request.postData;
  if (post) {
    const clean = post._encoding ? null : cleanBody(post.text ?? '', post.mimeType);
    if (clean === null) post._leftOut = post._encoding ? 'not text' : notClean;
    post.text = clean ?? '';
    delete post._encoding;
  }
  const content = out.response.content;
  const body = content.encoding || content.text === undefined ? null : cleanBody(content.text, content.mimeType);
  if (body === null) {
    if (content.text) content._leftOut = content.encoding ? 'not text' : notClean;
    delete content.encoding;
    delete content.text;
  } else content.text = body;
  for (const m of out._webSocketMessages ?? []) {
    if (m._encoding) {
      m.data = '';
      m._leftOut = 'not text';
      delete m._encoding;
    } else m.data = cleanAny(m.data, 0);
  }
  for (const ev of out._eventStream ?? []) ev.data = cleanAny(ev.data, 0);
  return out;
}
