// Where the nodes of the service map stand. The same answer always gives the same picture.
import type { Edge, Node } from './schema.ts';

export interface Placed extends Node {
  /** 0: services that ask; 1: servers and addresses that are asked; 2: services that answer. */
  column: 0 | 1 | 2;
  /** Its place in the column, from the top. */
  row: number;
  requests: number;
  errors: number;
  connections: number;
  bytes: number;
}

export interface Line extends Edge {
  a: Placed;
  b: Placed;
}

export interface Picture {
  nodes: Placed[];
  lines: Line[];
  /** How many rows the longest column has. */
  rows: number;
}

/** How much an edge counts where only some can be shown. */
export const weight = (e: Edge) => e.requests + e.connections;

/** The edges among the n nodes that carry the most. */
export function busiest(edges: Edge[], n: number): Edge[] {
  const ids = new Set<string>();
  return edges
    .toSorted((x, y) => weight(y) - weight(x) || (x.from + x.to < y.from + y.to ? -1 : 1))
    .filter((e) => {
      const more = (ids.has(e.from) ? 0 : 1) + (ids.has(e.to) ? 0 : 1);
      if (ids.size + more > n) return false;
      ids.add(e.from).add(e.to);
      return true;
    });
}

/** Places nodes in up to three columns: a service that asks and answers stands in both. Rows follow from whom a node is joined to, so that few lines cross. */
export function layout(nodes: Node[], edges: Edge[]): Picture {
  const byID = new Map(nodes.map((n) => [n.id, n]));
  const placed = new Map<string, Placed>();
  const at = (id: string, column: 0 | 1 | 2): Placed | undefined => {
    const node = byID.get(id);
    if (!node) return undefined;
    const key = `${column} ${id}`;
    let p = placed.get(key);
    if (!p) placed.set(key, (p = { ...node, column, row: 0, requests: 0, errors: 0, connections: 0, bytes: 0 }));
    return p;
  };
  const lines: Line[] = [];
  for (const e of edges) {
    const asks = e.from.startsWith('service:');
    const a = at(e.from, asks ? 0 : 1);
    const b = at(e.to, asks ? 1 : 2);
    if (!a || !b) continue;
    lines.push({ ...e, a, b });
    for (const p of [a, b]) {
      p.requests += e.requests;
      p.errors += e.errors;
      p.connections += e.connections;
      p.bytes += e.bytes;
    }
  }
  const columns: Placed[][] = [[], [], []];
  for (const p of placed.values()) columns[p.column]!.push(p);
  const order = (c: Placed[], by: (p: Placed) => number) => {
    const of = new Map(c.map((p) => [p, by(p)]));
    c.sort((x, y) => of.get(x)! - of.get(y)! || (x.id < y.id ? -1 : 1));
    c.forEach((p, i) => (p.row = i));
  };
  for (const c of columns) order(c, (p) => -(p.requests + p.connections));
  const neighbours = new Map<Placed, { left: [Placed, number][]; right: [Placed, number][] }>();
  for (const p of placed.values()) neighbours.set(p, { left: [], right: [] });
  for (const l of lines) {
    const w = Math.log2(2 + weight(l));
    neighbours.get(l.b)!.left.push([l.a, w]);
    neighbours.get(l.a)!.right.push([l.b, w]);
  }
  const middle = (p: Placed, left: boolean) => {
    let sum = 0;
    let n = 0;
    for (const [other, w] of neighbours.get(p)![left ? 'left' : 'right']) {
      sum += (w * (other.row + 0.5)) / columns[other.column]!.length;
      n += w;
    }
    return n ? sum / n : -1;
  };
  // Sweeping back and forth settles after a few rounds; a node without a neighbour on one side goes by the other one.
  for (let round = 0; round < 8; round++) {
    order(columns[1]!, (p) => {
      const [l, r] = [middle(p, true), middle(p, false)];
      return l < 0 ? r : r < 0 ? l : (l + r) / 2;
    });
    order(columns[0]!, (p) => middle(p, false));
    order(columns[2]!, (p) => middle(p, true));
  }
  return { nodes: columns.flat(), lines, rows: Math.max(...columns.map((c) => c.length), 0) };
}
