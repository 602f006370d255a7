// Loads the payload of one request: a link from Pulse, the bytes straight from the bucket.
import { getRequest, postLink, Problem, type Link, type Request } from '../lib/api.ts';
import { BucketError, Insecure, NeedsKeys, readAll, readRange, urlOf } from './bucket.ts';
import { toHex } from './bytes.ts';
import { isSealed } from '../lib/age.ts';
import { decrypt, Encrypted } from './decrypt.ts';
import { parseHar, type Exchange } from './har.ts';
import type { Keys } from './sigv4.ts';
import { NoEntry, readHead, readLocal, ZipError } from './zip.ts';

export type Trouble =
  | 'lost' | 'no_receipt' | 'not_visible' | 'filtered' | 'sampled_out' | 'erased' | 'expired' | 'gone' | 'cors' | 'unreachable' | 'denied'
  | 'damaged' | 'no_entry' | 'no_bucket' | 'forbidden' | 'encrypted' | 'keys' | 'insecure' | 'failed';

export interface Ready {
  kind: 'ready';
  exchange: Exchange;
  link: Link;
  /** Bytes of the entry that are loaded, and that there are; 0 when that is not known. */
  loaded: number;
  total: number;
  /** Loads what is not loaded yet; null when all is. */
  more: (() => Promise<void>) | null;
}

export type View =
  | { kind: 'loading' }
  | { kind: 'pending' }
  | { kind: 'trouble'; trouble: Trouble; detail: string; link?: Link }
  | Ready;

/** What is loaded at once. */
const head = 64 << 10;
/** Up to this size the rest follows without being asked for. */
const soon = 512 << 10;

const pause = 500; // ms
const patience = 5_000; // ms that a fresh object may stay invisible after it was said to be sent

/**
 * Loads the payload and reports each step. While the segment is on its way it tries again, so the
 * payload shows within half a second of the object's arrival.
 */
export async function load(first: Request, keys: Keys | null, signal: AbortSignal, show: (v: View) => void): Promise<void> {
  let request = first;
  let link: Link | null = null;
  const opened = Date.now();
  let asked = opened;
  const absent = known(request);
  if (absent) return show(absent);
  show(request.payload.state === 'pending' ? { kind: 'pending' } : { kind: 'loading' });
  while (!signal.aborted) {
    const absent = known(request);
    if (absent) return show(absent);
    try {
      // A link is an audited event: one is used for as long as it works.
      if (!link || Date.parse(link.expires_at) - Date.now() < 5_000) link = await postLink(request.trace_id, request.span_id, signal, { head });
      return await read(request, link, keys, signal, show);
    } catch (err) {
      if (signal.aborted) return;
      const final = explain(err, request, link, Date.now() - opened < patience);
      if (final) return show(final);
    }
    show({ kind: 'pending' });
    await new Promise((done) => setTimeout(done, pause));
    if (Date.now() - asked > 1_000) {
      asked = Date.now();
      request = await getRequest(request.trace_id, request.span_id, signal).catch(() => request);
    }
  }
}

/** Loads all of a payload, however large: what is shown is never its beginning only. */
export async function loadWhole(request: Request, keys: Keys | null, signal: AbortSignal, show: (v: View) => void): Promise<void> {
  let rest: Ready['more'] = null;
  await load(request, keys, signal, (v) => {
    if (v.kind === 'ready' && v.more) rest = v.more;
    else show(v);
  });
  await (rest as Ready['more'])?.();
}

/** What the row itself says of a payload that cannot be loaded. */
function known(request: Request): View | null {
  const { state, reason } = request.payload;
  const trouble = (t: Trouble): View => ({ kind: 'trouble', trouble: t, detail: reason ?? '' });
  if (state === 'not_visible' || state === 'filtered' || state === 'sampled_out' || state === 'erased') return trouble(state);
  if (state === 'lost' && reason !== 'no_receipt') return trouble('lost');
  return null;
}

const span = (range: string | undefined) => {
  const m = /^bytes=(\d+)-(\d+)$/.exec(range ?? '');
  return m && { first: Number(m[1]), last: Number(m[2]) };
};

async function part(link: Link, of: { url?: string; range?: string }, keys: Keys | null, signal: AbortSignal): Promise<Uint8Array> {
  const at = span(of.range)!;
  return readRange(await urlOf(link, of, keys), at.first, at.last, signal);
}

async function read(request: Request, link: Link, keys: Keys | null, signal: AbortSignal, show: (v: View) => void): Promise<void> {
  const first = await part(link, link, keys, signal);
  const whole = async (rest: Uint8Array) => {
    const all = new Uint8Array(first.length + rest.length);
    all.set(first);
    all.set(rest, first.length);
    const exchange = parseHar(await decrypt(await readLocal(all, link.entry)));
    show({ kind: 'ready', exchange, link, loaded: all.length, total: all.length, more: null });
  };
  if (!link.rest) return whole(new Uint8Array());
  const rest = link.rest;
  const size = span(rest.range)!;
  const total = first.length + size.last - size.first + 1;
  const more = async () => {
    try {
      let now = link;
      if (Date.parse(now.expires_at) - Date.now() < 2_000) now = await postLink(request.trace_id, request.span_id, signal, { head });
      await whole(await part(now, now.rest ?? rest, keys, signal));
    } catch (err) {
      if (signal.aborted) return;
      show(explain(err, request, link, false) ?? { kind: 'trouble', trouble: 'failed', detail: '' });
    }
  };
  if (total <= soon) return whole(await part(link, rest, keys, signal));
  const bytes = await readHead(first, link.entry);
  // The beginning of what is encrypted opens nothing.
  if (isSealed(bytes)) return whole(await part(link, rest, keys, signal));
  show({ kind: 'ready', exchange: parseHar(bytes, true), link, loaded: first.length, total, more });
}

/** What to show for an error, or null to try again. */
function explain(err: unknown, request: Request, link: Link | null, early: boolean): View | null {
  const { state, reason } = request.payload;
  const trouble = (t: Trouble, detail: string): View => ({ kind: 'trouble', trouble: t, detail, ...(link ? { link } : {}) });
  if (err instanceof NeedsKeys) return trouble('keys', '');
  if (err instanceof Insecure) return trouble('insecure', '');
  if (err instanceof BucketError) {
    // Some stores answer "denied", or without CORS headers, for what is not there yet.
    const absent = err.trouble === 'missing' || err.message === 'AccessDenied' || err.trouble === 'cors';
    if (absent && (state === 'pending' || (early && err.trouble === 'missing' && state !== 'lost'))) return null;
    if (state === 'lost') return trouble('no_receipt', reason ?? '');
    if (err.trouble === 'missing') return trouble(Date.parse(request.stored?.expires_at ?? '') < Date.now() ? 'expired' : 'gone', err.message);
    return trouble(err.trouble, err.message);
  }
  if (err instanceof Encrypted) return trouble('encrypted', err.how);
  if (err instanceof NoEntry) return trouble('no_entry', '');
  if (err instanceof ZipError || err instanceof SyntaxError) return trouble('damaged', err.message);
  if (err instanceof Problem) {
    if (err.status === 0 || err.status === 503 || err.status === 429 || (err.code === 'not_found' && early) || (err.code === 'no_receipt' && state === 'pending')) return null;
    const names: Record<string, Trouble> = {
      no_bucket: 'no_bucket', no_receipt: 'no_receipt', forbidden: 'forbidden', payload_lost: 'lost', payload_erased: 'erased', payload_filtered: 'filtered',
      payload_sampled_out: 'sampled_out', payload_not_visible: 'not_visible',
    };
    return trouble(names[err.code] ?? 'failed', names[err.code] ? err.reason : err.message);
  }
  return trouble('damaged', err instanceof Error ? err.message : '');
}

const maxVerified = 256 << 20;

/** Whether the object in the bucket is the one that the receipt tells of, by its SHA-256. The object is read whole, which the audit tells. */
export async function verify(request: Request, keys: Keys | null, signal: AbortSignal): Promise<{ ok: boolean; sha256: string }> {
  if (!globalThis.crypto?.subtle) throw new Insecure();
  const link = await postLink(request.trace_id, request.span_id, signal, { purpose: 'verify' });
  const bytes = await readAll(await urlOf(link, link, keys), maxVerified, signal);
  const sha256 = toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
  return { ok: sha256 === request.stored?.sha256, sha256 };
}
