// Loads the payload of one request: a link from Pulse, the bytes straight from the bucket.
import { getRequest, postLink, Problem, type Link, type Request } from '../lib/api.ts';
import { parseHar, type Exchange } from './har.ts';
import { NoEntry, readEntry, readLocal, ZipError, type Ranges } from './zip.ts';

export type Trouble =
  | 'lost' | 'not_visible' | 'filtered' | 'sampled_out' | 'gone' | 'cors' | 'unreachable' | 'denied'
  | 'damaged' | 'no_entry' | 'no_bucket' | 'failed';

export type View =
  | { kind: 'loading' }
  | { kind: 'pending' }
  | { kind: 'trouble'; trouble: Trouble; detail: string; origin?: string }
  | { kind: 'ready'; exchange: Exchange; link: Link };

class BucketError extends Error {
  readonly trouble: 'missing' | 'denied' | 'cors' | 'unreachable';
  constructor(trouble: BucketError['trouble'], detail: string) {
    super(detail);
    this.trouble = trouble;
  }
}

// No header of our own besides a single range: so the browser sends no CORS preflight.
const plain: RequestInit = { credentials: 'omit', referrerPolicy: 'no-referrer', cache: 'no-store', redirect: 'error' };

function bucketRanges(url: string, signal: AbortSignal): Ranges {
  return async (first, last) => {
    let answer: Response;
    try {
      answer = await fetch(url, { ...plain, headers: { Range: `bytes=${first}-${last}` }, signal });
    } catch (err) {
      if (signal.aborted) throw err;
      throw await whyBlocked(url, signal);
    }
    if (answer.status === 206) {
      const bytes = new Uint8Array(await answer.arrayBuffer());
      const size = Number(/\/(\d+)$/.exec(answer.headers.get('Content-Range') ?? '')?.[1] ?? NaN);
      if (Number.isNaN(size)) throw new BucketError('cors', 'Content-Range');
      return { bytes, size };
    }
    if (answer.status === 200) {
      // A store without ranges sends everything.
      const all = new Uint8Array(await answer.arrayBuffer());
      return { bytes: all.subarray(first, last + 1), size: all.length };
    }
    if (answer.status === 416) return { bytes: new Uint8Array(), size: 0 }; // nothing is at byte 0: an empty object
    const code = /<Code>(\w{1,64})<\/Code>/.exec((await answer.text()).slice(0, 4096))?.[1] ?? `HTTP ${answer.status}`;
    throw new BucketError(answer.status === 404 ? 'missing' : 'denied', code);
  };
}

/** The HAR of one exchange: the link's own bytes, or found in the whole object while no receipt says where it lies. */
async function readLink(link: Link, signal: AbortSignal): Promise<Uint8Array> {
  const ranges = bucketRanges(link.url, signal);
  const own = /^bytes=(\d+)-(\d+)$/.exec(link.range ?? '');
  if (!own) return readEntry(ranges, link.entry);
  return readLocal((await ranges(Number(own[1]), Number(own[2]))).bytes, link.entry);
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

const pause = 500; // ms
const patience = 5_000; // ms that a fresh object may stay invisible after it was said to be sent

/**
 * Loads the payload and reports each step. While the segment is on its way it tries again, so the
 * payload shows within half a second of the object's arrival.
 */
export async function load(first: Request, signal: AbortSignal, show: (v: View) => void): Promise<void> {
  let request = first;
  let link: Link | null = null;
  const opened = Date.now();
  let asked = opened;
  show(request.payload.state === 'pending' ? { kind: 'pending' } : { kind: 'loading' });
  while (!signal.aborted) {
    const state = request.payload.state;
    if (state === 'not_visible' || state === 'filtered' || state === 'sampled_out') {
      return show({ kind: 'trouble', trouble: state, detail: request.payload.reason ?? '' });
    }
    if (state === 'lost' && request.payload.reason !== 'no_receipt') {
      return show({ kind: 'trouble', trouble: 'lost', detail: request.payload.reason ?? '' });
    }
    try {
      // A link is an audited event: one is used for as long as it works.
      if (!link || Date.parse(link.expires_at) - Date.now() < 5_000) link = await postLink(request.trace_id, request.span_id, signal);
      const exchange = parseHar(await readLink(link, signal));
      return show({ kind: 'ready', exchange, link });
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

/** What to show for an error, or null to try again. */
function explain(err: unknown, request: Request, link: Link | null, early: boolean): View | null {
  const { state, reason } = request.payload;
  const origin = link ? new URL(link.url).origin : '';
  const trouble = (trouble: Trouble, detail: string): View => ({ kind: 'trouble', trouble, detail, origin });
  if (err instanceof BucketError) {
    // Some stores answer "denied", or without CORS headers, for what is not there yet.
    const absent = err.trouble === 'missing' || err.message === 'AccessDenied' || err.trouble === 'cors';
    if (absent && (state === 'pending' || (early && err.trouble === 'missing' && state !== 'lost'))) return null;
    if (state === 'lost') return trouble('lost', reason ?? '');
    return trouble(err.trouble === 'missing' ? 'gone' : err.trouble, err.message);
  }
  if (err instanceof NoEntry) return trouble('no_entry', '');
  if (err instanceof ZipError || err instanceof SyntaxError) return trouble('damaged', err.message);
  if (err instanceof Problem) {
    if (err.status === 0 || err.status === 503 || (err.status === 404 && err.code === 'not_found' && early)) return null;
    if (err.code === 'no_bucket') return trouble('no_bucket', '');
    if (err.code === 'payload_lost') return trouble('lost', err.reason);
    if (err.code === 'no_receipt') return state === 'pending' || early ? null : trouble('lost', 'no_receipt');
    return trouble('failed', err.message);
  }
  return trouble('damaged', err instanceof Error ? err.message : '');
}
