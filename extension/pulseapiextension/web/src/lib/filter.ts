// Words of the filter language, for what is clicked. The server is the only one who reads it.
import type { Of } from './api.ts';
import { go, route, set } from './route.svelte.ts';

/** Fields of which a word finds parts, unless it compares the whole. */
const whole = new Set(['path', 'query']);

/** A word for exactly this value: server:api.example.com, or -path:"/a b". An empty value means that the field is not set. */
export function word(field: string, value: string, exclude = false): string {
  if (field === 'status') return `${exclude ? '-' : ''}status:${value}`;
  if (value === '') return `${exclude ? '' : '-'}${field}:*`;
  const is = whole.has(field) ? ':=' : ':';
  const plain = /^[\w.][\w.\-/@+]*$/.test(value) && !/^(AND|OR|NOT)$/i.test(value);
  return `${exclude ? '-' : ''}${field}${is}${plain ? value : `"${value.replace(/[\\"]/g, '\\$&')}"`}`;
}

/** A filter with one more word. The opposite word goes, so does another that wants one value of the field, and what has an OR is put
 *  into parentheses. */
export function withWord(filter: string, next: string): string {
  const opposite = next.startsWith('-') ? next.slice(1) : `-${next}`;
  const field = /^\w+:/.exec(next)?.[0];
  const all = split(filter);
  const words = all.includes('OR') ? all : all.filter((w) => w !== opposite && !(field && w !== next && w.startsWith(field) && /^[^:]+:=?[^<>!=(*]/.test(w)));
  if (words.includes(next)) return words.join(' ');
  return [words.includes('OR') ? `(${words.join(' ')})` : words.join(' '), next].filter(Boolean).join(' ');
}

/** A filter without a word that stands for itself in it. */
export function withoutWord(filter: string, gone: string): string {
  return split(filter)
    .filter((w) => w !== gone)
    .join(' ');
}

/** Splits at blanks outside of quotes and parentheses. */
export function split(filter: string): string[] {
  const out: string[] = [];
  let now = '';
  let quoted = false;
  let depth = 0;
  for (let i = 0; i < filter.length; i++) {
    const c = filter[i]!;
    if (c === '\\') {
      now += c + (filter[++i] ?? '');
      continue;
    }
    if (c === '"') quoted = !quoted;
    else if (!quoted && c === '(') depth++;
    else if (!quoted && c === ')') depth--;
    if (/\s/.test(c) && !quoted && depth <= 0) {
      if (now) out.push(now);
      now = '';
    } else now += c;
  }
  if (now) out.push(now);
  return out;
}

/** What a view filters; the others lead to requests. */
const views: Record<string, Of> = { requests: 'requests', connections: 'connections' };

/** Shows only rows with a value, or without it: in the view that is open, or in the list of such rows. */
export function choose(of: Of, field: string, value: string, exclude: boolean) {
  const next = word(field, value, exclude);
  if (views[route.view] === of) set({ q: withWord(route.get('q'), next), sel: route.get('sel') });
  else go(of, { q: next });
}
