-- Durations as counts in buckets that grow by an eighth of an octave, instead of sketches and of arrays by half an octave: sketches take tens of
-- microseconds each to merge, and there are as many as there are sums.
--
-- durations: the numbers of the buckets and how many requests each has. Bucket n has what took at most 2^(13 + n/8) ns and did not
-- fit into the one before; the first (0) has all that is shorter, the last (255, from 9 hours) all that is longer. So a quantile is within 9.1 % of
-- the bucket's other end, and within 4.5 % of its middle.
--
-- Sums that are there already have their counts of half an octave placed in the middle of it; the statement touches no sum twice.
-- The columns of old are dropped by 0011, when no collector can be at this step any more.

{{range .EverySum}}ALTER TABLE {{table .}} {{$.OnCluster}}
    ADD COLUMN IF NOT EXISTS durations SimpleAggregateFunction(sumMap, Tuple(Array(UInt8), Array(UInt64))) CODEC(ZSTD(1));

{{end}}ALTER TABLE {{table "requests_1m_view"}} {{.OnCluster}} MODIFY QUERY
SELECT toStartOfMinute(toDateTime(r.time, 'UTC')) AS time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace,
    toUInt8(intDiv(status, 100)) AS status_class, {{.SumOfRequests}}
FROM {{table "requests"}} AS r
WHERE part = 0
GROUP BY time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class;

ALTER TABLE {{table "requests_1h_view"}} {{.OnCluster}} MODIFY QUERY
SELECT toStartOfHour(m.time) AS time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class,
    {{.SumOfSums}}
FROM {{table "requests_1m"}} AS m
GROUP BY time, environment, kind, server_address, server_port, template, method, tls_version, service_name, executable, k8s_namespace, status_class;

ALTER TABLE {{table "processes_1m_view"}} {{.OnCluster}} MODIFY QUERY
SELECT toStartOfMinute(toDateTime(r.time, 'UTC')) AS time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace,
    toUInt8(intDiv(status, 100)) AS status_class, {{.SumOfRequests}}
FROM {{table "requests"}} AS r
WHERE part = 0
GROUP BY time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class;

ALTER TABLE {{table "processes_1h_view"}} {{.OnCluster}} MODIFY QUERY
SELECT toStartOfHour(m.time) AS time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class,
    {{.SumOfSums}}
FROM {{table "processes_1m"}} AS m
GROUP BY time, environment, kind, host_id, host_name, service_name, executable, user, container_id, pod_uid, k8s_namespace, status_class;

{{range .EverySum}}ALTER TABLE {{table .}} {{$.OnCluster}}
    UPDATE durations = (
        arrayMap(i -> toUInt8(greatest(4 * (i - 1), 2) - 2), arrayFilter((i, n) -> n > 0, arrayEnumerate(finalizeAggregation(latency)), finalizeAggregation(latency))),
        arrayFilter(n -> n > 0, finalizeAggregation(latency)))
    WHERE empty(durations.1) SETTINGS mutations_sync = 2;

{{end}}
