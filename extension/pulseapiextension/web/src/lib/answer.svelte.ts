// What a view asks the API, kept up to date.
import { Problem } from './api.ts';

const tries = 4;

/** The answer to a question that is asked again when what it reads changes. What is known stays while it is asked anew. */
export class Answer<T> {
  data: T | null = $state.raw(null);
  problem: Problem | null = $state.raw(null);
  loading = $state(true);

  /** To be made while a component is; `ask` reads what the question depends on before it waits for anything. Null asks nothing. */
  constructor(ask: (signal: AbortSignal) => Promise<T> | null) {
    $effect(() => {
      const stop = new AbortController();
      const first = ask(stop.signal);
      this.loading = first !== null;
      if (first) void this.#settle(first, ask, stop.signal);
      return () => stop.abort();
    });
  }

  async #settle(first: Promise<T>, ask: (signal: AbortSignal) => Promise<T> | null, signal: AbortSignal) {
    for (let n = 1, now: Promise<T> | null = first; now; n++) {
      try {
        const data: T = await now;
        if (signal.aborted) return;
        this.data = data;
        this.problem = null;
        break;
      } catch (err) {
        if (signal.aborted) return;
        const p = err as Problem;
        // The store says when it is worth asking again.
        if (p.retryAfter > 0 && n < tries) {
          await new Promise((done) => setTimeout(done, p.retryAfter * 1000));
          if (signal.aborted) return;
          now = ask(signal);
          continue;
        }
        this.problem = p;
        break;
      }
    }
    this.loading = false;
  }
}
