/**
 * The rows of a list, newest first, after its first page was read again: that page, and what is known behind it. Null when
 * the page does not reach what is known, so that rows between them would be missing.
 */
export function refreshed<T>(first: readonly T[], known: readonly T[], key: (row: T) => string, time: (row: T) => string): T[] | null {
  const last = first.at(-1);
  if (!last) return null;
  const page = new Set(first.map(key));
  if (!known.some((r) => page.has(key(r)))) return null;
  // What is as new as the page and not on it does not fit any more.
  return [...first, ...known.filter((r) => !page.has(key(r)) && time(r) <= time(last))];
}
