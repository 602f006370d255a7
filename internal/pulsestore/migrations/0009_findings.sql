-- Which kind of sensitive data was seen where in the payloads, and how often. Never the value.

CREATE TABLE IF NOT EXISTS {{table "findings"}} {{.OnCluster}}
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
ENGINE = {{.Engine}}
PARTITION BY toDate(time)
ORDER BY (time, span_id, kind, message, location, place, reason, server_address, server_port, role, host_id, pid, environment)
SETTINGS {{.Settings}};
