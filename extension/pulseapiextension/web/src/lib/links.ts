// Links from what a view shows to the rows behind it. They keep the time range.
import { word } from './filter.ts';
import { href } from './route.svelte.ts';

type Pair = [field: string, value: string];

const words = (pairs: (Pair | string)[]) => pairs.map((p) => (typeof p === 'string' ? p : word(...p))).join(' ');

/** Requests with all of these: pairs of a field and its value, or words of the filter language. */
export const requestsWith = (...pairs: (Pair | string)[]) => href('requests', { q: words(pairs) });

/** Connections with all of these. */
export const connectionsWith = (...pairs: (Pair | string)[]) => href('connections', { q: words(pairs) });

/** A filter of pairs, as text. */
export const filterOf = (...pairs: (Pair | string)[]) => words(pairs);

/** The page of a server, or of one endpoint of it. */
export const endpointPage = (server: string) => href(['endpoints', server]);

/** The page of a program on a host, or of all that match what is given. */
export const processPage = (executable: string, service = '', host = '') => href(['processes', executable || '-'], { service, host });
