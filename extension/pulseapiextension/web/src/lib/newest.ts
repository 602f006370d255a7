// The first question of the list of requests: asked before the list's code is there.
import type { Query } from './api.ts';
import { range } from './range.svelte.ts';
import { route } from './route.svelte.ts';

export interface Which {
  filter: string;
  from: string;
  to: string;
}

/** Which rows the address names. */
export const which = (): Which => ({ filter: route.get('q'), from: range.bounds.from, to: range.bounds.to });

/** Whether the list goes on with what is stored from now on. */
export const live = (): boolean => !!range.relative && route.get('live') !== 'off';

const firstPage = 200; // shows at once

export const newest = (which: Which, live: boolean): Query => ({ ...which, to: live ? '' : which.to, limit: firstPage });
