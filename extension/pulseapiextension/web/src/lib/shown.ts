// Which rows the address names: what the list shows, and what is asked before the list's code is there.
import type { Which } from './newest.ts';
import { range } from './range.svelte.ts';
import { route } from './route.svelte.ts';

export const which = (): Which => ({ filter: route.get('q'), from: range.bounds.from, to: range.bounds.to });

/** Whether the list goes on with what is stored from now on. */
export const live = (): boolean => !!range.relative && route.get('live') !== 'off';
