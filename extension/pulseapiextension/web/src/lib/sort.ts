/** Rows in an order of parts/Table.svelte: the id of a column, with - in front from the highest. Equal rows keep the order of their keys. */
export function ordered<R>(rows: R[], sort: string, key: (row: R) => string, by: Record<string, (row: R) => string | number>): R[] {
  const of = by[sort.replace(/^-/, '')];
  if (!of) return rows;
  const sign = sort.startsWith('-') ? -1 : 1;
  const compare = (x: string | number, y: string | number) => (typeof x === 'number' && typeof y === 'number' ? x - y : x < y ? -1 : x > y ? 1 : 0);
  return rows.toSorted((a, b) => sign * compare(of(a), of(b)) || compare(key(a), key(b)));
}
