// Made from openapi.yaml by `go test -run TestTypes -update`. Do not edit.

export type PrivacyPolicy = {
  /** The stamp on everything that passed the policy (`qpoint.anonymized`). */
  hash: string;
  /** Of the rules. */
  version: string;
  /** Stamped on everything; empty where it is the sender's, and for callers who do not see every row. */
  environment: string;
  /** What becomes of values, by kind. */
  modes: Record<string, 'mask' | 'drop' | 'hmac' | 'keep'>;
  addresses: 'keep' | 'truncate' | 'hmac';
  /** Zones of host names that do not simply stay; empty for callers who do not see every row. */
  domains: Array<{
    zone: string;
    mode: 'keep' | 'registrable' | 'hmac';
  }>;
  /** Ids of the keys of `hmac`, the current one first. */
  hmac_keys: string[];
  /** Different words that one position of a path may have, before all are `{name}`. */
  path_words: number;
};

export type Id16 = string;

export type Id8 = string;

export type Time = string;

export type Port = number;

export type Count = number;

export type Problem = {
  type: string;
  title: string;
  status: number;
  code: 'bad_body' | 'bad_parameter' | 'unknown_parameter' | 'bad_filter' | 'unauthenticated' | 'forbidden' | 'no_login' | 'rate_limited' | 'too_many_streams' | 'host_refused' | 'origin_refused' | 'not_found' | 'no_such_route' | 'no_bucket' | 'bad_key' | 'no_receipt' | 'payload_none' | 'payload_lost' | 'payload_filtered' | 'payload_sampled_out' | 'payload_not_visible' | 'payload_erased' | 'no_eraser' | 'eraser_failed' | 'payload_pending' | 'no_countries' | 'busy' | 'no_tables' | 'query_timeout' | 'query_too_large' | 'store_unavailable';
  detail?: string;
  /** Why a payload is not kept. */
  reason?: string;
  /** Where a browser can sign in, relative to the page. */
  login?: string;
  /** Where a filter is wrong, in UTF-16 code units. */
  position?: {
    start: Count;
    end: Count;
  };
};

export type Payload = {
  /** What is known now. `pending`: its segment is open or on its way. `sent`: in the bucket. `truncated`: kept up to the body cap. `lost`: could not be kept, or nobody confirmed its segment within 60 seconds (`reason` is then `no_receipt`). `erased`: removed on purpose. */
  state: 'pending' | 'sent' | 'truncated' | 'sampled_out' | 'filtered' | 'not_visible' | 'lost' | 'erased' | '';
  reason?: string;
  /** Key of the segment in the bucket, without the prefix. */
  object?: string;
  /** Whether the content of the connection could be read. */
  visible: boolean;
};

export type Request = {
  time: Time;
  trace_id: Id16;
  span_id: Id8;
  parent_span_id?: Id8;
  kind: 'client' | 'server';
  environment: string;
  service_name: string;
  host_id?: string;
  host_name?: string;
  pid?: Count;
  executable?: string;
  user?: string;
  container_id?: string;
  pod_uid?: string;
  service_namespace?: string;
  pod_name?: string;
  k8s_namespace?: string;
  k8s_node?: string;
  k8s_container?: string;
  k8s_deployment?: string;
  connection_id?: Id8;
  exchange_sequence: Count;
  method: string;
  scheme: string;
  server_address: string;
  server_port?: Port;
  client_address?: string;
  client_port?: Port;
  peer_address?: string;
  peer_port?: Port;
  /** Without identifiers. */
  path: string;
  template?: string;
  /** Keys only. */
  query?: string;
  /** Absent when no response was seen. */
  status?: number;
  error_type?: string;
  protocol_version?: string;
  /** Absent for plaintext. */
  tls_version?: string;
  tls_cipher?: string;
  duration_ns: Count;
  timing_send_ns?: Count;
  timing_wait_ns?: Count;
  timing_receive_ns?: Count;
  request_body_size: Count;
  response_body_size: Count;
  /** Of an exchange that goes on, from 1. Parts are listed when the filter has the key `part`. */
  part?: Count;
  rpc_system?: string;
  rpc_method?: string;
  rpc_status?: string;
  request_messages?: Count;
  response_messages?: Count;
  close_code?: Count;
  payload: Payload;
  /** Of one request: when the store lets this row go. Absent for never. */
  expires_at?: Time;
  /** Of one request: what the receipt of its object says. */
  stored?: {
    size: Count;
    /** Of the whole object. */
    sha256?: string;
    /** When the bucket's lifecycle removes it. Absent when that is not known. */
    expires_at?: Time;
    retention_class?: string;
  };
};

export type Coverage = {
  /** Of the newest report. */
  time: Time;
  environment: string;
  host_id: string;
  host_name?: string;
  /** `feature`: of the kernel, or a right of the collector; `library`: its TLS secrets are captured; `process`: an executable with TLS traffic; `drops`: what a stage gave up; `governor`: how deep a host with limits looks. */
  subject: string;
  /** Of the feature, library, executable or stage; level. */
  name?: string;
  /** supported, missing or unknown; attached; seen or not_seen; dropped; full, headers or connections */
  state: string;
  reason?: string;
  /** What to do. */
  advice?: string;
  /** Connections, or what was dropped, since the collector started. */
  count: Count;
  service_name?: string;
  pid?: Count;
  executable?: string;
  user?: string;
  container_id?: string;
  pod_uid?: string;
};

export type Connection = {
  /** Of the newest record. */
  time: Time;
  start: Time;
  connection_id: Id8;
  sequence: Count;
  state: 'open' | 'established' | 'closed' | '';
  role: 'client' | 'server' | 'unknown' | '';
  close_reason?: string;
  environment: string;
  service_name: string;
  host_id?: string;
  host_name?: string;
  pid?: Count;
  executable?: string;
  user?: string;
  container_id?: string;
  pod_uid?: string;
  service_namespace?: string;
  pod_name?: string;
  k8s_namespace?: string;
  k8s_node?: string;
  k8s_container?: string;
  k8s_deployment?: string;
  local_address?: string;
  local_port?: Port;
  peer_address?: string;
  peer_port?: Port;
  server_address?: string;
  protocol?: string;
  protocol_version?: string;
  tls_version?: string;
  tls_cipher?: string;
  tls_next_protocol?: string;
  /** Absent when it is not known. */
  tls_resumed?: boolean;
  tls_client_ja3?: string;
  /** The JA4 fingerprint of the client. */
  tls_client_ja4?: string;
  /** Of the server's certificate, where it was in the clear or decrypted: `CN=example.com,O=Example`. */
  tls_server_subject?: string;
  tls_server_issuer?: string;
  tls_server_not_before?: Time;
  tls_server_not_after?: Time;
  sent_bytes: Count;
  received_bytes: Count;
  sent_packets: Count;
  received_packets: Count;
  retransmits: Count;
  rtt_ns?: Count;
  duration_ns: Count;
  requests: Count;
  visibility: 'visible' | 'not_visible' | '';
  reason?: string;
  transport?: string;
  /** Where the server's name comes from when the connection does not tell it. */
  name_source?: string;
};

export type Bucket = {
  time: Time;
  counts: Record<string, Count>;
};

export type LatencyBucket = {
  time: Time;
  requests: Count;
  errors: Count;
  p50_ns: Count;
  p90_ns: Count;
  p95_ns: Count;
  p99_ns: Count;
};

export type HeatCell = {
  time: Time;
  low_ns: Count;
  /** Absent for no bound. */
  high_ns?: Count;
  requests: Count;
};

export type Value = {
  value: string;
  count: Count;
};

export type Facet = {
  field: string;
  values: Value[];
};

export type Field = {
  name: string;
  aliases?: string[];
  kind: 'text' | 'part' | 'number' | 'bytes' | 'duration' | 'ip' | 'bool' | 'id8' | 'fixed8' | 'fixed16';
  description: string;
  /** All that it can have. */
  values?: string[];
  /** Its values can be counted. */
  facet: boolean;
};

export type Endpoint = {
  server_address: string;
  method?: string;
  template?: string;
  first_seen: Time;
  last_seen: Time;
  requests: Count;
  errors: Count;
  request_bytes: Count;
  response_bytes: Count;
  /** How many ask it or are it. */
  services: Count;
  p50_ns: Count;
  p90_ns: Count;
  p95_ns: Count;
  p99_ns: Count;
};

export type Process = {
  host_name: string;
  service_name: string;
  executable: string;
  first_seen: Time;
  last_seen: Time;
  client_requests: Count;
  server_requests: Count;
  errors: Count;
  connections: Count;
  not_visible: Count;
  sent_bytes: Count;
  received_bytes: Count;
};

export type Node = {
  id: string;
  kind: 'service' | 'server' | 'address';
  name: string;
};

export type Edge = {
  from: string;
  to: string;
  requests: Count;
  errors: Count;
  p95_ns?: Count;
  connections: Count;
  bytes: Count;
};

export type Talker = {
  value: string;
  connections: Count;
  sent_bytes: Count;
  received_bytes: Count;
  last_seen: Time;
};

export type Finding = {
  /** TLS before 1.2 (RFC 8996); a known protocol without TLS; a client that named no server; a certificate that has ended, or ends soon, at the end of the range. */
  finding: 'old_version' | 'plaintext' | 'direct_ip' | 'expired_certificate' | 'expiring_certificate';
  role: 'client' | 'server' | 'unknown' | '';
  service_name: string;
  executable?: string;
  host_name?: string;
  server_address?: string;
  peer_address?: string;
  port?: Port;
  protocol?: string;
  tls_version?: string;
  tls_server_subject?: string;
  tls_server_not_after?: Time;
  connections: Count;
  bytes: Count;
  first_seen: Time;
  last_seen: Time;
};

export type DataFinding = {
  /** What was found, such as card, iban, email, jwt. Absent with `reason`. */
  kind?: string;
  /** Why messages were not looked at, or not to their end: cpu_budget, size, coding (a content coding that cannot be undone), places (too many kinds of findings at once). */
  reason?: string;
  message?: 'request' | 'response';
  /** path, query, header, cookie, trailer, json, form, multipart, text or binary. */
  location?: string;
  /** Name of the header, key or field, lower-case for headers; `user.cards[].number` in JSON. Names that may be sensitive are replaced, as in `{email}`. */
  place?: string;
  /** The observed end: a client sends requests and receives responses. */
  role: 'client' | 'server' | 'unknown' | '';
  environment: string;
  service_name: string;
  executable?: string;
  server_address?: string;
  server_port?: Port;
  count: Count;
  hosts: Count;
  first_seen: Time;
  last_seen: Time;
  /** Of the newest exchange that is known to have it. */
  trace_id: string;
  span_id: string;
};

export type Country = {
  /** ISO 3166-1, or private, or unknown. */
  country: string;
  addresses: Count;
  connections: Count;
  sent_bytes: Count;
  received_bytes: Count;
};

export type AuditEvent = {
  time: Time;
  id: Id16;
  environment: string;
  actor: string;
  /** The capability that was asked for. */
  role?: string;
  address?: string;
  /** payload.link, payload.export, payload.verify, data.erase, … */
  action: string;
  /** allowed, refused or failed; of data.erase also dry_run, and done after allowed */
  outcome: string;
  reason?: string;
  trace_id?: Id16;
  span_id?: Id8;
  detail?: string;
  count: Count;
};

export type Token = {
  extension: string;
  /** The one that it writes to. */
  environment: string;
  name: string;
  /** As the configuration says. Absent when it does not. */
  created_at?: Time;
  /** In seconds, since the collector started. Absent when it was not used since. */
  last_used_at?: Time;
  /** Absent when it is valid until it is removed. */
  expires_at?: Time;
  /** Whether it has not expired. */
  active: boolean;
};

export type Policy = {
  /** 0 is for ever. */
  ttl_ns: Count;
  environments: Record<string, Count>;
  tables: Record<string, Count>;
};

export type StoredTable = {
  table: string;
  environment: string;
  rows: Count;
  /** On disk, by the average row of the table. */
  bytes: Count;
  oldest: Time;
  newest: Time;
};

export type StoredObjects = {
  environment: string;
  retention_class?: string;
  /** sent or lost, as the receiver says; stored or erased, as who has the bucket says. */
  state: string;
  objects: Count;
  /** Exchanges in them. */
  entries: Count;
  /** Before compression. */
  bytes: Count;
  /** In the bucket. Absent unless the receipts of all of them came. */
  size?: Count;
  oldest: Time;
  newest: Time;
  /** When the first of them expires. Absent when that is not known. */
  first_expiry?: Time;
};

export type ObjectExpiry = {
  environment: string;
  retention_class: string;
  objects: Count;
  bytes: Count;
  /** Objects that are gone then. */
  expiring: Count;
  expiring_bytes: Count;
  /** Objects that are kept for ever, or until nobody knows when. */
  unknown: Count;
  /** When the next one goes. */
  next?: Time;
};

export type Expiry = {
  table: string;
  environment: string;
  ttl_ns: Count;
  rows: Count;
  /** On disk, by the average row of the table. */
  bytes: Count;
  oldest: Time;
  newest: Time;
};

export type ListRequestsAnswer = {
  requests: Request[];
  /** Absent on the last page. */
  next_cursor?: string;
};

export type GetRequestAnswer = Request;

export type ListConnectionsAnswer = {
  connections: Connection[];
  /** Absent on the last page. */
  next_cursor?: string;
};

export type GetConnectionAnswer = Connection;

export type CountByTimeAnswer = {
  step_ns: Count;
  buckets: Bucket[];
};

export type GetLatencyAnswer = {
  step_ns: Count;
  buckets: LatencyBucket[];
};

export type GetHeatMapAnswer = {
  step_ns: Count;
  cells: HeatCell[];
};

export type GetFacetsAnswer = {
  facets: Facet[];
};

export type GetFieldValuesAnswer = {
  values: Value[];
};

export type GetFieldsAnswer = {
  fields: Field[];
};

export type ReadFilterAnswer = {
  /** The filter in its normal form; empty when it is wrong or matches everything. */
  canonical: string;
  error?: {
    start: Count;
    end: Count;
    message: string;
  };
  /** What may replace the text from `start` to `end`. With a `field`, its other values are those of `/field-values`. */
  completion?: {
    start: Count;
    end: Count;
    field?: string;
    prefix: string;
    items: string[];
  };
};

export type ListEndpointsAnswer = {
  endpoints: Endpoint[];
};

export type ListProcessesAnswer = {
  processes: Process[];
};

export type GetMapAnswer = {
  nodes: Node[];
  edges: Edge[];
};

export type GetTalkersAnswer = {
  by: string;
  talkers: Talker[];
};

export type GetTLSFindingsAnswer = {
  findings: Finding[];
};

export type GetCountriesAnswer = {
  countries: Country[];
  /** Only the 50000 addresses with the most bytes are counted. */
  partial: boolean;
};

export type GetFindingsAnswer = {
  findings: DataFinding[];
};

export type ListCoverageAnswer = {
  coverage: Coverage[];
};

export type ListAuditAnswer = {
  events: AuditEvent[];
};

export type ListTokensAnswer = {
  /** Those that were asked; empty where senders need no token of this collector. */
  extensions: string[];
  tokens: Token[];
};

export type GetRetentionAnswer = {
  current: Policy;
  asked: Policy;
  at: Time;
  expiring: Expiry[];
  /** What is in the bucket, as far as receipts say, and what of it is gone at `at`. How long an object is kept is said by its retention class (`qpoint_s3`), and no policy here changes it. */
  objects: ObjectExpiry[];
};

export type EraseAnswer = {
  dry_run: boolean;
  /** Parts of exchanges among them. */
  exchanges: Count;
  /** By table. */
  rows: Record<string, Count>;
  payloads: {
    entries: Count;
    /** As they lay in the bucket. */
    bytes: Count;
    /** Of which nothing was left. */
    objects_deleted: Count;
    objects_rewritten: Count;
    /** Payloads that were said to be kept, and are not in the bucket. */
    missing: Count;
    /** Those of the missing that may still come. An order that is not dry is refused then (409 `payload_pending`). */
    on_their_way: Count;
  };
};

export type CheckBucketAnswer = {
  /** Absent where browsers sign with their own credentials. */
  url?: string;
  expires_at: Time;
};

export type GetStorageAnswer = {
  tables: StoredTable[];
  objects: StoredObjects[];
};

export type CreatePayloadLinkAnswer = {
  /** Absent where the browser signs, see `endpoint`. */
  url?: string;
  expires_at: Time;
  bucket: string;
  /** With prefix and environment. */
  key: string;
  entry: string;
  /** To be sent as the header `Range`, as it is. The link is for these bytes only: one entry of the ZIP, from its local header to its end. Absent with `verify` only. Without a receipt that says where it lies there is no link (404 `no_receipt`). */
  range?: string;
  /** Of the entry in the object. */
  offset?: Count;
  /** Of the entry. */
  length?: Count;
  /** The link for what follows `head` bytes, in the same way. */
  rest?: {
    url?: string;
    range: string;
  };
  /** Where Pulse has no credentials for the bucket (`signed_by: browser`): the URL of the bucket, which ends in `/`. The key is added to it, and the browser signs with its user's credentials, for `region`. */
  endpoint?: string;
  region?: string;
};

export type GetMeAnswer = {
  who: string;
  environment: string;
  capabilities: Array<{
    capability: 'metadata:read' | 'payload:read' | 'payload:export_raw' | 'audit:read' | 'retention:read' | 'data:erase';
    /** Filter of the rows it is for. Absent for all. */
    where?: string;
  }>;
};

export type GetConfigAnswer = {
  /** The only environment that is shown; empty for all. */
  environment: string;
  auth: 'local_token' | 'authenticator';
  limits: {
    default_limit: number;
    max_limit: number;
    default_range_ns: number;
    /** When a payload without a receipt counts as lost. */
    receipt_timeout_ns: number;
    link_lifetime_ns: number;
    query_timeout_ns: number;
    /** Rows of a list as NDJSON or CSV. */
    max_export: number;
  };
  /** Null when no bucket is configured. */
  payload: null | {
    origin: string;
    bucket: string;
    prefix: string;
    /** Who has credentials for links. */
    signed_by: 'pulse' | 'browser';
  };
  /** What `anonymize` does in this process; empty when it runs in others only. */
  policies: PrivacyPolicy[];
};

export type GetHealthAnswer = {
  status: 'ok';
};
