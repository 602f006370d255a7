// Where the page is: #/view/id/…?key=value. All state that a link can carry is here. The base is relative, so the path is not ours.

/** Kept when another view is opened: the time range and how times are written. */
const shared = ['from', 'to', 'tz'];

type Params = Record<string, string | number | null | undefined>;

interface Place {
  ids: string[];
  params: URLSearchParams;
}

function read(): Place {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  const ids = path.split('/').filter(Boolean).map(plain);
  return { ids: ids.length > 0 ? ids : ['requests'], params: new URLSearchParams(query) };
}

function plain(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

class Route {
  #place: Place = $state.raw(read());

  constructor() {
    addEventListener('hashchange', () => this.sync());
    addEventListener('popstate', () => this.sync());
  }

  /** Name of the view: the first part of the path. */
  get view(): string {
    return this.#place.ids[0]!;
  }
  /** The rest of the path, decoded; empty when there is none. */
  get id(): string {
    return this.#place.ids.slice(1).join('/');
  }
  /** The parts of the rest of the path, decoded. */
  get ids(): string[] {
    return this.#place.ids.slice(1);
  }
  /** A parameter, empty when it is absent. */
  get(key: string): string {
    return this.#place.params.get(key) ?? '';
  }
  /** Reads the address again, after it was changed by other means than this module. */
  sync() {
    this.#place = read();
  }
  /** All parameters, as a copy. */
  get params(): URLSearchParams {
    return new URLSearchParams(this.#place.params);
  }
}

export const route = new Route();

/** A link to a view: `requests`, or `['endpoints', name]`, whose parts are encoded. The time range stays as it is unless params say otherwise. */
export function href(view: string | string[], params: Params = {}): string {
  const path = typeof view === 'string' ? view : view.map(encodeURIComponent).join('/');
  const all: Params = Object.fromEntries(shared.map((k) => [k, route.get(k)]));
  return write(path, new URLSearchParams(), { ...all, ...params });
}

/** Opens a view. */
export function go(view: string | string[], params: Params = {}, { replace = false } = {}) {
  move(href(view, params), replace);
}

/** Changes parameters of the view; null and '' remove one. */
export function set(params: Params, { replace = false } = {}) {
  move(write([route.view, ...route.ids].map(encodeURIComponent).join('/'), route.params, params), replace);
}

function write(path: string, query: URLSearchParams, params: Params): string {
  for (const [k, v] of Object.entries(params)) {
    if (v === null || v === undefined || v === '') query.delete(k);
    else query.set(k, String(v));
  }
  // What a filter is full of may stand in a fragment as it is.
  const text = query.toString().replaceAll('%3A', ':').replaceAll('%3E', '>').replaceAll('%2F', '/').replaceAll('%2C', ',');
  return `#/${path}${text ? `?${text}` : ''}`;
}

function move(hash: string, replace: boolean) {
  if (hash === location.hash) return;
  if (replace) history.replaceState(null, '', hash);
  else history.pushState(null, '', hash);
  route.sync();
}
