-- Every statement may run again, and at the same time in several collectors: nothing but
-- IF NOT EXISTS, and no data is changed.
--
-- Sorting keys begin with the time, as the questions are "the newest" and "between", and end
-- with the identity, so that a row that was stored twice is one row. The environment is part
-- of the identity: one environment cannot replace a row of another.
--
-- Requests are sorted by five minutes, and within by process and connection, whose columns then are long
-- runs: a third of the bytes, and an index on a process or a server skips most of what it should. "The newest" must
-- be asked by ORDER BY toStartOfFiveMinutes(time) DESC, time DESC: then the newest five minutes are read first and
-- most often alone.
--
-- TTL is not here: it is configuration, see retention.go.

CREATE TABLE IF NOT EXISTS {{table "requests"}} {{.OnCluster}}
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
ENGINE = {{.Engine}}
PARTITION BY toDate(time)
PRIMARY KEY (toStartOfFiveMinutes(time), environment, host_id, service_name)
ORDER BY (toStartOfFiveMinutes(time), environment, host_id, service_name, pid, kind, server_address, connection_id, time, span_id, trace_id)
SETTINGS {{.Settings}};

CREATE TABLE IF NOT EXISTS {{table "connections"}} {{.OnCluster}}
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
ENGINE = {{.EngineBy "sequence"}}
-- By week, not by day: records of long-lived connections are of any day's start, and each day would be a part.
PARTITION BY toMonday(start)
ORDER BY (start, host_id, connection_id, environment)
SETTINGS {{.Settings}};

CREATE TABLE IF NOT EXISTS {{table "payload_objects"}} {{.OnCluster}}
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
ENGINE = {{.EngineBy "time"}}
PARTITION BY toDate(opened)
ORDER BY (key, environment)
SETTINGS {{.Settings}};
