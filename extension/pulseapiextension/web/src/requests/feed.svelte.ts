// The rows of the list: pages of what is stored, and what is stored from now on.
import { address, getMe, getRequests, Problem, type Request } from '../lib/api.ts';
import { newest, type Which } from '../lib/newest.ts';

const nextPage = 1000;
export const keep = 100_000; // rows held in the browser
const lateness = 35_000; // ms: rows may be stored late, and are told again when their payload settles
const rhythm = 250; // ms between draws of what came

export const keyOf = (r: Request) => `${r.trace_id}/${r.span_id}`;

export type Link = 'off' | 'connecting' | 'live' | 'down';

/** Newest first; of one time, in the order of the API. */
const before = (a: Request, b: Request) => (a.time !== b.time ? a.time > b.time : a.span_id > b.span_id);

export class Feed {
  rows: Request[] = $state.raw([]);
  loaded = $state(false); // the first answer is here
  loading = $state(false);
  problem: Problem | null = $state.raw(null);
  link: Link = $state('off');
  waiting = $state(0); // rows that came while the list is held
  gap = $state(''); // until when rows are missing because more came than can be told
  full = $state(false); // no older rows are held
  arrived = $state(0); // rows that ever came live, for those who count

  #known = new Map<string, Request>();
  #buffer: Request[] = [];
  #held: Request[] = [];
  #hold = false;
  #ready = false; // the first page is here: until then, what comes live waits
  #cursor = '';
  #which: Which = { filter: '', from: '', to: '' };
  #stop: AbortController | null = null;
  #source: EventSource | null = null;
  #timer = 0;
  #retry = 0;
  #wanted = false; // live, as far as the user goes

  /** Shows other rows. Live: go on with what is stored from now on. */
  show(which: Which, live: boolean) {
    this.end();
    this.#which = which;
    this.#wanted = live;
    this.#ready = false;
    this.#buffer = [];
    this.#held = [];
    this.waiting = 0;
    this.gap = '';
    this.full = false;
    this.#cursor = '';
    const stop = (this.#stop = new AbortController());
    this.loading = true;
    if (live) this.#listen();
    getRequests(newest(which, live), stop.signal).then(
      (page) => {
        if (stop.signal.aborted) return;
        this.rows = [];
        this.#known.clear();
        this.#merge(page.requests);
        this.#ready = true;
        this.#flush();
        this.#cursor = page.next_cursor ?? '';
        this.loaded = true;
        this.loading = false;
        this.problem = null;
      },
      (err: Problem) => {
        if (stop.signal.aborted) return;
        this.problem = err;
        this.loading = false;
        this.#wanted = false;
        this.#silence();
      },
    );
  }

  /** Ends everything that is under way. */
  end() {
    this.#stop?.abort();
    this.#silence();
  }

  /** Stops or goes on following, with what was missed. */
  set live(on: boolean) {
    if (on === this.#wanted) return;
    this.#wanted = on;
    if (on) void this.#resume();
    else this.#silence();
  }

  /** Nobody looks: ends the stream. Later: goes on. */
  set hidden(yes: boolean) {
    if (!this.#wanted) return;
    if (yes) this.#silence();
    else if (!this.#source) void this.#resume();
  }

  /** What comes is counted, not shown, while somebody reads further down. */
  set hold(on: boolean) {
    this.#hold = on;
    if (!on) this.release();
  }

  /** Shows what came while the list was held. */
  release() {
    const rows = this.#held;
    this.#held = [];
    this.waiting = 0;
    this.#merge(rows);
  }

  find(key: string): Request | undefined {
    return this.#known.get(key);
  }

  /** Loads older rows, when there are any and none are on their way. */
  async more() {
    if (!this.#cursor || this.loading || this.full) return;
    this.loading = true;
    const stop = this.#stop!;
    try {
      const page = await getRequests({ ...this.#which, to: this.#wanted ? '' : this.#which.to, cursor: this.#cursor, limit: nextPage }, stop.signal);
      if (stop.signal.aborted) return;
      this.#cursor = page.next_cursor ?? '';
      this.#merge(page.requests);
      this.problem = null;
    } catch (err) {
      if (stop.signal.aborted) return;
      this.problem = err as Problem;
    }
    this.loading = false;
  }

  /** Goes on after a pause: what was stored meanwhile, or the list anew when that is more than a page. */
  async #resume() {
    const newest = this.rows[0];
    if (!newest) return this.show(this.#which, true);
    this.#listen();
    const stop = this.#stop!; // of these rows: others may be shown when the answer comes
    try {
      const page = await getRequests({ filter: this.#which.filter, from: new Date(Date.parse(newest.time) - lateness).toISOString(), limit: nextPage }, stop.signal);
      if (stop.signal.aborted) return;
      if (page.next_cursor) this.show(this.#which, true);
      else this.#take(page.requests);
    } catch (err) {
      if (!stop.signal.aborted) this.problem = err as Problem;
    }
  }

  #silence() {
    clearTimeout(this.#timer);
    clearTimeout(this.#retry);
    this.#timer = this.#retry = 0;
    this.#source?.close();
    this.#source = null;
    this.link = 'off';
  }

  #listen() {
    this.#silence();
    if (document.hidden) return;
    this.link = 'connecting';
    const url = address('requests/tail', { filter: this.#which.filter });
    const source = (this.#source = new EventSource(url));
    source.onopen = () => (this.link = 'live');
    source.addEventListener('row', (e) => {
      this.#buffer.push(JSON.parse(e.data) as Request);
      this.#timer ||= window.setTimeout(() => this.#flush(), rhythm);
    });
    source.addEventListener('gap', (e) => (this.gap = (JSON.parse(e.data) as { to: string }).to));
    source.addEventListener('problem', (e) => (this.problem = new Problem(503, JSON.parse(e.data))));
    source.onerror = () => {
      // The browser connects again by itself, with Last-Event-ID, unless it was refused.
      this.link = source.readyState === EventSource.CLOSED ? 'down' : 'connecting';
      if (source.readyState !== EventSource.CLOSED) return;
      this.#source = null;
      getMe().catch(() => {}); // whoever is signed out gets to know
      this.#retry = window.setTimeout(() => this.#wanted && void this.#resume(), 5_000);
    };
  }

  #flush() {
    this.#timer = 0;
    if (!this.#ready || this.#buffer.length === 0) return;
    const rows = this.#buffer;
    this.#buffer = [];
    this.problem = null;
    this.#take(rows);
  }

  #take(rows: Request[]) {
    const since = this.#which.from;
    const fresh = rows.filter((r) => !this.#known.has(keyOf(r)) && (!since || r.time >= since));
    this.arrived += fresh.length;
    if (!this.#hold) return this.#merge(rows);
    const waiting = new Map(this.#held.map((r) => [keyOf(r), r]));
    for (const r of fresh) waiting.set(keyOf(r), r);
    this.#held = [...waiting.values()].slice(-keep);
    this.waiting = this.#held.length;
    this.#merge(rows.filter((r) => this.#known.has(keyOf(r))));
  }

  /** Puts rows where they belong; one that is known is shown as it is now. */
  #merge(rows: Request[]) {
    if (rows.length === 0) return;
    const next: Request[] = [];
    const changed = new Set<string>();
    for (const r of rows) {
      const key = keyOf(r);
      if (this.#known.has(key)) changed.add(key);
      else next.push(r);
      this.#known.set(key, r);
    }
    let all = this.rows;
    if (changed.size > 0) all = all.map((r) => (changed.has(keyOf(r)) ? this.#known.get(keyOf(r))! : r));
    next.sort((a, b) => (before(a, b) ? -1 : 1));
    this.rows = this.#trim(mergeSorted(all, next));
  }

  #trim(all: Request[]): Request[] {
    if (all.length <= keep) return all;
    this.full = true;
    for (const r of all.slice(keep)) this.#known.delete(keyOf(r));
    return all.slice(0, keep);
  }
}

function mergeSorted(a: Request[], b: Request[]): Request[] {
  if (b.length === 0) return a;
  if (a.length === 0) return b;
  if (before(a.at(-1)!, b[0]!)) return a.concat(b); // an older page
  if (before(b.at(-1)!, a[0]!)) return b.concat(a); // only new ones
  const out: Request[] = [];
  let i = 0;
  for (const r of b) {
    while (i < a.length && before(a[i]!, r)) out.push(a[i++]!);
    out.push(r);
  }
  while (i < a.length) out.push(a[i++]!);
  return out;
}
