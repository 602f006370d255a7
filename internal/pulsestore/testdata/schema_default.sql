CREATE DATABASE IF NOT EXISTS `qpoint`;
CREATE TABLE IF NOT EXISTS `qpoint`.`schema_migrations`  (version UInt32, name String, applied_at DateTime64(3, 'UTC'))
ENGINE = ReplacingMergeTree ORDER BY version;
-- 1 first_tables
CREATE TABLE IF NOT EXISTS `qpoint`.`requests`
(
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    trace_id FixedString(16) CODEC(NONE),
    span_id FixedString(8) CODEC(NONE),
    parent_span_id FixedString(8) CODEC(ZSTD(1)),
    kind LowCardinality(String),
    environment LowCardinality(String),
    service_name LowCardinality(String),
    host_id LowCardinality(String),
    host_name LowCardinality(String),
    pid UInt32 CODEC(ZSTD(1)),
    executable LowCardinality(String),
    user LowCardinality(String),
    container_id LowCardinality(String),
    pod_uid LowCardinality(String),
    connection_id UInt64 CODEC(ZSTD(1)),
    exchange_sequence UInt32 CODEC(T64, ZSTD(1)),
    method LowCardinality(String),
    scheme LowCardinality(String),
    server_address LowCardinality(String),
    server_port UInt16 CODEC(ZSTD(1)),
    client_address IPv6 CODEC(ZSTD(1)),
    client_port UInt16 CODEC(ZSTD(1)),
    peer_address IPv6 CODEC(ZSTD(1)),
    peer_port UInt16 CODEC(ZSTD(1)),
    path String CODEC(ZSTD(1)),
    template LowCardinality(String),
    query String CODEC(ZSTD(1)),
    status UInt16 CODEC(ZSTD(1)),
    error_type LowCardinality(String),
    protocol_version LowCardinality(String),
    tls_version LowCardinality(String),
    tls_cipher LowCardinality(String),
    duration UInt64 COMMENT 'ns' CODEC(T64, ZSTD(1)),
    timing_send UInt64 COMMENT 'ns, 0 when not measured' CODEC(T64, ZSTD(1)),
    timing_wait UInt64 COMMENT 'ns, 0 when not measured' CODEC(T64, ZSTD(1)),
    timing_receive UInt64 COMMENT 'ns, 0 when not measured' CODEC(T64, ZSTD(1)),
    request_body_size UInt64 CODEC(T64, ZSTD(1)),
    response_body_size UInt64 CODEC(T64, ZSTD(1)),
    payload_state LowCardinality(String),
    payload_reason LowCardinality(String),
    payload_object LowCardinality(String),
    payload_visible Bool,
    INDEX trace_id trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX connection_id connection_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(time)
PRIMARY KEY (toStartOfFiveMinutes(time), environment, host_id, service_name)
ORDER BY (toStartOfFiveMinutes(time), environment, host_id, service_name, pid, kind, server_address, connection_id, time, span_id, trace_id)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
CREATE TABLE IF NOT EXISTS `qpoint`.`connections`
(
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    start DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    connection_id UInt64 CODEC(ZSTD(1)),
    sequence UInt32 CODEC(T64, ZSTD(1)),
    state LowCardinality(String),
    role LowCardinality(String),
    close_reason LowCardinality(String),
    environment LowCardinality(String),
    service_name LowCardinality(String),
    host_id LowCardinality(String),
    host_name LowCardinality(String),
    pid UInt32 CODEC(ZSTD(1)),
    executable LowCardinality(String),
    user LowCardinality(String),
    container_id LowCardinality(String),
    pod_uid LowCardinality(String),
    local_address IPv6 CODEC(ZSTD(1)),
    local_port UInt16 CODEC(ZSTD(1)),
    peer_address IPv6 CODEC(ZSTD(1)),
    peer_port UInt16 CODEC(ZSTD(1)),
    server_address LowCardinality(String),
    protocol LowCardinality(String),
    protocol_version LowCardinality(String),
    tls_version LowCardinality(String),
    tls_cipher LowCardinality(String),
    tls_next_protocol LowCardinality(String),
    sent_bytes UInt64 CODEC(T64, ZSTD(1)),
    received_bytes UInt64 CODEC(T64, ZSTD(1)),
    sent_packets UInt64 CODEC(T64, ZSTD(1)),
    received_packets UInt64 CODEC(T64, ZSTD(1)),
    retransmits UInt32 CODEC(T64, ZSTD(1)),
    rtt UInt64 COMMENT 'ns' CODEC(T64, ZSTD(1)),
    duration UInt64 COMMENT 'ns' CODEC(T64, ZSTD(1)),
    requests UInt32 CODEC(T64, ZSTD(1)),
    visibility LowCardinality(String),
    reason LowCardinality(String),
    INDEX connection_id connection_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(sequence)
PARTITION BY toMonday(start)
ORDER BY (start, host_id, connection_id, environment)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
CREATE TABLE IF NOT EXISTS `qpoint`.`payload_objects`
(
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    key String CODEC(ZSTD(1)),
    environment LowCardinality(String),
    host_id LowCardinality(String),
    state LowCardinality(String),
    reason LowCardinality(String),
    entries UInt32 CODEC(T64, ZSTD(1)),
    bytes UInt64 CODEC(T64, ZSTD(1)),
    opened DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    closed DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(time)
PARTITION BY toDate(opened)
ORDER BY (key, environment)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
-- 2 coverage
CREATE TABLE IF NOT EXISTS `qpoint`.`coverage`
(
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    environment LowCardinality(String),
    host_id LowCardinality(String),
    host_name LowCardinality(String),
    subject LowCardinality(String),
    name LowCardinality(String),
    state LowCardinality(String),
    reason LowCardinality(String),
    advice LowCardinality(String),
    count UInt64 CODEC(T64, ZSTD(1)),
    service_name LowCardinality(String),
    pid UInt32 CODEC(ZSTD(1)),
    executable LowCardinality(String),
    user LowCardinality(String),
    container_id LowCardinality(String),
    pod_uid LowCardinality(String)
)
ENGINE = ReplacingMergeTree(time)
PARTITION BY toDate(time)
ORDER BY (host_id, subject, name, executable, container_id, service_name, state, reason, environment)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
-- 3 details
ALTER TABLE `qpoint`.`requests`
    ADD COLUMN IF NOT EXISTS service_namespace LowCardinality(String),
    ADD COLUMN IF NOT EXISTS pod_name LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_namespace LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_node LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_container LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_deployment LowCardinality(String),
    ADD COLUMN IF NOT EXISTS part UInt32 COMMENT '0: the request itself' CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS rpc_system LowCardinality(String),
    ADD COLUMN IF NOT EXISTS rpc_method LowCardinality(String),
    ADD COLUMN IF NOT EXISTS rpc_status LowCardinality(String),
    ADD COLUMN IF NOT EXISTS request_messages UInt32 CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS response_messages UInt32 CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS close_code UInt16 CODEC(T64, ZSTD(1));
ALTER TABLE `qpoint`.`requests`
    MODIFY COLUMN path LowCardinality(String),
    MODIFY COLUMN query LowCardinality(String);
ALTER TABLE `qpoint`.`requests`
    DROP INDEX IF EXISTS trace_id,
    ADD INDEX IF NOT EXISTS trace lower(hex(trace_id)) TYPE bloom_filter(0.001) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS server_address server_address TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS service_name service_name TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS host_name host_name TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS executable executable TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS container_id container_id TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS k8s_namespace k8s_namespace TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS template template TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS method method TYPE set(32) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS status status TYPE set(64) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS error_type error_type TYPE set(64) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS peer_address peer_address TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS client_address client_address TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE `qpoint`.`connections`
    ADD COLUMN IF NOT EXISTS service_namespace LowCardinality(String),
    ADD COLUMN IF NOT EXISTS pod_name LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_namespace LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_node LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_container LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_deployment LowCardinality(String),
    ADD COLUMN IF NOT EXISTS transport LowCardinality(String),
    ADD COLUMN IF NOT EXISTS name_source LowCardinality(String);
ALTER TABLE `qpoint`.`coverage`
    ADD COLUMN IF NOT EXISTS service_namespace LowCardinality(String),
    ADD COLUMN IF NOT EXISTS pod_name LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_namespace LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_node LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_container LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_deployment LowCardinality(String);
-- 4 objects_dns_audit
ALTER TABLE `qpoint`.`payload_objects`
    ADD COLUMN IF NOT EXISTS size UInt64 COMMENT 'of the object; 0 before its receipt' CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS sha256 FixedString(32) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS expires DateTime('UTC') COMMENT '1970: unknown or never' CODEC(Delta(4), ZSTD(1)),
    ADD COLUMN IF NOT EXISTS retention_class LowCardinality(String);
CREATE TABLE IF NOT EXISTS `qpoint`.`payload_entries`
(
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    trace_id FixedString(16) CODEC(NONE),
    span_id FixedString(8) CODEC(NONE),
    environment LowCardinality(String),
    host_id LowCardinality(String),
    connection_id UInt64 CODEC(ZSTD(1)),
    key LowCardinality(String),
    offset UInt64 CODEC(T64, ZSTD(1)),
    length UInt64 CODEC(T64, ZSTD(1)),
    INDEX trace lower(hex(trace_id)) TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX connection_id connection_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX key key TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(time)
ORDER BY (time, span_id, trace_id, environment, key, offset)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
CREATE TABLE IF NOT EXISTS `qpoint`.`dns`
(
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    role LowCardinality(String),
    name LowCardinality(String),
    type LowCardinality(String),
    response_code LowCardinality(String),
    error_type LowCardinality(String),
    answers UInt32 CODEC(T64, ZSTD(1)),
    duration UInt64 COMMENT 'ns, 0 when not measured' CODEC(T64, ZSTD(1)),
    transport LowCardinality(String),
    local_address IPv6 CODEC(ZSTD(1)),
    local_port UInt16 CODEC(ZSTD(1)),
    peer_address IPv6 CODEC(ZSTD(1)),
    peer_port UInt16 CODEC(ZSTD(1)),
    environment LowCardinality(String),
    service_name LowCardinality(String),
    service_namespace LowCardinality(String),
    host_id LowCardinality(String),
    host_name LowCardinality(String),
    pid UInt32 CODEC(ZSTD(1)),
    executable LowCardinality(String),
    user LowCardinality(String),
    container_id LowCardinality(String),
    pod_uid LowCardinality(String),
    pod_name LowCardinality(String),
    k8s_namespace LowCardinality(String),
    k8s_node LowCardinality(String),
    k8s_container LowCardinality(String),
    k8s_deployment LowCardinality(String),
    INDEX name name TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(time)
ORDER BY (time, host_id, local_port, pid, name, type, environment)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
CREATE TABLE IF NOT EXISTS `qpoint`.`audit`
(
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    id FixedString(16),
    environment LowCardinality(String),
    actor LowCardinality(String),
    role LowCardinality(String),
    address IPv6 CODEC(ZSTD(1)),
    action LowCardinality(String),
    outcome LowCardinality(String),
    reason LowCardinality(String),
    trace_id FixedString(16),
    span_id FixedString(8),
    detail String CODEC(ZSTD(1)),
    count UInt64 CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toMonday(time)
ORDER BY (time, id)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
-- 5 rollups
CREATE TABLE IF NOT EXISTS `qpoint`.`requests_1m`
(
    time DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    environment LowCardinality(String),
    kind LowCardinality(String),
    server_address LowCardinality(String),
    server_port UInt16 CODEC(ZSTD(1)),
    template LowCardinality(String),
    method LowCardinality(String),
    tls_version LowCardinality(String),
    service_name LowCardinality(String),
    executable LowCardinality(String),
    k8s_namespace LowCardinality(String),
    status_class UInt8 COMMENT '1 to 5; 0: no response' CODEC(ZSTD(1)),
    requests SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    errors SimpleAggregateFunction(sum, UInt64) COMMENT 'with an error.type' CODEC(T64, ZSTD(1)),
    request_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    response_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    duration_sum SimpleAggregateFunction(sum, UInt64) COMMENT 'ns' CODEC(T64, ZSTD(1)),
    duration_max SimpleAggregateFunction(max, UInt64) COMMENT 'ns' CODEC(T64, ZSTD(1)),
    duration_quantiles AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99), UInt64) CODEC(ZSTD(1)),
    latency AggregateFunction(sumForEach, Array(UInt8)) CODEC(ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(time)
ORDER BY (time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
CREATE TABLE IF NOT EXISTS `qpoint`.`requests_1h`
(
    time DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    environment LowCardinality(String),
    kind LowCardinality(String),
    server_address LowCardinality(String),
    server_port UInt16 CODEC(ZSTD(1)),
    template LowCardinality(String),
    method LowCardinality(String),
    tls_version LowCardinality(String),
    service_name LowCardinality(String),
    executable LowCardinality(String),
    k8s_namespace LowCardinality(String),
    status_class UInt8 COMMENT '1 to 5; 0: no response' CODEC(ZSTD(1)),
    requests SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    errors SimpleAggregateFunction(sum, UInt64) COMMENT 'with an error.type' CODEC(T64, ZSTD(1)),
    request_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    response_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    duration_sum SimpleAggregateFunction(sum, UInt64) COMMENT 'ns' CODEC(T64, ZSTD(1)),
    duration_max SimpleAggregateFunction(max, UInt64) COMMENT 'ns' CODEC(T64, ZSTD(1)),
    duration_quantiles AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99), UInt64) CODEC(ZSTD(1)),
    latency AggregateFunction(sumForEach, Array(UInt8)) CODEC(ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(time)
ORDER BY (time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
CREATE MATERIALIZED VIEW IF NOT EXISTS `qpoint`.`requests_1m_view`  TO `qpoint`.`requests_1m` AS
SELECT toStartOfMinute(toDateTime(r.time, 'UTC')) AS time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace,
    toUInt8(intDiv(status, 100)) AS status_class, count() AS requests, countIf(error_type != '') AS errors,
    sum(request_body_size) AS request_bytes, sum(response_body_size) AS response_bytes, sum(r.duration) AS duration_sum, max(r.duration) AS duration_max,
    quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(r.duration) AS duration_quantiles,
    sumForEachState(arrayResize([]::Array(UInt8), toUInt8(greatest(least(ceil(2 * log2(r.duration)) - 26, 51), 0)), 0::UInt8) || [1::UInt8]) AS latency,
    min(r.time) AS first_seen, max(r.time) AS last_seen
FROM `qpoint`.`requests` AS r
WHERE part = 0
GROUP BY time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class;
CREATE MATERIALIZED VIEW IF NOT EXISTS `qpoint`.`requests_1h_view`  TO `qpoint`.`requests_1h` AS
SELECT toStartOfHour(m.time) AS time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class,
    sum(m.requests) AS requests, sum(m.errors) AS errors, sum(m.request_bytes) AS request_bytes, sum(m.response_bytes) AS response_bytes,
    sum(m.duration_sum) AS duration_sum, max(m.duration_max) AS duration_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99)(m.duration_quantiles) AS duration_quantiles,
    sumForEachMergeState(m.latency) AS latency,
    min(m.first_seen) AS first_seen, max(m.last_seen) AS last_seen
FROM `qpoint`.`requests_1m` AS m
GROUP BY time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class;
-- 6 otel_views
CREATE VIEW IF NOT EXISTS `qpoint`.`otel_traces`  AS
SELECT
    time AS Timestamp,
    lower(hex(trace_id)) AS TraceId,
    lower(hex(span_id)) AS SpanId,
    if(parent_span_id = toFixedString('', 8), '', lower(hex(parent_span_id))) AS ParentSpanId,
    '' AS TraceState,
    (if(rpc_method != '', rpc_method, concat(method, ' ', template)))::LowCardinality(String) AS SpanName,
    initcap(kind)::LowCardinality(String) AS SpanKind,
    service_name AS ServiceName,
    mapFilter((k, v) -> v NOT IN ('', '0', '::'), map('service.name', toString(service_name), 'service.namespace', toString(service_namespace), 'qpoint.environment', toString(environment), 'deployment.environment.name', toString(environment), 'host.id', toString(host_id), 'host.name', toString(host_name), 'process.pid', toString(pid), 'process.executable.path', toString(executable), 'process.owner', toString(user), 'container.id', toString(container_id), 'k8s.pod.uid', toString(pod_uid), 'k8s.pod.name', toString(pod_name), 'k8s.namespace.name', toString(k8s_namespace), 'k8s.node.name', toString(k8s_node), 'k8s.container.name', toString(k8s_container), 'k8s.deployment.name', toString(k8s_deployment)))::Map(LowCardinality(String), String) AS ResourceAttributes,
    '' AS ScopeName,
    '' AS ScopeVersion,
    mapFilter((k, v) -> v NOT IN ('', '0', '::'), map('http.request.method', toString(method), 'http.response.status_code', toString(status), 'url.scheme', toString(scheme), 'url.path', toString(path), 'url.query', toString(query), 'url.template', toString(template), 'server.address', toString(server_address), 'server.port', toString(server_port), 'client.address', toString(client_address), 'client.port', toString(client_port), 'network.peer.address', toString(peer_address), 'network.peer.port', toString(peer_port), 'network.protocol.version', toString(protocol_version), 'tls.protocol.version', toString(tls_version), 'tls.cipher', toString(tls_cipher), 'error.type', toString(error_type), 'http.request.body.size', toString(request_body_size), 'http.response.body.size', toString(response_body_size), 'rpc.system.name', toString(rpc_system), 'rpc.method', toString(rpc_method), 'rpc.response.status_code', toString(rpc_status), 'qpoint.connection.id', lower(leftPad(hex(connection_id), 16, '0')), 'qpoint.exchange.part', toString(part), 'qpoint.payload.state', toString(payload_state), 'qpoint.payload.reason', toString(payload_reason)))::Map(LowCardinality(String), String) AS SpanAttributes,
    duration AS Duration,
    if(error_type != '', 'Error', 'Unset')::LowCardinality(String) AS StatusCode,
    error_type::String AS StatusMessage,
    []::Array(DateTime64(9)) AS `Events.Timestamp`,
    []::Array(LowCardinality(String)) AS `Events.Name`,
    []::Array(Map(LowCardinality(String), String)) AS `Events.Attributes`,
    []::Array(String) AS `Links.TraceId`,
    []::Array(String) AS `Links.SpanId`,
    []::Array(String) AS `Links.TraceState`,
    []::Array(Map(LowCardinality(String), String)) AS `Links.Attributes`
FROM `qpoint`.`requests`;
CREATE VIEW IF NOT EXISTS `qpoint`.`otel_traces_trace_id_ts`  AS
SELECT lower(hex(trace_id)) AS TraceId, toDateTime(min(time)) AS Start, toDateTime(max(time)) AS End
FROM `qpoint`.`requests`
GROUP BY TraceId;
CREATE VIEW IF NOT EXISTS `qpoint`.`otel_logs`  AS
SELECT
    time AS Timestamp,
    toDateTime(time) AS TimestampTime,
    '' AS TraceId,
    '' AS SpanId,
    0::UInt8 AS TraceFlags,
    'INFO'::LowCardinality(String) AS SeverityText,
    9::UInt8 AS SeverityNumber,
    service_name AS ServiceName,
    concat('connection ', state, ' ', role, ' ', if(server_address != '', server_address, toString(peer_address))) AS Body,
    ''::LowCardinality(String) AS ResourceSchemaUrl,
    mapFilter((k, v) -> v NOT IN ('', '0', '::'), map('service.name', toString(service_name), 'service.namespace', toString(service_namespace), 'qpoint.environment', toString(environment), 'deployment.environment.name', toString(environment), 'host.id', toString(host_id), 'host.name', toString(host_name), 'process.pid', toString(pid), 'process.executable.path', toString(executable), 'process.owner', toString(user), 'container.id', toString(container_id), 'k8s.pod.uid', toString(pod_uid), 'k8s.pod.name', toString(pod_name), 'k8s.namespace.name', toString(k8s_namespace), 'k8s.node.name', toString(k8s_node), 'k8s.container.name', toString(k8s_container), 'k8s.deployment.name', toString(k8s_deployment)))::Map(LowCardinality(String), String) AS ResourceAttributes,
    ''::LowCardinality(String) AS ScopeSchemaUrl,
    '' AS ScopeName,
    ''::LowCardinality(String) AS ScopeVersion,
    map()::Map(LowCardinality(String), String) AS ScopeAttributes,
    mapFilter((k, v) -> v NOT IN ('', '0', '::'), map('qpoint.connection.id', lower(leftPad(hex(connection_id), 16, '0')), 'qpoint.connection.state', toString(state), 'qpoint.connection.role', toString(role), 'qpoint.connection.close_reason', toString(close_reason), 'qpoint.connection.duration', toString(duration), 'qpoint.connection.sent.bytes', toString(sent_bytes), 'qpoint.connection.received.bytes', toString(received_bytes), 'qpoint.connection.retransmits', toString(retransmits), 'qpoint.connection.rtt', toString(rtt), 'qpoint.connection.requests', toString(requests), 'network.transport', toString(transport), 'network.local.address', toString(local_address), 'network.local.port', toString(local_port), 'network.peer.address', toString(peer_address), 'network.peer.port', toString(peer_port), 'server.address', toString(server_address), 'network.protocol.name', toString(protocol), 'network.protocol.version', toString(protocol_version), 'tls.protocol.version', toString(tls_version), 'tls.cipher', toString(tls_cipher), 'tls.next_protocol', toString(tls_next_protocol), 'qpoint.payload.visibility', toString(visibility), 'qpoint.payload.reason', toString(reason)))::Map(LowCardinality(String), String) AS LogAttributes,
    'qpoint.connection' AS EventName
FROM `qpoint`.`connections` FINAL
UNION ALL
SELECT
    time,
    toDateTime(time),
    '',
    '',
    0::UInt8,
    'INFO'::LowCardinality(String),
    9::UInt8,
    service_name,
    concat('dns ', type, ' ', name, ' ', if(response_code != '', response_code, error_type)),
    ''::LowCardinality(String),
    mapFilter((k, v) -> v NOT IN ('', '0', '::'), map('service.name', toString(service_name), 'service.namespace', toString(service_namespace), 'qpoint.environment', toString(environment), 'deployment.environment.name', toString(environment), 'host.id', toString(host_id), 'host.name', toString(host_name), 'process.pid', toString(pid), 'process.executable.path', toString(executable), 'process.owner', toString(user), 'container.id', toString(container_id), 'k8s.pod.uid', toString(pod_uid), 'k8s.pod.name', toString(pod_name), 'k8s.namespace.name', toString(k8s_namespace), 'k8s.node.name', toString(k8s_node), 'k8s.container.name', toString(k8s_container), 'k8s.deployment.name', toString(k8s_deployment)))::Map(LowCardinality(String), String),
    ''::LowCardinality(String),
    '',
    ''::LowCardinality(String),
    map()::Map(LowCardinality(String), String),
    mapFilter((k, v) -> v NOT IN ('', '0', '::'), map('dns.question.name', toString(name), 'qpoint.dns.question.type', toString(type), 'qpoint.dns.response_code', toString(response_code), 'error.type', toString(error_type), 'qpoint.dns.answers', toString(answers), 'qpoint.dns.duration', toString(duration), 'qpoint.connection.role', toString(role), 'network.transport', toString(transport), 'network.local.address', toString(local_address), 'network.local.port', toString(local_port), 'network.peer.address', toString(peer_address), 'network.peer.port', toString(peer_port)))::Map(LowCardinality(String), String),
    'qpoint.dns'
FROM `qpoint`.`dns`;
-- 7 handshake
ALTER TABLE `qpoint`.`connections`
    ADD COLUMN IF NOT EXISTS tls_resumed Nullable(Bool) COMMENT 'NULL when not known',
    ADD COLUMN IF NOT EXISTS tls_client_ja3 LowCardinality(String),
    ADD COLUMN IF NOT EXISTS tls_client_ja4 LowCardinality(String),
    ADD COLUMN IF NOT EXISTS tls_server_subject LowCardinality(String),
    ADD COLUMN IF NOT EXISTS tls_server_issuer LowCardinality(String),
    ADD COLUMN IF NOT EXISTS tls_server_not_before DateTime64(0, 'UTC') COMMENT '1970 when not known' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS tls_server_not_after DateTime64(0, 'UTC') COMMENT '1970 when not known' CODEC(ZSTD(1));
-- 8 process_rollups
CREATE TABLE IF NOT EXISTS `qpoint`.`processes_1m`
(
    time DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    environment LowCardinality(String),
    kind LowCardinality(String),
    host_id LowCardinality(String),
    host_name LowCardinality(String),
    service_name LowCardinality(String),
    executable LowCardinality(String),
    user LowCardinality(String),
    container_id LowCardinality(String),
    pod_uid LowCardinality(String),
    k8s_namespace LowCardinality(String),
    status_class UInt8 COMMENT '1 to 5; 0: no response' CODEC(ZSTD(1)),
    requests SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    errors SimpleAggregateFunction(sum, UInt64) COMMENT 'with an error.type' CODEC(T64, ZSTD(1)),
    request_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    response_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    duration_sum SimpleAggregateFunction(sum, UInt64) COMMENT 'ns' CODEC(T64, ZSTD(1)),
    duration_max SimpleAggregateFunction(max, UInt64) COMMENT 'ns' CODEC(T64, ZSTD(1)),
    duration_quantiles AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99), UInt64) CODEC(ZSTD(1)),
    latency AggregateFunction(sumForEach, Array(UInt8)) CODEC(ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(time)
ORDER BY (time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
CREATE TABLE IF NOT EXISTS `qpoint`.`processes_1h`
(
    time DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    environment LowCardinality(String),
    kind LowCardinality(String),
    host_id LowCardinality(String),
    host_name LowCardinality(String),
    service_name LowCardinality(String),
    executable LowCardinality(String),
    user LowCardinality(String),
    container_id LowCardinality(String),
    pod_uid LowCardinality(String),
    k8s_namespace LowCardinality(String),
    status_class UInt8 COMMENT '1 to 5; 0: no response' CODEC(ZSTD(1)),
    requests SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    errors SimpleAggregateFunction(sum, UInt64) COMMENT 'with an error.type' CODEC(T64, ZSTD(1)),
    request_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    response_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    duration_sum SimpleAggregateFunction(sum, UInt64) COMMENT 'ns' CODEC(T64, ZSTD(1)),
    duration_max SimpleAggregateFunction(max, UInt64) COMMENT 'ns' CODEC(T64, ZSTD(1)),
    duration_quantiles AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99), UInt64) CODEC(ZSTD(1)),
    latency AggregateFunction(sumForEach, Array(UInt8)) CODEC(ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(time)
ORDER BY (time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
CREATE MATERIALIZED VIEW IF NOT EXISTS `qpoint`.`processes_1m_view`  TO `qpoint`.`processes_1m` AS
SELECT toStartOfMinute(toDateTime(r.time, 'UTC')) AS time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace,
    toUInt8(intDiv(status, 100)) AS status_class, count() AS requests, countIf(error_type != '') AS errors,
    sum(request_body_size) AS request_bytes, sum(response_body_size) AS response_bytes, sum(r.duration) AS duration_sum, max(r.duration) AS duration_max,
    quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(r.duration) AS duration_quantiles,
    sumForEachState(arrayResize([]::Array(UInt8), toUInt8(greatest(least(ceil(2 * log2(r.duration)) - 26, 51), 0)), 0::UInt8) || [1::UInt8]) AS latency,
    min(r.time) AS first_seen, max(r.time) AS last_seen
FROM `qpoint`.`requests` AS r
WHERE part = 0
GROUP BY time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class;
CREATE MATERIALIZED VIEW IF NOT EXISTS `qpoint`.`processes_1h_view`  TO `qpoint`.`processes_1h` AS
SELECT toStartOfHour(m.time) AS time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class,
    sum(m.requests) AS requests, sum(m.errors) AS errors, sum(m.request_bytes) AS request_bytes, sum(m.response_bytes) AS response_bytes,
    sum(m.duration_sum) AS duration_sum, max(m.duration_max) AS duration_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99)(m.duration_quantiles) AS duration_quantiles,
    sumForEachMergeState(m.latency) AS latency,
    min(m.first_seen) AS first_seen, max(m.last_seen) AS last_seen
FROM `qpoint`.`processes_1m` AS m
GROUP BY time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class;
-- 9 findings
CREATE TABLE IF NOT EXISTS `qpoint`.`findings`
(
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    trace_id FixedString(16) CODEC(NONE),
    span_id FixedString(8) CODEC(NONE),
    kind LowCardinality(String),
    message LowCardinality(String),
    location LowCardinality(String),
    place LowCardinality(String),
    reason LowCardinality(String) COMMENT 'why messages were not looked at; empty for a finding',
    role LowCardinality(String),
    server_address LowCardinality(String),
    server_port UInt16 CODEC(ZSTD(1)),
    count UInt64 COMMENT 'values; messages where there is a reason' CODEC(T64, ZSTD(1)),
    environment LowCardinality(String),
    service_name LowCardinality(String),
    service_namespace LowCardinality(String),
    host_id LowCardinality(String),
    host_name LowCardinality(String),
    pid UInt32 CODEC(ZSTD(1)),
    executable LowCardinality(String),
    user LowCardinality(String),
    container_id LowCardinality(String),
    pod_uid LowCardinality(String),
    pod_name LowCardinality(String),
    k8s_namespace LowCardinality(String),
    k8s_node LowCardinality(String),
    k8s_container LowCardinality(String),
    k8s_deployment LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(time)
ORDER BY (time, span_id, kind, message, location, place, reason, server_address, server_port, role, host_id, pid, environment)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
-- 10 durations
ALTER TABLE `qpoint`.`requests_1h`
    ADD COLUMN IF NOT EXISTS durations SimpleAggregateFunction(sumMap, Tuple(Array(UInt8), Array(UInt64))) CODEC(ZSTD(1));
ALTER TABLE `qpoint`.`requests_1m`
    ADD COLUMN IF NOT EXISTS durations SimpleAggregateFunction(sumMap, Tuple(Array(UInt8), Array(UInt64))) CODEC(ZSTD(1));
ALTER TABLE `qpoint`.`processes_1h`
    ADD COLUMN IF NOT EXISTS durations SimpleAggregateFunction(sumMap, Tuple(Array(UInt8), Array(UInt64))) CODEC(ZSTD(1));
ALTER TABLE `qpoint`.`processes_1m`
    ADD COLUMN IF NOT EXISTS durations SimpleAggregateFunction(sumMap, Tuple(Array(UInt8), Array(UInt64))) CODEC(ZSTD(1));
ALTER TABLE `qpoint`.`requests_1m_view`  MODIFY QUERY
SELECT toStartOfMinute(toDateTime(r.time, 'UTC')) AS time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace,
    toUInt8(intDiv(status, 100)) AS status_class, count() AS requests, countIf(error_type != '') AS errors,
    sum(request_body_size) AS request_bytes, sum(response_body_size) AS response_bytes, sum(r.duration) AS duration_sum, max(r.duration) AS duration_max,
    sumMap([toUInt8(greatest(least(ceil(8 * log2(r.duration)) - 104, 255), 0))], [1::UInt64]) AS durations,
    min(r.time) AS first_seen, max(r.time) AS last_seen
FROM `qpoint`.`requests` AS r
WHERE part = 0
GROUP BY time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class;
ALTER TABLE `qpoint`.`requests_1h_view`  MODIFY QUERY
SELECT toStartOfHour(m.time) AS time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class,
    sum(m.requests) AS requests, sum(m.errors) AS errors, sum(m.request_bytes) AS request_bytes, sum(m.response_bytes) AS response_bytes,
    sum(m.duration_sum) AS duration_sum, max(m.duration_max) AS duration_max, sumMap(m.durations) AS durations,
    min(m.first_seen) AS first_seen, max(m.last_seen) AS last_seen
FROM `qpoint`.`requests_1m` AS m
GROUP BY time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class;
ALTER TABLE `qpoint`.`processes_1m_view`  MODIFY QUERY
SELECT toStartOfMinute(toDateTime(r.time, 'UTC')) AS time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace,
    toUInt8(intDiv(status, 100)) AS status_class, count() AS requests, countIf(error_type != '') AS errors,
    sum(request_body_size) AS request_bytes, sum(response_body_size) AS response_bytes, sum(r.duration) AS duration_sum, max(r.duration) AS duration_max,
    sumMap([toUInt8(greatest(least(ceil(8 * log2(r.duration)) - 104, 255), 0))], [1::UInt64]) AS durations,
    min(r.time) AS first_seen, max(r.time) AS last_seen
FROM `qpoint`.`requests` AS r
WHERE part = 0
GROUP BY time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class;
ALTER TABLE `qpoint`.`processes_1h_view`  MODIFY QUERY
SELECT toStartOfHour(m.time) AS time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class,
    sum(m.requests) AS requests, sum(m.errors) AS errors, sum(m.request_bytes) AS request_bytes, sum(m.response_bytes) AS response_bytes,
    sum(m.duration_sum) AS duration_sum, max(m.duration_max) AS duration_max, sumMap(m.durations) AS durations,
    min(m.first_seen) AS first_seen, max(m.last_seen) AS last_seen
FROM `qpoint`.`processes_1m` AS m
GROUP BY time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class;
ALTER TABLE `qpoint`.`requests_1h`
    UPDATE durations = (
        arrayMap(i -> toUInt8(greatest(4 * (i - 1), 2) - 2), arrayFilter((i, n) -> n > 0, arrayEnumerate(finalizeAggregation(latency)), finalizeAggregation(latency))),
        arrayFilter(n -> n > 0, finalizeAggregation(latency)))
    WHERE empty(durations.1) SETTINGS mutations_sync = 2;
ALTER TABLE `qpoint`.`requests_1m`
    UPDATE durations = (
        arrayMap(i -> toUInt8(greatest(4 * (i - 1), 2) - 2), arrayFilter((i, n) -> n > 0, arrayEnumerate(finalizeAggregation(latency)), finalizeAggregation(latency))),
        arrayFilter(n -> n > 0, finalizeAggregation(latency)))
    WHERE empty(durations.1) SETTINGS mutations_sync = 2;
ALTER TABLE `qpoint`.`processes_1h`
    UPDATE durations = (
        arrayMap(i -> toUInt8(greatest(4 * (i - 1), 2) - 2), arrayFilter((i, n) -> n > 0, arrayEnumerate(finalizeAggregation(latency)), finalizeAggregation(latency))),
        arrayFilter(n -> n > 0, finalizeAggregation(latency)))
    WHERE empty(durations.1) SETTINGS mutations_sync = 2;
ALTER TABLE `qpoint`.`processes_1m`
    UPDATE durations = (
        arrayMap(i -> toUInt8(greatest(4 * (i - 1), 2) - 2), arrayFilter((i, n) -> n > 0, arrayEnumerate(finalizeAggregation(latency)), finalizeAggregation(latency))),
        arrayFilter(n -> n > 0, finalizeAggregation(latency)))
    WHERE empty(durations.1) SETTINGS mutations_sync = 2;
-- 11 services
ALTER TABLE `qpoint`.`requests_1h`  DROP COLUMN IF EXISTS duration_quantiles, DROP COLUMN IF EXISTS latency;
ALTER TABLE `qpoint`.`requests_1m`  DROP COLUMN IF EXISTS duration_quantiles, DROP COLUMN IF EXISTS latency;
ALTER TABLE `qpoint`.`processes_1h`  DROP COLUMN IF EXISTS duration_quantiles, DROP COLUMN IF EXISTS latency;
ALTER TABLE `qpoint`.`processes_1m`  DROP COLUMN IF EXISTS duration_quantiles, DROP COLUMN IF EXISTS latency;
CREATE TABLE IF NOT EXISTS `qpoint`.`services_1m`
(
    time DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    environment LowCardinality(String),
    kind LowCardinality(String),
    server_address LowCardinality(String),
    server_port UInt16 CODEC(ZSTD(1)),
    tls_version LowCardinality(String),
    service_name LowCardinality(String),
    executable LowCardinality(String),
    k8s_namespace LowCardinality(String),
    status_class UInt8 COMMENT '1 to 5; 0: no response' CODEC(ZSTD(1)),
    requests SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    errors SimpleAggregateFunction(sum, UInt64) COMMENT 'with an error.type' CODEC(T64, ZSTD(1)),
    request_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    response_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    duration_sum SimpleAggregateFunction(sum, UInt64) COMMENT 'ns' CODEC(T64, ZSTD(1)),
    duration_max SimpleAggregateFunction(max, UInt64) COMMENT 'ns' CODEC(T64, ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    durations SimpleAggregateFunction(sumMap, Tuple(Array(UInt8), Array(UInt64))) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(time)
ORDER BY (time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
CREATE TABLE IF NOT EXISTS `qpoint`.`services_1h`
(
    time DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    environment LowCardinality(String),
    kind LowCardinality(String),
    server_address LowCardinality(String),
    server_port UInt16 CODEC(ZSTD(1)),
    tls_version LowCardinality(String),
    service_name LowCardinality(String),
    executable LowCardinality(String),
    k8s_namespace LowCardinality(String),
    status_class UInt8 COMMENT '1 to 5; 0: no response' CODEC(ZSTD(1)),
    requests SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    errors SimpleAggregateFunction(sum, UInt64) COMMENT 'with an error.type' CODEC(T64, ZSTD(1)),
    request_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    response_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    duration_sum SimpleAggregateFunction(sum, UInt64) COMMENT 'ns' CODEC(T64, ZSTD(1)),
    duration_max SimpleAggregateFunction(max, UInt64) COMMENT 'ns' CODEC(T64, ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    durations SimpleAggregateFunction(sumMap, Tuple(Array(UInt8), Array(UInt64))) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(time)
ORDER BY (time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
CREATE TABLE IF NOT EXISTS `qpoint`.`endpoints`
(
    time DateTime('UTC') COMMENT 'begin of the month' CODEC(Delta(4), ZSTD(1)),
    environment LowCardinality(String),
    kind LowCardinality(String),
    server_address LowCardinality(String),
    server_port UInt16 CODEC(ZSTD(1)),
    template LowCardinality(String),
    method LowCardinality(String),
    tls_version LowCardinality(String),
    service_name LowCardinality(String),
    executable LowCardinality(String),
    k8s_namespace LowCardinality(String),
    status_class UInt8 COMMENT '1 to 5; 0: no response' CODEC(ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toStartOfMonth(time)
ORDER BY (environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class, time)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
INSERT INTO `qpoint`.`requests_1m` (time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class, requests, errors, request_bytes, response_bytes, duration_sum, duration_max, durations, first_seen, last_seen)
SELECT toStartOfMinute(toDateTime(r.time, 'UTC')) AS time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace,
    toUInt8(intDiv(status, 100)) AS status_class, count() AS requests, countIf(error_type != '') AS errors,
    sum(request_body_size) AS request_bytes, sum(response_body_size) AS response_bytes, sum(r.duration) AS duration_sum, max(r.duration) AS duration_max,
    sumMap([toUInt8(greatest(least(ceil(8 * log2(r.duration)) - 104, 255), 0))], [1::UInt64]) AS durations,
    min(r.time) AS first_seen, max(r.time) AS last_seen
FROM `qpoint`.`requests` AS r
WHERE part = 0 AND r.time >= fromUnixTimestamp64Nano({from:Int64}, 'UTC') AND r.time < fromUnixTimestamp64Nano({to:Int64}, 'UTC')
    AND (SELECT count() FROM `qpoint`.`requests_1m` AS filled WHERE filled.time >= fromUnixTimestamp64Nano({from:Int64}, 'UTC') AND filled.time < fromUnixTimestamp64Nano({to:Int64}, 'UTC')) = 0
GROUP BY time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class;
INSERT INTO `qpoint`.`processes_1m` (time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class, requests, errors, request_bytes, response_bytes, duration_sum, duration_max, durations, first_seen, last_seen)
SELECT toStartOfMinute(toDateTime(r.time, 'UTC')) AS time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace,
    toUInt8(intDiv(status, 100)) AS status_class, count() AS requests, countIf(error_type != '') AS errors,
    sum(request_body_size) AS request_bytes, sum(response_body_size) AS response_bytes, sum(r.duration) AS duration_sum, max(r.duration) AS duration_max,
    sumMap([toUInt8(greatest(least(ceil(8 * log2(r.duration)) - 104, 255), 0))], [1::UInt64]) AS durations,
    min(r.time) AS first_seen, max(r.time) AS last_seen
FROM `qpoint`.`requests` AS r
WHERE part = 0 AND r.time >= fromUnixTimestamp64Nano({from:Int64}, 'UTC') AND r.time < fromUnixTimestamp64Nano({to:Int64}, 'UTC')
    AND (SELECT count() FROM `qpoint`.`processes_1m` AS filled WHERE filled.time >= fromUnixTimestamp64Nano({from:Int64}, 'UTC') AND filled.time < fromUnixTimestamp64Nano({to:Int64}, 'UTC')) = 0
GROUP BY time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class;
INSERT INTO `qpoint`.`services_1m` (time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class, requests, errors, request_bytes, response_bytes, duration_sum, duration_max, durations, first_seen, last_seen)
SELECT m.time AS time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class,
    sum(m.requests) AS requests, sum(m.errors) AS errors, sum(m.request_bytes) AS request_bytes, sum(m.response_bytes) AS response_bytes,
    sum(m.duration_sum) AS duration_sum, max(m.duration_max) AS duration_max, sumMap(m.durations) AS durations,
    min(m.first_seen) AS first_seen, max(m.last_seen) AS last_seen
FROM `qpoint`.`requests_1m` AS m
WHERE m.time >= fromUnixTimestamp64Nano({from:Int64}, 'UTC') AND m.time < fromUnixTimestamp64Nano({to:Int64}, 'UTC')
    AND (SELECT count() FROM `qpoint`.`services_1m` AS filled WHERE filled.time >= fromUnixTimestamp64Nano({from:Int64}, 'UTC') AND filled.time < fromUnixTimestamp64Nano({to:Int64}, 'UTC')) = 0
GROUP BY time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class;
INSERT INTO `qpoint`.`services_1h` (time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class, requests, errors, request_bytes, response_bytes, duration_sum, duration_max, durations, first_seen, last_seen)
SELECT m.time AS time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class,
    sum(m.requests) AS requests, sum(m.errors) AS errors, sum(m.request_bytes) AS request_bytes, sum(m.response_bytes) AS response_bytes,
    sum(m.duration_sum) AS duration_sum, max(m.duration_max) AS duration_max, sumMap(m.durations) AS durations,
    min(m.first_seen) AS first_seen, max(m.last_seen) AS last_seen
FROM `qpoint`.`requests_1h` AS m
WHERE m.time >= fromUnixTimestamp64Nano({from:Int64}, 'UTC') AND m.time < fromUnixTimestamp64Nano({to:Int64}, 'UTC')
    AND (SELECT count() FROM `qpoint`.`services_1h` AS filled WHERE filled.time >= fromUnixTimestamp64Nano({from:Int64}, 'UTC') AND filled.time < fromUnixTimestamp64Nano({to:Int64}, 'UTC')) = 0
GROUP BY time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class;
INSERT INTO `qpoint`.`endpoints` (time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class, first_seen, last_seen)
SELECT toDateTime(toStartOfMonth(m.time), 'UTC') AS time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class,
    min(m.first_seen) AS first_seen, max(m.last_seen) AS last_seen
FROM `qpoint`.`requests_1h` AS m
GROUP BY time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class;
CREATE MATERIALIZED VIEW IF NOT EXISTS `qpoint`.`services_1m_view`  TO `qpoint`.`services_1m` AS
SELECT m.time AS time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class,
    sum(m.requests) AS requests, sum(m.errors) AS errors, sum(m.request_bytes) AS request_bytes, sum(m.response_bytes) AS response_bytes,
    sum(m.duration_sum) AS duration_sum, max(m.duration_max) AS duration_max, sumMap(m.durations) AS durations,
    min(m.first_seen) AS first_seen, max(m.last_seen) AS last_seen
FROM `qpoint`.`requests_1m` AS m
GROUP BY time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class;
CREATE MATERIALIZED VIEW IF NOT EXISTS `qpoint`.`services_1h_view`  TO `qpoint`.`services_1h` AS
SELECT toStartOfHour(m.time) AS time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class,
    sum(m.requests) AS requests, sum(m.errors) AS errors, sum(m.request_bytes) AS request_bytes, sum(m.response_bytes) AS response_bytes,
    sum(m.duration_sum) AS duration_sum, max(m.duration_max) AS duration_max, sumMap(m.durations) AS durations,
    min(m.first_seen) AS first_seen, max(m.last_seen) AS last_seen
FROM `qpoint`.`services_1m` AS m
GROUP BY time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class;
CREATE MATERIALIZED VIEW IF NOT EXISTS `qpoint`.`endpoints_view`  TO `qpoint`.`endpoints` AS
SELECT toDateTime(toStartOfMonth(m.time), 'UTC') AS time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class,
    min(m.first_seen) AS first_seen, max(m.last_seen) AS last_seen
FROM `qpoint`.`requests_1h` AS m
GROUP BY time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class;
-- 12 connection_sums
ALTER TABLE `qpoint`.`connections`  ADD INDEX IF NOT EXISTS state state TYPE set(8) GRANULARITY 1;
ALTER TABLE `qpoint`.`connections`  MATERIALIZE INDEX state SETTINGS mutations_sync = 2;
CREATE TABLE IF NOT EXISTS `qpoint`.`connections_10m`
(
    time DateTime('UTC') COMMENT 'of starts' CODEC(Delta(4), ZSTD(1)),
    environment LowCardinality(String),
    role LowCardinality(String),
    host_id LowCardinality(String),
    host_name LowCardinality(String),
    service_name LowCardinality(String),
    executable LowCardinality(String),
    k8s_namespace LowCardinality(String),
    server_address LowCardinality(String),
    server_port UInt16 COMMENT 'of the end that listens; of the other end when it is not known which' CODEC(ZSTD(1)),
    unnamed_peer IPv6 COMMENT 'of the other end, without a server_address; or ::' CODEC(ZSTD(1)),
    transport LowCardinality(String),
    protocol LowCardinality(String),
    tls_version LowCardinality(String),
    tls_server_subject LowCardinality(String),
    tls_server_not_after DateTime64(0, 'UTC') COMMENT '1970 when not known' CODEC(ZSTD(1)),
    visibility LowCardinality(String),
    connections SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    errors SimpleAggregateFunction(sum, UInt64) COMMENT 'reset, timeout or refused' CODEC(T64, ZSTD(1)),
    sent_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    received_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    peer_address SimpleAggregateFunction(any, IPv6) COMMENT 'one of them' CODEC(ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')) COMMENT 'start' CODEC(Delta(8), ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(Delta(8), ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(time)
PRIMARY KEY (time, environment, role, host_id, host_name, service_name)
ORDER BY (time, environment, role, host_id, host_name, service_name, executable, k8s_namespace, server_address, server_port, unnamed_peer, transport, protocol, tls_version,
    tls_server_subject, tls_server_not_after, visibility)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
INSERT INTO `qpoint`.`connections_10m` (time, environment, role, host_id, host_name, service_name, executable, k8s_namespace, server_address, server_port, unnamed_peer, transport, protocol, tls_version, tls_server_subject, tls_server_not_after, visibility, connections, errors, sent_bytes, received_bytes, peer_address, first_seen, last_seen)
SELECT toStartOfTenMinutes(toDateTime(r.start, 'UTC')) AS time,
    environment,
    role,
    host_id,
    host_name,
    service_name,
    executable,
    k8s_namespace,
    server_address,
    if(role = 'server', local_port, r.peer_port) AS server_port,
    if(server_address = '', r.peer_address, toIPv6('::')) AS unnamed_peer,
    transport,
    protocol,
    tls_version,
    tls_server_subject,
    tls_server_not_after,
    visibility,
    count() AS connections,
    countIf(close_reason IN ('reset', 'timeout', 'refused')) AS errors,
    sum(r.sent_bytes) AS sent_bytes,
    sum(r.received_bytes) AS received_bytes,
    any(r.peer_address) AS peer_address,
    min(r.start) AS first_seen,
    max(r.time) AS last_seen
FROM `qpoint`.`connections` AS r FINAL
WHERE state = 'closed' AND r.start >= fromUnixTimestamp64Nano({from:Int64}, 'UTC') AND r.start < fromUnixTimestamp64Nano({to:Int64}, 'UTC')
    AND (SELECT count() FROM `qpoint`.`connections_10m` AS filled WHERE filled.time >= fromUnixTimestamp64Nano({from:Int64}, 'UTC') AND filled.time < fromUnixTimestamp64Nano({to:Int64}, 'UTC')) = 0
GROUP BY time, environment, role, host_id, host_name, service_name, executable, k8s_namespace, server_address, server_port, unnamed_peer, transport, protocol, tls_version, tls_server_subject, tls_server_not_after, visibility;
CREATE MATERIALIZED VIEW IF NOT EXISTS `qpoint`.`connections_10m_view`  TO `qpoint`.`connections_10m` AS
SELECT toStartOfTenMinutes(toDateTime(r.start, 'UTC')) AS time,
    environment,
    role,
    host_id,
    host_name,
    service_name,
    executable,
    k8s_namespace,
    server_address,
    if(role = 'server', local_port, r.peer_port) AS server_port,
    if(server_address = '', r.peer_address, toIPv6('::')) AS unnamed_peer,
    transport,
    protocol,
    tls_version,
    tls_server_subject,
    tls_server_not_after,
    visibility,
    count() AS connections,
    countIf(close_reason IN ('reset', 'timeout', 'refused')) AS errors,
    sum(r.sent_bytes) AS sent_bytes,
    sum(r.received_bytes) AS received_bytes,
    any(r.peer_address) AS peer_address,
    min(r.start) AS first_seen,
    max(r.time) AS last_seen
FROM `qpoint`.`connections` AS r
WHERE state = 'closed'
GROUP BY time, environment, role, host_id, host_name, service_name, executable, k8s_namespace, server_address, server_port, unnamed_peer, transport, protocol, tls_version, tls_server_subject, tls_server_not_after, visibility;
-- 13 endpoint_numbers
ALTER TABLE `qpoint`.`requests_1h`
    ADD COLUMN IF NOT EXISTS endpoint UInt64 DEFAULT bitXor(bitXor(sipHash64(server_address), sipHash64(method, 1)), sipHash64(template, 2)) CODEC(ZSTD(1));
ALTER TABLE `qpoint`.`endpoints`
    ADD COLUMN IF NOT EXISTS endpoint UInt64 DEFAULT bitXor(bitXor(sipHash64(server_address), sipHash64(method, 1)), sipHash64(template, 2)) CODEC(ZSTD(1));
ALTER TABLE `qpoint`.`requests_1h`  MATERIALIZE COLUMN endpoint;
ALTER TABLE `qpoint`.`endpoints`  MATERIALIZE COLUMN endpoint;
-- retention
ALTER TABLE `qpoint`.`requests` MODIFY SETTING ttl_only_drop_parts = 0;
ALTER TABLE `qpoint`.`requests` MODIFY TTL toDateTime(time) + toIntervalSecond(multiIf(environment = 'staging', 3600, 2592000));
ALTER TABLE `qpoint`.`connections` MODIFY SETTING ttl_only_drop_parts = 0;
ALTER TABLE `qpoint`.`connections` MODIFY TTL toDateTime(time) + toIntervalSecond(multiIf(environment = 'staging', 3600, 2592000));
ALTER TABLE `qpoint`.`payload_objects` MODIFY SETTING ttl_only_drop_parts = 0;
ALTER TABLE `qpoint`.`payload_objects` MODIFY TTL toDateTime(time) + toIntervalSecond(multiIf(environment = 'staging', 3600, 2592000));
ALTER TABLE `qpoint`.`payload_entries` MODIFY SETTING ttl_only_drop_parts = 0;
ALTER TABLE `qpoint`.`payload_entries` MODIFY TTL toDateTime(time) + toIntervalSecond(multiIf(environment = 'staging', 3600, 2592000));
ALTER TABLE `qpoint`.`coverage` MODIFY SETTING ttl_only_drop_parts = 1;
ALTER TABLE `qpoint`.`coverage` MODIFY TTL toDateTime(time) + toIntervalSecond(3600);
ALTER TABLE `qpoint`.`dns` REMOVE TTL;
ALTER TABLE `qpoint`.`findings` MODIFY SETTING ttl_only_drop_parts = 0;
ALTER TABLE `qpoint`.`findings` MODIFY TTL toDateTime(time) + toIntervalSecond(multiIf(environment = 'staging', 3600, 2592000));
ALTER TABLE `qpoint`.`audit` MODIFY SETTING ttl_only_drop_parts = 0;
ALTER TABLE `qpoint`.`audit` MODIFY TTL toDateTime(time) + toIntervalSecond(34560000);
ALTER TABLE `qpoint`.`requests_1m` MODIFY SETTING ttl_only_drop_parts = 0;
ALTER TABLE `qpoint`.`requests_1m` MODIFY TTL toDateTime(time) + toIntervalSecond(multiIf(environment = 'staging', 3600, 2592000));
ALTER TABLE `qpoint`.`requests_1h` MODIFY SETTING ttl_only_drop_parts = 0;
ALTER TABLE `qpoint`.`requests_1h` MODIFY TTL toDateTime(time) + toIntervalSecond(34560000);
ALTER TABLE `qpoint`.`processes_1m` MODIFY SETTING ttl_only_drop_parts = 0;
ALTER TABLE `qpoint`.`processes_1m` MODIFY TTL toDateTime(time) + toIntervalSecond(multiIf(environment = 'staging', 3600, 2592000));
ALTER TABLE `qpoint`.`processes_1h` MODIFY SETTING ttl_only_drop_parts = 0;
ALTER TABLE `qpoint`.`processes_1h` MODIFY TTL toDateTime(time) + toIntervalSecond(34560000);
ALTER TABLE `qpoint`.`services_1m` MODIFY SETTING ttl_only_drop_parts = 0;
ALTER TABLE `qpoint`.`services_1m` MODIFY TTL toDateTime(time) + toIntervalSecond(multiIf(environment = 'staging', 3600, 2592000));
ALTER TABLE `qpoint`.`services_1h` MODIFY SETTING ttl_only_drop_parts = 0;
ALTER TABLE `qpoint`.`services_1h` MODIFY TTL toDateTime(time) + toIntervalSecond(34560000);
ALTER TABLE `qpoint`.`endpoints` MODIFY SETTING ttl_only_drop_parts = 0;
ALTER TABLE `qpoint`.`endpoints` MODIFY TTL toDateTime(time) + toIntervalSecond(34560000);
ALTER TABLE `qpoint`.`connections_10m` MODIFY SETTING ttl_only_drop_parts = 0;
ALTER TABLE `qpoint`.`connections_10m` MODIFY TTL toDateTime(time) + toIntervalSecond(multiIf(environment = 'staging', 3600, 2592000));
