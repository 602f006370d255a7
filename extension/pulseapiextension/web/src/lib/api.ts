// The questions of /api/v1. Their shapes are in schema.ts, made from openapi.yaml.
import type * as S from './schema.ts';

export type { AuditEvent, Bucket, Connection, Coverage, Edge, Endpoint, Expiry, Facet, Field, Finding, HeatCell, LatencyBucket, Node, Policy, PrivacyPolicy, Process, Request, Talker, Token, Value } from './schema.ts';
export type Config = S.GetConfigAnswer;
export type Me = S.GetMeAnswer;
export type Link = S.CreatePayloadLinkAnswer;
export type FilterAnswer = S.ReadFilterAnswer;
export type Of = 'requests' | 'connections';

/** An error answer of the API (RFC 9457). Status 0: no answer at all. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly reason: string;
  readonly login: string; // where to sign in, when that is by a provider
  readonly position: { start: number; end: number } | undefined; // of what is wrong in a filter
  readonly retryAfter: number; // seconds, 0 when it is not said
  constructor(status: number, body: Partial<S.Problem>, retryAfter = 0) {
    super(body.detail || body.title || `HTTP ${status}`);
    this.status = status;
    this.code = body.code ?? 'no_json';
    this.reason = body.reason ?? '';
    this.login = body.login ?? '';
    this.position = body.position;
    this.retryAfter = retryAfter;
  }
}

let signedOut = (_: Problem) => {};
/** Tells who wants to know that the session is not, or no longer, good. */
export function onSignedOut(f: (p: Problem) => void) {
  signedOut = f;
}

/** Parameters of a question; what is empty is left out. */
export type Query = Record<string, string | number | undefined>;

/** A question that was asked before who wants its answer was there. */
let early: { question: string; answer: Promise<unknown>; at: number; stop: AbortController } | null = null;
const freshFor = 10_000; // ms

/** Asks now what a view will ask first, while its code is being loaded. */
export function ahead(question: string) {
  const stop = new AbortController();
  const answer = call(question.slice('api/v1/'.length), { signal: stop.signal });
  answer.catch(() => {}); // whoever asks is told
  early = { question, answer, at: Date.now(), stop };
}

/** The answer to what was asked ahead, once. Any other question of the same list means that nobody will want it. */
function asked<T>(question: string): Promise<T> | undefined {
  if (!early || early.question.split('?')[0] !== question.split('?')[0]) return undefined;
  const { answer, at, stop } = early;
  const same = early.question === question && Date.now() - at < freshFor;
  early = null;
  if (same) return answer as Promise<T>;
  stop.abort();
  return undefined;
}

async function call<T>(path: string, init: RequestInit = {}): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(`api/v1/${path}`, { cache: 'no-store', credentials: 'same-origin', ...init });
  } catch (err) {
    if (init.signal?.aborted) throw err;
    throw new Problem(0, { code: 'unreachable' as S.Problem['code'], detail: 'Pulse does not answer. Is the collector running?' });
  }
  if (answer.status === 204) return undefined as T;
  const body = await answer.json().catch(() => null);
  if (!answer.ok || body === null) {
    const p = new Problem(answer.status, body ?? {}, Number(answer.headers.get('Retry-After') ?? 0));
    if (p.status === 401 && path !== 'session') {
      early = null;
      signedOut(p);
    }
    throw p;
  }
  return body as T;
}

function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return call<T>(path, { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' }, signal: signal ?? null });
}

/** The address of a question, for links to exports and for streams. */
export function address(path: string, query: Query = {}): string {
  const text = new URLSearchParams(Object.entries(query).flatMap(([k, v]) => (v === undefined || v === '' ? [] : [[k, String(v)]]))).toString();
  return `api/v1/${path}${text ? `?${text}` : ''}`;
}

const get =
  <T>(path: string) =>
  (query: Query = {}, signal?: AbortSignal): Promise<T> => {
    const question = address(path, query);
    return asked<T>(question) ?? call<T>(question.slice('api/v1/'.length), { signal: signal ?? null });
  };

export const getConfig = get<S.GetConfigAnswer>('config');
export const getMe = get<S.GetMeAnswer>('me');
export const getRequests = get<S.ListRequestsAnswer>('requests');
export const getConnections = get<S.ListConnectionsAnswer>('connections');
export const getHistogram = get<S.CountByTimeAnswer>('histogram');
export const getLatency = get<S.GetLatencyAnswer>('latency');
export const getHeatMap = get<S.GetHeatMapAnswer>('latency/heatmap');
export const getFacets = get<S.GetFacetsAnswer>('facets');
export const getFieldValues = get<S.GetFieldValuesAnswer>('field-values');
export const getFields = get<S.GetFieldsAnswer>('fields');
export const getFilter = get<S.ReadFilterAnswer>('filter');
export const getEndpoints = get<S.ListEndpointsAnswer>('endpoints');
export const getProcesses = get<S.ListProcessesAnswer>('processes');
export const getMap = get<S.GetMapAnswer>('map');
export const getTalkers = get<S.GetTalkersAnswer>('talkers');
export const getTLS = get<S.GetTLSFindingsAnswer>('tls');
export const getFindings = get<S.GetFindingsAnswer>('findings');
export const getCoverage = get<S.ListCoverageAnswer>('coverage');
export const getTokens = get<S.ListTokensAnswer>('tokens');
export const getAudit = get<S.ListAuditAnswer>('audit');
export const getRetention = get<S.GetRetentionAnswer>('retention');
export const getStorage = get<S.GetStorageAnswer>('storage');
export const getBucketCheck = get<S.CheckBucketAnswer>('bucket-check');
export const getRequest = (trace: string, span: string, signal?: AbortSignal) => get<S.Request>(`requests/${trace}/${span}`)({}, signal);
export const getConnection = (id: string, signal?: AbortSignal) => get<S.Connection>(`connections/${id}`)({}, signal);
export const postLink = (trace_id: string, span_id: string, signal?: AbortSignal, more: { purpose?: 'view' | 'export' | 'verify'; head?: number } = {}) => post<Link>('payload-links', { trace_id, span_id, ...more }, signal);
export const postSession = (token: string) => post<void>('session', { token });
export const deleteSession = () => call<void>('session', { method: 'DELETE' });
