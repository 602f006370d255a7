// Reads bytes of the bucket, and finds out why that does not work.
import type { Link } from '../lib/api.ts';
import { objectUrl, presign, type Keys } from './sigv4.ts';

export class BucketError extends Error {
  readonly trouble: 'missing' | 'denied' | 'cors' | 'unreachable';
  constructor(trouble: BucketError['trouble'], detail: string) {
    super(detail);
    this.trouble = trouble;
  }
}

/** The page has no keys to sign with, and Pulse has none. */
export class NeedsKeys extends Error {}
/** WebCrypto is for pages of https or of this machine only. */
export class Insecure extends Error {}

// No header of our own besides a single range: so the browser sends no CORS preflight.
const plain: RequestInit = { credentials: 'omit', referrerPolicy: 'no-referrer', cache: 'no-store', redirect: 'error' };
const lifetime = 60; // seconds that a link signed here works

/** The URL that reads a range of a link: as Pulse signed it, or signed here. */
export async function urlOf(link: Link, part: { url?: string }, keys: Keys | null): Promise<string> {
  if (!link.endpoint) return part.url ?? '';
  if (!keys) throw new NeedsKeys();
  if (!globalThis.crypto?.subtle) throw new Insecure();
  return presign(objectUrl(link.endpoint, link.key), link.region ?? '', keys, lifetime, new Date());
}

/** Bytes first to last (both included, cut at the end of the object). */
export async function readRange(url: string, first: number, last: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  let answer: Response;
  try {
    answer = await fetch(url, { ...plain, headers: { Range: `bytes=${first}-${last}` }, signal });
  } catch (err) {
    if (signal.aborted) throw err;
    throw await whyBlocked(url, signal);
  }
  if (answer.status === 206) return new Uint8Array(await answer.arrayBuffer());
  // A store without ranges sends everything.
  if (answer.status === 200) return new Uint8Array(await answer.arrayBuffer()).subarray(first, last + 1);
  if (answer.status === 416) return new Uint8Array(); // nothing is at byte 0: an empty object
  throw await refusal(answer);
}

/** All bytes of an object, up to a bound. */
export async function readAll(url: string, limit: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  let answer: Response;
  try {
    answer = await fetch(url, { ...plain, signal });
  } catch (err) {
    if (signal.aborted) throw err;
    throw await whyBlocked(url, signal);
  }
  if (!answer.ok) throw await refusal(answer);
  if (Number(answer.headers.get('Content-Length') ?? 0) > limit) throw new BucketError('denied', 'the object is too large to be verified here');
  return new Uint8Array(await answer.arrayBuffer());
}

async function refusal(answer: Response): Promise<BucketError> {
  const code = /<Code>(\w{1,64})<\/Code>/.exec((await answer.text()).slice(0, 4096))?.[1] ?? `HTTP ${answer.status}`;
  return new BucketError(answer.status === 404 ? 'missing' : 'denied', code);
}

/** A blocked fetch says nothing about why; an opaque one tells "not allowed" from "not there". */
async function whyBlocked(url: string, signal: AbortSignal): Promise<BucketError> {
  try {
    await fetch(url, { ...plain, mode: 'no-cors', redirect: 'follow', signal });
    return new BucketError('cors', 'Access-Control-Allow-Origin');
  } catch (err) {
    if (signal.aborted) throw err;
    return new BucketError('unreachable', '');
  }
}

export interface Check {
  name: string;
  ok: boolean | null; // null: it could not be tried
  text: string;
}

/** What this browser can do with the bucket, step by step. */
export async function selfTest(url: string, range: string, signal: AbortSignal): Promise<Check[]> {
  const out: Check[] = [];
  const say = (name: string, ok: boolean | null, text: string) => out.push({ name, ok, text });
  const reached = await fetch(url, { ...plain, mode: 'no-cors', redirect: 'follow', signal }).then(
    () => true,
    () => false,
  );
  const origin = new URL(url).origin;
  say('The bucket answers', reached, reached ? origin : `${origin} does not answer this browser: the address, the network, or a certificate that is not trusted.`);
  const answer = await fetch(url, { ...plain, headers: range ? { Range: range } : {}, signal }).catch(() => null);
  say('It lets this page read', answer ? true : reached ? false : null, answer ? `from ${location.origin}` : `No Access-Control-Allow-Origin for ${location.origin} in its answer.`);
  const allowed = answer ? answer.ok : null;
  say('It accepts the signature', allowed, answer ? (answer.ok ? `HTTP ${answer.status}` : (await refusal(answer)).message) : 'Not known: the answer cannot be read.');
  return out;
}

export { corsRule } from '../lib/cors.ts';
