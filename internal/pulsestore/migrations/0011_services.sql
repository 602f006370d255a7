-- Requests by minute and hour, by service and the server that it asked or was: what most panels ask, of a tenth of the rows that 0005 has by template
-- and method as well. And which endpoints there were, by month, for what is asked of all that is kept: when each was seen first.

{{range .EverySum}}ALTER TABLE {{table .}} {{$.OnCluster}} DROP COLUMN IF EXISTS duration_quantiles, DROP COLUMN IF EXISTS latency;

{{end}}{{range .ServiceSums}}CREATE TABLE IF NOT EXISTS {{table .Name}} {{$.OnCluster}}
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
ENGINE = {{$.Aggregating}}
PARTITION BY {{.Partition}}
ORDER BY (time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class)
SETTINGS {{$.Settings}};

{{end}}CREATE TABLE IF NOT EXISTS {{table "endpoints"}} {{.OnCluster}}
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
ENGINE = {{.Aggregating}}
PARTITION BY toStartOfMonth(time)
ORDER BY (environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class, time)
SETTINGS {{.Settings}};

-- Rows that are older than the sums of 0005 and 0008, and then what is older than the tables of this step: see fill.go.
INSERT INTO {{read "requests_1m"}} (time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class, {{.SumColumns}})
SELECT toStartOfMinute(toDateTime(r.time, 'UTC')) AS time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace,
    toUInt8(intDiv(status, 100)) AS status_class, {{.SumOfRequests}}
FROM {{read "requests"}} AS r
WHERE part = 0 AND {{.Piece "r" "requests_1m"}}
GROUP BY time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class;

INSERT INTO {{read "processes_1m"}} (time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class, {{.SumColumns}})
SELECT toStartOfMinute(toDateTime(r.time, 'UTC')) AS time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace,
    toUInt8(intDiv(status, 100)) AS status_class, {{.SumOfRequests}}
FROM {{read "requests"}} AS r
WHERE part = 0 AND {{.Piece "r" "processes_1m"}}
GROUP BY time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class;

INSERT INTO {{read "services_1m"}} (time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class, {{.SumColumns}})
SELECT m.time AS time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class,
    {{.SumOfSums}}
FROM {{read "requests_1m"}} AS m
WHERE {{.Piece "m" "services_1m"}}
GROUP BY time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class;

INSERT INTO {{read "services_1h"}} (time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class, {{.SumColumns}})
SELECT m.time AS time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class,
    {{.SumOfSums}}
FROM {{read "requests_1h"}} AS m
WHERE {{.Piece "m" "services_1h"}}
GROUP BY time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class;

INSERT INTO {{read "endpoints"}} (time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class, first_seen, last_seen)
SELECT toDateTime(toStartOfMonth(m.time), 'UTC') AS time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class,
    min(m.first_seen) AS first_seen, max(m.last_seen) AS last_seen
FROM {{read "requests_1h"}} AS m
GROUP BY time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{table "services_1m_view"}} {{.OnCluster}} TO {{table "services_1m"}} AS
SELECT m.time AS time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class,
    {{.SumOfSums}}
FROM {{table "requests_1m"}} AS m
GROUP BY time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{table "services_1h_view"}} {{.OnCluster}} TO {{table "services_1h"}} AS
SELECT toStartOfHour(m.time) AS time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class,
    {{.SumOfSums}}
FROM {{table "services_1m"}} AS m
GROUP BY time, environment, kind, server_address, server_port, tls_version, service_name, executable, k8s_namespace, status_class;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{table "endpoints_view"}} {{.OnCluster}} TO {{table "endpoints"}} AS
SELECT toDateTime(toStartOfMonth(m.time), 'UTC') AS time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class,
    min(m.first_seen) AS first_seen, max(m.last_seen) AS last_seen
FROM {{table "requests_1h"}} AS m
GROUP BY time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class;
