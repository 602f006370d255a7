-- The tables of the OpenTelemetry Collector's clickhouse exporter, as views: Grafana and HyperDX read them.

CREATE VIEW IF NOT EXISTS {{table "otel_traces"}} {{.OnCluster}} AS
SELECT
    time AS Timestamp,
    lower(hex(trace_id)) AS TraceId,
    lower(hex(span_id)) AS SpanId,
    if(parent_span_id = toFixedString('', 8), '', lower(hex(parent_span_id))) AS ParentSpanId,
    '' AS TraceState,
    (if(rpc_method != '', rpc_method, concat(method, ' ', template)))::LowCardinality(String) AS SpanName,
    initcap(kind)::LowCardinality(String) AS SpanKind,
    service_name AS ServiceName,
    {{.ResourceAttributes}} AS ResourceAttributes,
    '' AS ScopeName,
    '' AS ScopeVersion,
    {{.SpanAttributes}} AS SpanAttributes,
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
FROM {{read "requests"}};

CREATE VIEW IF NOT EXISTS {{table "otel_traces_trace_id_ts"}} {{.OnCluster}} AS
SELECT lower(hex(trace_id)) AS TraceId, toDateTime(min(time)) AS Start, toDateTime(max(time)) AS End
FROM {{read "requests"}}
GROUP BY TraceId;

CREATE VIEW IF NOT EXISTS {{table "otel_logs"}} {{.OnCluster}} AS
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
    {{.ResourceAttributes}} AS ResourceAttributes,
    ''::LowCardinality(String) AS ScopeSchemaUrl,
    '' AS ScopeName,
    ''::LowCardinality(String) AS ScopeVersion,
    map()::Map(LowCardinality(String), String) AS ScopeAttributes,
    {{.ConnectionAttributes}} AS LogAttributes,
    '{{.EventConnection}}' AS EventName
FROM {{read "connections"}} FINAL
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
    {{.ResourceAttributes}},
    ''::LowCardinality(String),
    '',
    ''::LowCardinality(String),
    map()::Map(LowCardinality(String), String),
    {{.DNSAttributes}},
    '{{.EventDNS}}'
FROM {{read "dns"}};
