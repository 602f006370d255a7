// The parts of an exchange that goes on: each is a span with a payload of its own.
import { getRequests, type Request } from '../lib/api.ts';
import { bucketKeys } from './keys.svelte.ts';
import { loadWhole, type View } from './load.ts';

const pages = 10; // of as many as the API tells at once
const page = 1000;

export class Parts {
  /** In the order of the exchange. */
  list: Request[] = $state.raw([]);
  /** What became of each that was wanted, by span. */
  views: Record<string, View> = $state.raw({});
  problem = $state('');
  readonly #of: Request;
  readonly #stop = new AbortController();
  #found: Promise<void> | null = null;
  #loading: Promise<void> = Promise.resolve();

  constructor(of: Request) {
    this.#of = of;
  }

  /** Asks which parts there are, once. */
  find(): Promise<void> {
    return (this.#found ??= this.#find());
  }

  async #find() {
    const { trace_id, span_id, time } = this.#of;
    const found: Request[] = [];
    try {
      // Parts end after the exchange has begun; how long it goes on is not known.
      const which = { filter: `trace:${trace_id} parent:${span_id} part:>=1`, from: time, to: new Date(Date.now() + 60_000).toISOString(), limit: page };
      let cursor: string | undefined;
      for (let n = 0; n < pages && (n === 0 || cursor); n++) {
        const a = await getRequests({ ...which, cursor }, this.#stop.signal);
        found.push(...a.requests);
        cursor = a.next_cursor;
      }
    } catch (err) {
      if (this.#stop.signal.aborted) return;
      this.problem = (err as Error).message;
      this.#found = null;
    }
    this.list = found.sort((x, y) => (x.part ?? 0) - (y.part ?? 0));
  }

  /** Loads the first n, one after the other: each is a link in the audit and a read of the bucket. `told` hears how many are here, and may end it. */
  load(n: number, told: (here: number) => boolean = () => true): Promise<void> {
    return (this.#loading = this.#loading.then(async () => {
      for (const [i, p] of this.list.slice(0, n).entries()) {
        if (this.#stop.signal.aborted || !told(i)) return;
        const got = this.views[p.span_id];
        if (got && !(got.kind === 'trouble' && got.trouble === 'keys')) continue;
        await loadWhole(p, bucketKeys.value, this.#stop.signal, (v) => {
          if (v.kind !== 'pending' && v.kind !== 'loading') this.views = { ...this.views, [p.span_id]: v };
        });
      }
    }));
  }

  end() {
    this.#stop.abort();
  }
}
