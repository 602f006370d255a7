// The time range that all views share, in the address: from=1h (until now), or from and to as times. The back button undoes a zoom.
import { route, set } from './route.svelte.ts';
import { store } from './storage.ts';

export const presets = ['5m', '15m', '1h', '6h', '24h', '7d', '30d'] as const;
const standard = '1h';
const unit: Record<string, number> = { s: 1e3, m: 60e3, h: 3600e3, d: 86_400e3 };

/** A length of time such as 15m in milliseconds; 0 when it is none. */
export function length(text: string): number {
  const m = /^(\d+)([smhd])$/.exec(text);
  return m ? Number(m[1]) * unit[m[2]!]! : 0;
}

export interface Bounds {
  /** RFC 3339, as the API wants them. */
  from: string;
  to: string;
  /** Milliseconds since 1970. */
  fromMs: number;
  toMs: number;
}

class Range {
  #now = $state(Date.now());

  /** How far back from now; empty for an absolute range. */
  get relative(): string {
    const from = route.get('from') || standard;
    return length(from) ? from : '';
  }
  /** The range in times. It changes with the address, and, when it ends now, with refresh. */
  readonly bounds: Bounds = $derived.by(() => {
    const back = length(route.get('from') || standard);
    let toMs = back ? this.#now : Date.parse(route.get('to') || new Date(this.#now).toISOString());
    let fromMs = back ? toMs - back : Date.parse(route.get('from'));
    if (!(fromMs < toMs)) [fromMs, toMs] = [this.#now - length(standard), this.#now]; // an address that somebody wrote
    return { from: new Date(fromMs).toISOString(), to: new Date(toMs).toISOString(), fromMs, toMs };
  });
  /** Counts again from now, which makes everything that reads `bounds` ask again. */
  refresh() {
    this.#now = Date.now();
  }
  /** Ends now, as far back as a preset says. */
  back(preset: string) {
    this.refresh();
    set({ from: preset === standard ? null : preset, to: null });
  }
  /** An absolute range, in milliseconds: what a brush marked. It is a step of the history. */
  zoom(fromMs: number, toMs: number) {
    set({ from: new Date(Math.floor(fromMs)).toISOString(), to: new Date(Math.ceil(toMs)).toISOString() });
  }
  /** Whether times are written in UTC. */
  get utc(): boolean {
    return (route.get('tz') || store.get('tz')) === 'utc';
  }
  set utc(on: boolean) {
    store.set('tz', on ? 'utc' : 'local');
    set({ tz: on ? 'utc' : 'local' }, { replace: true });
  }
}

export const range = new Range();
