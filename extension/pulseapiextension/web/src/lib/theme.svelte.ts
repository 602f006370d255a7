// Light or dark: as the system says, unless chosen.
import { store } from './storage.ts';

export type Theme = 'system' | 'light' | 'dark';
const system = matchMedia('(prefers-color-scheme: dark)');

class Look {
  #chosen: Theme = $state((store.get('theme') as Theme) || 'system');
  #dark = $state(system.matches);

  constructor() {
    system.addEventListener('change', (e) => (this.#dark = e.matches));
    this.#apply();
  }
  get theme(): Theme {
    return this.#chosen;
  }
  set theme(t: Theme) {
    this.#chosen = t;
    store.set('theme', t === 'system' ? '' : t);
    this.#apply();
  }
  /** What is shown now; charts draw again when it changes. */
  get dark(): boolean {
    return this.#chosen === 'system' ? this.#dark : this.#chosen === 'dark';
  }
  #apply() {
    if (this.#chosen === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.#chosen;
  }
}

export const look = new Look();
