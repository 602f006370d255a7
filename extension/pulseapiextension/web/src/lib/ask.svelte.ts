// One question whose answer is shown: a new one ends the one before, and the old answer stays until the new one is there.
import type { Problem } from './api.ts';

export class Ask<T> {
  value: T | undefined = $state.raw();
  problem: Problem | null = $state.raw(null);
  asking = $state(false);
  #stop: AbortController | null = null;

  /** Asks. Called in an effect, what f reads before it waits is what the question depends on. Returns what ends it. */
  run(f: (signal: AbortSignal) => Promise<T>): () => void {
    this.#stop?.abort();
    const stop = (this.#stop = new AbortController());
    this.asking = true;
    f(stop.signal).then(
      (v) => {
        if (stop.signal.aborted) return;
        this.value = v;
        this.problem = null;
        this.asking = false;
      },
      (err: Problem) => {
        if (stop.signal.aborted) return;
        this.problem = err;
        this.asking = false;
      },
    );
    return () => stop.abort();
  }
}
