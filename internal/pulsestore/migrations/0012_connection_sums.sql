-- Connections by ten minutes of their start, of their last records: a connection says once that it is closed. What is not closed is counted in
-- `connections`, which the index on the state makes few.

ALTER TABLE {{table "connections"}} {{.OnCluster}} ADD INDEX IF NOT EXISTS state state TYPE set(8) GRANULARITY 1;

ALTER TABLE {{table "connections"}} {{.OnCluster}} MATERIALIZE INDEX state SETTINGS mutations_sync = 2;

CREATE TABLE IF NOT EXISTS {{table "connections_10m"}} {{.OnCluster}}
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
ENGINE = {{.Aggregating}}
PARTITION BY toDate(time)
PRIMARY KEY (time, environment, role, host_id, host_name, service_name)
ORDER BY (time, environment, role, host_id, host_name, service_name, executable, k8s_namespace, server_address, server_port, unnamed_peer, transport, protocol, tls_version,
    tls_server_subject, tls_server_not_after, visibility)
SETTINGS {{.Settings}};

INSERT INTO {{read "connections_10m"}} ({{.ConnectionSumColumns}})
SELECT {{.SumOfConnections}}
FROM {{read "connections"}} AS r FINAL
WHERE state = 'closed' AND {{.PieceOf "r" "start" "connections_10m"}}
GROUP BY {{.ConnectionSumKeys}};

CREATE MATERIALIZED VIEW IF NOT EXISTS {{table "connections_10m_view"}} {{.OnCluster}} TO {{table "connections_10m"}} AS
SELECT {{.SumOfConnections}}
FROM {{table "connections"}} AS r
WHERE state = 'closed'
GROUP BY {{.ConnectionSumKeys}};
