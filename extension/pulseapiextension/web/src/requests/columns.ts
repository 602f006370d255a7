// The columns of the list, and which of them are shown: as the address says, else as chosen before, else these.
import type { Request } from '../lib/api.ts';
import { authority, base, clock, duration, moment, size, statusClass, stateWords } from '../lib/format.ts';
import { range } from '../lib/range.svelte.ts';
import type { Column } from '../lib/table.ts';

const day = 20 * 3600e3;
/** The time of day, with the date where a range is long. */
const when = (time: string) => (range.bounds.toMs - range.bounds.fromMs > day ? moment(time).slice(5) : clock(time));
const address = (a?: string, p?: number) => (a ? `${a.includes(':') ? `[${a}]` : a}${p ? `:${p}` : ''}` : '');

export const columns: Column<Request>[] = [
  { id: 'time', title: 'Time', width: '6.75rem', text: (r) => when(r.time), hint: (r) => r.time },
  { id: 'method', title: 'Method', width: '4rem', text: (r) => r.method, field: 'method' },
  { id: 'status', title: 'Status', width: '3.25rem', text: (r) => String(r.status ?? (r.error_type ? 'error' : '–')), class: (r) => `strong ${statusClass(r)}`, hint: (r) => r.error_type, field: 'status', value: (r) => String(r.status ?? 0) },
  { id: 'server', title: 'Server', width: 'minmax(6rem,3fr)', text: authority, field: 'server', value: (r) => r.server_address, hint: authority },
  { id: 'path', title: 'Path', width: 'minmax(7rem,5fr)', text: (r) => r.path + (r.query ? `?${r.query}` : ''), hint: (r) => r.path, field: 'path', value: (r) => r.path },
  { id: 'process', title: 'Process', width: 'minmax(4.5rem,2fr)', text: (r) => base(r.executable ?? ''), hint: (r) => `${r.executable ?? ''}${r.pid ? ` (${r.pid})` : ''}`, field: 'exe', value: (r) => r.executable ?? '' },
  { id: 'service', title: 'Service', width: 'minmax(4.5rem,2fr)', text: (r) => r.service_name, hint: (r) => r.service_name, field: 'service' },
  { id: 'kind', title: 'Side', width: '3.25rem', text: (r) => r.kind, hint: (r) => `seen at the ${r.kind}`, field: 'kind', class: () => 'dim' },
  { id: 'duration', title: 'Duration', width: '4.5rem', text: (r) => duration(r.duration_ns), align: 'end' },
  { id: 'wait', title: 'Wait', width: '4.5rem', text: (r) => (r.timing_wait_ns ? duration(r.timing_wait_ns) : ''), align: 'end' },
  { id: 'size', title: 'Size', width: '4.5rem', text: (r) => size(r.request_body_size + r.response_body_size), hint: (r) => `request ${size(r.request_body_size)}, response ${size(r.response_body_size)}`, align: 'end' },
  { id: 'up', title: 'Request', width: '4.5rem', text: (r) => size(r.request_body_size), align: 'end' },
  { id: 'down', title: 'Response', width: '4.5rem', text: (r) => size(r.response_body_size), align: 'end' },
  { id: 'payload', title: 'Payload', width: '7.5rem', text: (r) => stateWords[r.payload.state] ?? r.payload.state, hint: (r) => r.payload.reason, field: 'payload', value: (r) => r.payload.state, class: (r) => `state p-${r.payload.state}` },
  { id: 'host', title: 'Host', width: 'minmax(4rem,1.5fr)', text: (r) => r.host_name ?? '', field: 'host' },
  { id: 'user', title: 'User', width: '5rem', text: (r) => r.user ?? '', field: 'user' },
  { id: 'pid', title: 'PID', width: '4rem', text: (r) => String(r.pid ?? ''), field: 'pid', align: 'end' },
  { id: 'container', title: 'Container', width: '6.5rem', text: (r) => (r.container_id ?? '').slice(0, 12), hint: (r) => r.container_id, field: 'container', value: (r) => r.container_id ?? '', mono: true },
  { id: 'pod', title: 'Pod', width: 'minmax(5rem,2fr)', text: (r) => r.pod_name ?? '', field: 'pod' },
  { id: 'namespace', title: 'Namespace', width: '6rem', text: (r) => r.k8s_namespace ?? '', field: 'namespace' },
  { id: 'deployment', title: 'Deployment', width: 'minmax(5rem,2fr)', text: (r) => r.k8s_deployment ?? '', field: 'deployment' },
  { id: 'template', title: 'Route', width: 'minmax(7rem,4fr)', text: (r) => r.template ?? '', field: 'template' },
  { id: 'rpc', title: 'RPC', width: 'minmax(6rem,3fr)', text: (r) => r.rpc_method ?? '', field: 'rpc' },
  { id: 'version', title: 'HTTP', width: '3rem', text: (r) => r.protocol_version ?? '', field: 'version' },
  { id: 'tls', title: 'TLS', width: '3.5rem', text: (r) => r.tls_version ?? 'none', field: 'tls', value: (r) => r.tls_version ?? '' },
  { id: 'cipher', title: 'Cipher', width: 'minmax(7rem,3fr)', text: (r) => r.tls_cipher ?? '', field: 'cipher' },
  { id: 'peer', title: 'Peer', width: '9rem', text: (r) => address(r.peer_address, r.peer_port), field: 'peer', value: (r) => r.peer_address ?? '', mono: true },
  { id: 'client', title: 'Client', width: '9rem', text: (r) => address(r.client_address, r.client_port), field: 'client', value: (r) => r.client_address ?? '', mono: true },
  { id: 'error', title: 'Error', width: '6rem', text: (r) => r.error_type ?? '', field: 'error' },
  { id: 'environment', title: 'Environment', width: '6rem', text: (r) => r.environment, field: 'environment' },
  { id: 'connection', title: 'Connection', width: '9rem', text: (r) => r.connection_id ?? '', field: 'connection', mono: true },
];

export const standard = ['time', 'method', 'status', 'server', 'path', 'process', 'duration', 'size', 'payload'];
/** Beside an open exchange there is room for these only. */
export const narrow = ['time', 'method', 'status', 'server', 'path', 'duration'];

export const byId = new Map(columns.map((c) => [c.id, c]));

/** The ids in a text such as time,method; without those that there are not. */
export function idsOf(text: string): string[] {
  return [...new Set(text.split(','))].filter((id) => byId.has(id));
}
