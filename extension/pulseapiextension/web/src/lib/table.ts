import type { Snippet } from 'svelte';

/** One column of parts/Table.svelte. */
export interface Column<T> {
  id: string;
  title: string;
  width: string; // a grid track: 5rem, minmax(6rem, 2fr)
  text?: (row: T) => string; // what stands in the cell,
  cell?: Snippet<[T]>; // unless this draws it
  field?: string; // of the filter language: the cell can be included and excluded
  value?: (row: T) => string; // in the filter; the text when absent
  hint?: (row: T) => string | undefined; // the title of the cell
  class?: (row: T) => string; // one of app.css
  align?: 'end';
  mono?: boolean;
  sortable?: boolean;
  down?: boolean; // the first click sorts downwards
}
