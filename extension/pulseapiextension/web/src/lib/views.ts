// The views, in the order of the navigation. Each is src/views/<file>.svelte and loaded when it is opened; the first is there at once.
import type { Component } from 'svelte';
import Requests from '../views/Requests.svelte';

export interface View {
  name: string; // in the address: #/name
  title: string;
  file: string;
  icon: string; // path of a 24 × 24 drawing in lines
  needs?: string; // the capability without which it is not offered
  keys?: string; // after g
}

const all: View[] = [
  { name: 'requests', title: 'Requests', file: 'Requests', keys: 'r', icon: 'M4 6h16M4 12h10M4 18h13' },
  { name: 'overview', title: 'Overview', file: 'Overview', keys: 'o', icon: 'M3 13h4l3-8 4 14 3-6h4' },
  { name: 'endpoints', title: 'Endpoints', file: 'Endpoints', keys: 'e', icon: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18' },
  { name: 'connections', title: 'Connections', file: 'Connections', keys: 'c', icon: 'M7 7h12m-4-4 4 4-4 4M17 17H5m4-4-4 4 4 4' },
  { name: 'processes', title: 'Processes', file: 'Processes', keys: 'p', icon: 'M8 8h8v8H8zM5 5h14v14H5zM9 2v3m6-3v3M9 19v3m6-3v3M2 9h3m-3 6h3M19 9h3m-3 6h3' },
  { name: 'map', title: 'Map', file: 'ServiceMap', keys: 'm', icon: 'M5 8a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Zm14 5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM7 21a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM7.5 6.2l9 3.6M9 17.3l8-5' },
  { name: 'coverage', title: 'Coverage', file: 'Coverage', keys: 'v', icon: 'M12 3 4 6v6c0 5 3.5 8 8 9 4.5-1 8-4 8-9V6zM9 12l2 2 4-4' },
  { name: 'storage', title: 'Storage', file: 'Storage', keys: 's', icon: 'M4 6c0-1.7 3.6-3 8-3s8 1.3 8 3-3.6 3-8 3-8-1.3-8-3Zm0 0v12c0 1.7 3.6 3 8 3s8-1.3 8-3V6M4 12c0 1.7 3.6 3 8 3s8-1.3 8-3' },
  { name: 'access', title: 'Access', file: 'Access', keys: 'a', icon: 'M8 14.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9ZM11.5 12.5 20 21m-3-3 2-2' },
];

const files = import.meta.glob<{ default: Component }>(['../views/*.svelte', '!../views/Requests.svelte']);
const at = (v: View) => (v.name === 'requests' ? async () => ({ default: Requests }) : files[`../views/${v.file}.svelte`]);

export const views = all.filter(at);

/** Loads what draws a view. */
export async function load(v: View): Promise<Component> {
  return (await at(v)!()).default;
}
