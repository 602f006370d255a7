-- Requests by minute and hour, by host, container, program, direction and class of status. Endpoints are in 0005: both
-- together would have nearly as many rows as there are requests. The columns are those of 0005.

{{range .ProcessRollups}}CREATE TABLE IF NOT EXISTS {{table .Name}} {{$.OnCluster}}
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
ENGINE = {{$.Aggregating}}
PARTITION BY {{.Partition}}
ORDER BY (time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class)
SETTINGS {{$.Settings}};

{{end}}CREATE MATERIALIZED VIEW IF NOT EXISTS {{table "processes_1m_view"}} {{.OnCluster}} TO {{table "processes_1m"}} AS
SELECT toStartOfMinute(toDateTime(r.time, 'UTC')) AS time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace,
    toUInt8(intDiv(status, 100)) AS status_class, count() AS requests, countIf(error_type != '') AS errors,
    sum(request_body_size) AS request_bytes, sum(response_body_size) AS response_bytes, sum(r.duration) AS duration_sum, max(r.duration) AS duration_max,
    quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(r.duration) AS duration_quantiles,
    sumForEachState(arrayResize([]::Array(UInt8), toUInt8(greatest(least(ceil(2 * log2(r.duration)) - 26, 51), 0)), 0::UInt8) || [1::UInt8]) AS latency,
    min(r.time) AS first_seen, max(r.time) AS last_seen
FROM {{table "requests"}} AS r
WHERE part = 0
GROUP BY time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{table "processes_1h_view"}} {{.OnCluster}} TO {{table "processes_1h"}} AS
SELECT toStartOfHour(m.time) AS time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class,
    sum(m.requests) AS requests, sum(m.errors) AS errors, sum(m.request_bytes) AS request_bytes, sum(m.response_bytes) AS response_bytes,
    sum(m.duration_sum) AS duration_sum, max(m.duration_max) AS duration_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99)(m.duration_quantiles) AS duration_quantiles,
    sumForEachMergeState(m.latency) AS latency,
    min(m.first_seen) AS first_seen, max(m.last_seen) AS last_seen
FROM {{table "processes_1m"}} AS m
GROUP BY time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class;
