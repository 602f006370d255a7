-- Where a process runs, parts of exchanges that go on, remote procedures.
--
-- A statement that adds columns does nothing else: a cluster's Distributed table has columns, but no indexes.

ALTER TABLE {{table "requests"}} {{.OnCluster}}
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

-- Paths and queries are cleaned, so few of them are different: a filter looks at the dictionary alone.
ALTER TABLE {{table "requests"}} {{.OnCluster}}
    MODIFY COLUMN path LowCardinality(String),
    MODIFY COLUMN query LowCardinality(String);

-- The index is on the text of a trace id, which the otel views have too.
ALTER TABLE {{table "requests"}} {{.OnCluster}}
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

ALTER TABLE {{table "connections"}} {{.OnCluster}}
    ADD COLUMN IF NOT EXISTS service_namespace LowCardinality(String),
    ADD COLUMN IF NOT EXISTS pod_name LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_namespace LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_node LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_container LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_deployment LowCardinality(String),
    ADD COLUMN IF NOT EXISTS transport LowCardinality(String),
    ADD COLUMN IF NOT EXISTS name_source LowCardinality(String);

ALTER TABLE {{table "coverage"}} {{.OnCluster}}
    ADD COLUMN IF NOT EXISTS service_namespace LowCardinality(String),
    ADD COLUMN IF NOT EXISTS pod_name LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_namespace LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_node LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_container LowCardinality(String),
    ADD COLUMN IF NOT EXISTS k8s_deployment LowCardinality(String);
