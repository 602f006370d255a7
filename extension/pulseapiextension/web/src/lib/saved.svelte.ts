// Named views: a filter, its columns and its range. Those of the person are kept by the browser; a link carries one to others.
import { store } from './storage.ts';

export interface Saved {
  name: string;
  view: string; // of the address: requests
  params: Record<string, string>; // q, cols, from
}

/** What many look for. */
export const given: Saved[] = [
  { name: 'Failures', view: 'requests', params: { q: 'error:*' } },
  { name: 'Server errors', view: 'requests', params: { q: 'status:5xx' } },
  { name: 'Slower than a second', view: 'requests', params: { q: 'dur:>1s' } },
  { name: 'Without TLS', view: 'requests', params: { q: '-tls:*' } },
  { name: 'Payload not whole', view: 'requests', params: { q: '-payload:sent -payload:pending' } },
];

class Views {
  all: Saved[] = $state.raw(read());

  save(v: Saved) {
    this.#keep([...this.all.filter((x) => x.name !== v.name), v]);
  }
  remove(name: string) {
    this.#keep(this.all.filter((x) => x.name !== name));
  }
  #keep(all: Saved[]) {
    this.all = all;
    store.set('views', all.length > 0 ? JSON.stringify(all) : '');
  }
}

function read(): Saved[] {
  try {
    const all: unknown = JSON.parse(store.get('views') || '[]');
    return Array.isArray(all) ? all.filter((v): v is Saved => typeof v?.name === 'string' && typeof v?.view === 'string' && typeof v?.params === 'object') : [];
  } catch {
    return [];
  }
}

export const saved = new Views();
