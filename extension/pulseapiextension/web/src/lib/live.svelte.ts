// The list of requests, followed live.
import { getRequests, Problem, type Request } from './api.ts';

export interface Filters {
  server: string;
  path: string;
  method: string;
  status: string; // "", "2" … "5"
  executable: string;
  connection: string;
}

export const noFilters: Filters = { server: '', path: '', method: '', status: '', executable: '', connection: '' };

const every = 1_000; // ms
const pageSize = 500;
const keep = 5_000; // rows held in the browser
const lookBack = 90_000; // ms: rows may arrive late, and payload states settle within 60 s

export type Link = 'connecting' | 'live' | 'down' | 'signed-out';

export const keyOf = (r: { trace_id: string; span_id: string }) => `${r.trace_id}/${r.span_id}`;

export class Live {
  rows: Request[] = $state.raw([]);
  link: Link = $state('connecting');
  problem = $state('');
  login = $state(''); // where to sign in, when that is by a provider
  loaded = $state(false); // the first answer for these filters is here
  older = $state(''); // cursor of the next older page
  skipped = $state(false); // more came in one second than a page holds
  filters: Filters = $state({ ...noFilters });

  #known = new Map<string, Request>();
  #timer = 0;
  #round: AbortController | null = null;

  start() {
    void this.#poll();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#round?.abort();
  }

  /** Starts again with what the filters are now. */
  restart() {
    this.stop();
    this.#known.clear();
    this.rows = [];
    this.loaded = false;
    this.older = '';
    this.skipped = false;
    this.start();
  }

  find(key: string): Request | undefined {
    return this.#known.get(key);
  }

  async loadOlder() {
    const cursor = this.older;
    if (!cursor) return;
    this.older = '';
    const query = this.#query();
    const last = this.rows.at(-1);
    if (!last) return;
    query.set('cursor', cursor);
    query.set('from', new Date(Date.parse(last.time) - 30 * 86_400_000).toISOString());
    query.set('limit', String(pageSize));
    try {
      const page = await getRequests(query);
      this.#merge(page.requests);
      this.older = page.next_cursor ?? '';
    } catch {
      this.older = cursor;
    }
  }

  #query(): URLSearchParams {
    const f = this.filters;
    const q = new URLSearchParams();
    // A quoted value means exactly itself, whatever a person types.
    const words = (['server', 'path', 'method', 'executable', 'connection'] as const)
      .filter((name) => f[name])
      .map((name) => `${name}:"${f[name].replace(/[\\"]/g, '\\$&')}"`);
    if (f.status) words.push(`status:${f.status}xx`);
    if (words.length) q.set('filter', words.join(' '));
    return q;
  }

  async #poll() {
    clearTimeout(this.#timer);
    const round = (this.#round = new AbortController());
    if (!document.hidden) await this.#refresh(round.signal);
    if (!round.signal.aborted) this.#timer = window.setTimeout(() => void this.#poll(), every);
  }

  async #refresh(signal: AbortSignal) {
    const query = this.#query();
    query.set('limit', String(this.loaded ? pageSize : 200));
    const newest = this.rows[0];
    if (this.loaded && newest) query.set('from', new Date(Date.parse(newest.time) - lookBack).toISOString());
    try {
      const page = await getRequests(query, signal);
      if (signal.aborted) return;
      const oldest = page.requests.at(-1);
      this.skipped = !!(this.loaded && newest && page.next_cursor && oldest && oldest.time > newest.time);
      this.#merge(page.requests);
      if (!this.loaded) this.older = page.next_cursor ?? '';
      this.loaded = true;
      this.link = 'live';
      this.problem = '';
    } catch (err) {
      if (signal.aborted) return;
      const p = err as Problem;
      this.link = p.status === 401 ? 'signed-out' : 'down';
      this.login = p.login ?? '';
      this.problem = p.message;
    }
  }

  #merge(rows: Request[]) {
    let changed = false;
    for (const r of rows) {
      const key = keyOf(r);
      const old = this.#known.get(key);
      if (old && old.payload.state === r.payload.state && old.status === r.status && old.duration_ns === r.duration_ns) continue;
      this.#known.set(key, r);
      changed = true;
    }
    if (!changed) return;
    const all = [...this.#known.values()].sort((a, b) => (a.time < b.time ? 1 : a.time > b.time ? -1 : a.span_id < b.span_id ? 1 : -1));
    for (const r of all.splice(keep)) this.#known.delete(keyOf(r));
    this.rows = all;
  }
}
