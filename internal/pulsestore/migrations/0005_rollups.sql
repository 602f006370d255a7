-- Requests by minute and hour, by endpoint, program, direction and class of status: see 0008 for hosts and containers. Parts are not requests. The hour
-- is made of the minute's rows, which are few.
--
-- quantilesDD: DDSketch, seen within 2 % of the exact value. latency: requests by duration, two buckets an octave: bucket n (from 0)
-- has what took at most 2^(13 + n/2) ns and did not fit into the one before; the last (51) has all that took longer.

{{range .Rollups}}CREATE TABLE IF NOT EXISTS {{table .Name}} {{$.OnCluster}}
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
ENGINE = {{$.Aggregating}}
PARTITION BY {{.Partition}}
ORDER BY (time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class)
SETTINGS {{$.Settings}};

{{end}}CREATE MATERIALIZED VIEW IF NOT EXISTS {{table "requests_1m_view"}} {{.OnCluster}} TO {{table "requests_1m"}} AS
SELECT toStartOfMinute(toDateTime(r.time, 'UTC')) AS time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace,
    toUInt8(intDiv(status, 100)) AS status_class, count() AS requests, countIf(error_type != '') AS errors,
    sum(request_body_size) AS request_bytes, sum(response_body_size) AS response_bytes, sum(r.duration) AS duration_sum, max(r.duration) AS duration_max,
    quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(r.duration) AS duration_quantiles,
    sumForEachState(arrayResize([]::Array(UInt8), toUInt8(greatest(least(ceil(2 * log2(r.duration)) - 26, 51), 0)), 0::UInt8) || [1::UInt8]) AS latency,
    min(r.time) AS first_seen, max(r.time) AS last_seen
FROM {{table "requests"}} AS r
WHERE part = 0
GROUP BY time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{table "requests_1h_view"}} {{.OnCluster}} TO {{table "requests_1h"}} AS
SELECT toStartOfHour(m.time) AS time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class,
    sum(m.requests) AS requests, sum(m.errors) AS errors, sum(m.request_bytes) AS request_bytes, sum(m.response_bytes) AS response_bytes,
    sum(m.duration_sum) AS duration_sum, max(m.duration_max) AS duration_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99)(m.duration_quantiles) AS duration_quantiles,
    sumForEachMergeState(m.latency) AS latency,
    min(m.first_seen) AS first_seen, max(m.last_seen) AS last_seen
FROM {{table "requests_1m"}} AS m
GROUP BY time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class;
