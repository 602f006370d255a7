-- What a host sees and what it does not, and why: one row per thing and answer, the newest wins.

CREATE TABLE IF NOT EXISTS {{table "coverage"}} {{.OnCluster}}
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
ENGINE = {{.EngineBy "time"}}
PARTITION BY toDate(time)
ORDER BY (host_id, subject, name, executable, container_id, service_name, state, reason, environment)
SETTINGS {{.Settings}};
