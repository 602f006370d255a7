// Whether this browser may read from the bucket, found out by asking it for an object that is not there.
import { getBucketCheck, Problem } from './api.ts';

export interface BucketCheck {
  /**
   * readable: the page sees what the bucket answers. denied: it sees that the bucket refuses the signature. blocked: it answers, but its
   * CORS rules keep that from the page. unreachable: no answer at all. unknown: Pulse gave out no link to try.
   */
  state: 'readable' | 'denied' | 'blocked' | 'unreachable' | 'unknown';
  /** What the bucket, or Pulse, says: the code of its error. */
  said: string;
}

/** The rule that lets a page of this origin read, to be pasted into the bucket's CORS settings. */
export function corsRule(origin: string): string {
  return `[{
  "AllowedOrigins": ["${origin}"],
  "AllowedMethods": ["GET", "HEAD"],
  "ExposeHeaders": ["Content-Range", "Content-Length", "ETag"]
}]`;
}

/** A key that may read but not list gets AccessDenied for what is not there. */
const fine = ['NoSuchKey', 'AccessDenied'];

export async function checkBucket(place: { origin: string; bucket: string }, signal?: AbortSignal): Promise<BucketCheck> {
  let url: string;
  try {
    // Where browsers sign themselves, an unsigned question has to do: a bucket that answers it with CORS headers is readable.
    url = (await getBucketCheck({}, signal)).url ?? `${place.origin}/${encodeURIComponent(place.bucket)}/pulse-check`;
  } catch (err) {
    return { state: 'unknown', said: (err as Problem).message };
  }
  const ask = (mode: RequestMode) => fetch(url, { mode, credentials: 'omit', referrerPolicy: 'no-referrer', cache: 'no-store', signal: signal ?? null });
  let answer: Response;
  try {
    answer = await ask('cors');
  } catch {
    // What cannot be read may still be there: an opaque answer tells the two apart.
    return ask('no-cors').then(
      () => ({ state: 'blocked', said: '' }),
      () => ({ state: 'unreachable', said: '' }),
    );
  }
  const code = /<Code>(\w{1,64})<\/Code>/.exec((await answer.text().catch(() => '')).slice(0, 4096))?.[1] ?? `HTTP ${answer.status}`;
  return { state: fine.includes(code) || answer.ok ? 'readable' : 'denied', said: code };
}
