// An exchange as a command, as code, as text and as a file. What was captured is hostile: it must stay data in a shell and in a
// terminal that it is pasted into.
import { fromBase64, toBase64 } from './bytes.ts';
import { header, type Entry, type Pair } from './har.ts';
import { plain } from './text.ts';

export type Form = 'curl' | 'fetch' | 'httpie' | 'raw';

/** Why something cannot be copied in this form. */
export class CannotCopy extends Error {}

const verbs = /^[!#$%&'*+.^_`|~\w][!#$%&'*+.^_`|~\w-]*$/; // tokens that are no options
const token = /^[!#$%&'*+.^_`|~\w-]+$/; // RFC 9110 §5.6.2
// What a client writes by itself.
const own = /^(content-length|transfer-encoding|connection|keep-alive|proxy-connection|upgrade|te|trailer)$/i;

/** One argument of any POSIX shell. What cannot be seen, or that a terminal obeys, printf writes from its octal bytes. */
export function quote(text: string): string {
  if (text.includes('\0')) throw new CannotCopy('it has a byte 0, which no argument of a program can hold');
  if (/^[\w@%+:,./-][\w@%+=:,./-]*$/.test(text)) return text;
  // In lines that follow the first, old shells expand ! even in quotes.
  const lines = text.includes('\n');
  let out = '';
  let run = '';
  let odd = '';
  const end = () => {
    if (run) out += `'${run.replaceAll("'", `'\\''`)}'`;
    if (odd) out += `"$(printf '${odd}')"`;
    run = odd = '';
  };
  for (const c of text) {
    const hide = !plain(c) || c === '\t' || (c === '!' && lines);
    if (hide ? run : odd) end();
    if (hide) odd += [...new TextEncoder().encode(c)].map((b) => `\\${b.toString(8).padStart(3, '0')}`).join('');
    else run += c;
  }
  end();
  return out || "''";
}

interface Body {
  text: string | null; // null: bytes
  bytes: Uint8Array;
}

function bodyOf(e: Entry): Body | null {
  const post = e.request.postData;
  if (!post?.text) return null;
  if (post._encoding !== 'base64') return { text: post.text, bytes: new TextEncoder().encode(post.text) };
  return { text: null, bytes: fromBase64(post.text) };
}

function target(e: Entry): string {
  // A request may name any URL in its target: only these are what was asked of this server.
  if (!/^https?:\/\//i.test(e.request.url)) throw new CannotCopy('its target is not an http URL');
  return e.request.url;
}

// A name that begins with - is a token, but an option to a program.
const named = (h: Pair) => token.test(h.name) && !h.name.startsWith('-');

function fields(e: Entry): Pair[] {
  const host = /^https?:\/\/([^/?#]*)/i.exec(e.request.url)?.[1] ?? '';
  return e.request.headers.filter((h) => named(h) && !own.test(h.name) && !(h.name.toLowerCase() === 'host' && h.value === host));
}

/** Those for the arguments of a program: one line each. */
function lineFields(e: Entry): Pair[] {
  const list = fields(e);
  const broken = list.find((h) => /[\r\n\0]/.test(h.value));
  if (broken) throw new CannotCopy(`the value of ${broken.name} has a line break`);
  return list;
}

function method(e: Entry, form: RegExp): string {
  if (!form.test(e.request.method)) throw new CannotCopy('its method would be read as something else');
  return e.request.method;
}

// Fixed sentences: a captured word would end the comment that they stand in.
function notes(e: Entry): string[] {
  const post = e.request.postData;
  const out: string[] = [];
  if (post?._truncated) out.push('The body was kept in part.');
  if (post?._leftOut) out.push('The body is left out.');
  if (e.request.headers.some((h) => !named(h) && !h.name.startsWith(':'))) out.push('Header fields are left out whose names are none.');
  return out;
}

export function asCurl(e: Entry): string {
  const args = [quote(target(e))];
  const body = bodyOf(e);
  if (/[[\]{}]/.test(e.request.url)) args.push('--globoff');
  const verb = method(e, verbs);
  if (verb !== (body ? 'POST' : 'GET')) args.push(verb === 'HEAD' ? '--head' : `--request ${quote(verb)}`);
  // A name is never @file: that is no token.
  for (const h of lineFields(e)) args.push(`--header ${quote(h.value.trim() === '' ? `${h.name};` : `${h.name}: ${h.value}`)}`);
  if (header(e.request.headers, 'accept-encoding')) args.push('--compressed');
  // Path segments that are dots are the request's, too.
  if (/\/\.\.?(\/|$|\?)/.test(e.request.url)) args.push('--path-as-is');
  let before = '';
  if (body && (body.text === null || body.text.includes('\0'))) {
    before = `printf %s ${toBase64(body.bytes)} | base64 -d | `;
    args.push('--data-binary @-');
  } else if (body) args.push(`--data-raw ${quote(body.text!)}`);
  return [...notes(e).map((n) => `# ${n}`), `${before}curl ${args.join(' \\\n  ')}`].join('\n');
}

/** A string of JavaScript in which nothing is invisible. */
function js(text: string): string {
  return Array.from(JSON.stringify(text), (c) => (plain(c) ? c : Array.from({ length: c.length }, (_, i) => `\\u${c.charCodeAt(i).toString(16).padStart(4, '0')}`).join(''))).join('');
}

export function asFetch(e: Entry): string {
  const list = fields(e);
  const once = new Set(list.map((h) => h.name.toLowerCase())).size === list.length;
  const body = bodyOf(e);
  const lines = [`  method: ${js(e.request.method)},`];
  if (list.length > 0 && once) lines.push('  headers: {', ...list.map((h) => `    ${js(h.name)}: ${js(h.value)},`), '  },');
  else if (list.length > 0) lines.push('  headers: [', ...list.map((h) => `    [${js(h.name)}, ${js(h.value)}],`), '  ],');
  if (body && !/^(GET|HEAD)$/.test(e.request.method)) {
    lines.push(`  body: ${body.text === null ? `Uint8Array.from(atob("${toBase64(body.bytes)}"), (c) => c.charCodeAt(0))` : js(body.text)},`);
  }
  return [...notes(e).map((n) => `// ${n}`), `await fetch(${js(target(e))}, {`, ...lines, '});'].join('\n');
}

/** What HTTPie reads a header's value as: a backslash before a character of its separators is taken away. */
const httpieReads = (value: string) => value.replace(/\\([^])/g, (pair, c: string) => (/[:;=@]/.test(c) ? c : pair));

export function asHttpie(e: Entry): string {
  // What is not letters only, HTTPie takes for the URL.
  const args = [method(e, /^[a-z]+$/i), quote(target(e))];
  for (const h of lineFields(e)) {
    // "name:@file" and "name:=@file" would be a file's content, "name:=" JSON; "name;" is an empty value.
    const value = /^[=@]/.test(h.value) ? `\\${h.value}` : h.value;
    if (httpieReads(value) !== h.value) throw new CannotCopy(`HTTPie cannot write the value of ${h.name}: a backslash stands before one of : ; = @`);
    args.push(quote(value.trim() === '' ? `${h.name};` : `${h.name}:${value}`));
  }
  const body = bodyOf(e);
  let before = '';
  let ignore = '--ignore-stdin ';
  if (body && (body.text === null || body.text.includes('\0'))) {
    before = `printf %s ${toBase64(body.bytes)} | base64 -d | `;
    ignore = '';
  } else if (body) args.push(quote(`--raw=${body.text!}`)); // one word: a body that begins with - is no option
  return [...notes(e).map((n) => `# ${n}`), `${before}http ${ignore}${args.join(' \\\n  ')}`].join('\n');
}

/** Both messages as HTTP/1.1 writes them. Bodies that are not text are left out. */
export function asRaw(e: Entry): string {
  const lines = (list: Pair[] | undefined) => (list ?? []).map((h) => `${h.name}: ${h.value}`);
  const out = [`${e.request.method} ${e.request._target ?? e.request.url} ${e.request.httpVersion}`, ...lines(e.request.headers), ''];
  const body = bodyOf(e);
  if (body) out.push(body.text ?? `(${body.bytes.length} bytes)`, '');
  out.push(...lines(e.request._trailers));
  if (!e.response._notSeen) {
    out.push(`${e.response.httpVersion} ${e.response.status} ${e.response.statusText}`.trim(), ...lines(e.response.headers), '');
    const content = e.response.content;
    if (content.text) out.push(content.encoding ? `(${fromBase64(content.text).length} bytes)` : content.text, '');
    out.push(...lines(e.response._trailers));
  }
  return out.join('\n');
}

export function asHar(entries: Entry[], comment: string): string {
  return JSON.stringify({ log: { version: '1.2', creator: { name: 'otelcol-qpoint', version: '1' }, entries, comment } }, null, 2);
}

export const forms: Record<Form, (e: Entry) => string> = { curl: asCurl, fetch: asFetch, httpie: asHttpie, raw: asRaw };
