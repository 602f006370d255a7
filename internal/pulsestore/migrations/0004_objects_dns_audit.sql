-- What the bucket's receipts say: the object, and where in it each exchange lies.

ALTER TABLE {{table "payload_objects"}} {{.OnCluster}}
    ADD COLUMN IF NOT EXISTS size UInt64 COMMENT 'of the object; 0 before its receipt' CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS sha256 FixedString(32) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS expires DateTime('UTC') COMMENT '1970: unknown or never' CODEC(Delta(4), ZSTD(1)),
    ADD COLUMN IF NOT EXISTS retention_class LowCardinality(String);

CREATE TABLE IF NOT EXISTS {{table "payload_entries"}} {{.OnCluster}}
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
ENGINE = {{.Engine}}
PARTITION BY toDate(time)
ORDER BY (time, span_id, trace_id, environment, key, offset)
SETTINGS {{.Settings}};

CREATE TABLE IF NOT EXISTS {{table "dns"}} {{.OnCluster}}
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
ENGINE = {{.Engine}}
PARTITION BY toDate(time)
ORDER BY (time, host_id, local_port, pid, name, type, environment)
SETTINGS {{.Settings}};

-- Who asked for what. Holds no payload, no token and no object key.
CREATE TABLE IF NOT EXISTS {{table "audit"}} {{.OnCluster}}
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
ENGINE = {{.Engine}}
PARTITION BY toMonday(time)
ORDER BY (time, id)
SETTINGS {{.Settings}};
