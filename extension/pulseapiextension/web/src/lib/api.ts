// The shapes of /api/v1 as openapi.yaml describes them, and the calls.

export interface Payload {
  state: string;
  reason?: string;
  object?: string;
  visible: boolean;
}

export interface Request {
  time: string;
  trace_id: string;
  span_id: string;
  parent_span_id?: string;
  kind: string;
  environment: string;
  service_name: string;
  host_id?: string;
  host_name?: string;
  pid?: number;
  executable?: string;
  user?: string;
  container_id?: string;
  pod_uid?: string;
  connection_id?: string;
  exchange_sequence: number;
  method: string;
  scheme: string;
  server_address: string;
  server_port?: number;
  client_address?: string;
  client_port?: number;
  peer_address?: string;
  peer_port?: number;
  path: string;
  template?: string;
  query?: string;
  status?: number;
  error_type?: string;
  protocol_version?: string;
  tls_version?: string;
  tls_cipher?: string;
  duration_ns: number;
  timing_send_ns?: number;
  timing_wait_ns?: number;
  timing_receive_ns?: number;
  request_body_size: number;
  response_body_size: number;
  payload: Payload;
}

export interface Requests {
  requests: Request[];
  next_cursor?: string;
}

/** One row of the report of what a host sees and what it does not. */
export interface Coverage {
  host_id: string;
  host_name?: string;
  subject: string; // feature, library, process, drops
  name?: string;
  state: string;
  reason?: string;
  advice?: string;
  count: number;
  service_name?: string;
  executable?: string;
  container_id?: string;
}

export interface Link {
  url: string;
  expires_at: string;
  bucket: string;
  key: string;
  entry: string;
  range?: string; // the only bytes that the link is for
}

export interface Config {
  environment: string;
  auth: 'local_token' | 'authenticator';
  limits: { max_limit: number; receipt_timeout_ns: number; link_lifetime_ns: number };
  payload: { origin: string; bucket: string; prefix: string } | null;
}

/** An error answer of the API (RFC 9457). Status 0: no answer at all. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly reason: string;
  readonly login: string; // where to sign in, when that is by a provider
  constructor(status: number, code: string, detail: string, reason = '', login = '') {
    super(detail);
    this.login = login;
    this.status = status;
    this.code = code;
    this.reason = reason;
  }
}

async function call<T>(path: string, init: RequestInit = {}): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(`api/v1/${path}`, { cache: 'no-store', credentials: 'same-origin', ...init });
  } catch (err) {
    if (init.signal?.aborted) throw err;
    throw new Problem(0, 'unreachable', 'Pulse does not answer. Is the collector running?');
  }
  if (answer.status === 204) return undefined as T;
  const body = await answer.json().catch(() => null);
  if (!answer.ok || body === null) {
    throw new Problem(answer.status, body?.code ?? 'no_json', body?.detail ?? `HTTP ${answer.status}`, body?.reason ?? '', body?.login ?? '');
  }
  return body as T;
}

function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return call<T>(path, { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' }, signal });
}

export const getConfig = () => call<Config>('config');
export const getCoverage = () => call<{ coverage: Coverage[] }>('coverage');
export const getRequests = (query: URLSearchParams, signal?: AbortSignal) => call<Requests>(`requests?${query}`, { signal });
export const getRequest = (trace: string, span: string, signal?: AbortSignal) => call<Request>(`requests/${trace}/${span}`, { signal });
export const postLink = (trace_id: string, span_id: string, signal?: AbortSignal) =>
  post<Link>('payload-links', { trace_id, span_id }, signal);
export const postSession = (token: string) => post<void>('session', { token });
