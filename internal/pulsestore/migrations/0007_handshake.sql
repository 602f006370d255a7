-- What a TLS handshake says of its two ends.

ALTER TABLE {{table "connections"}} {{.OnCluster}}
    ADD COLUMN IF NOT EXISTS tls_resumed Nullable(Bool) COMMENT 'NULL when not known',
    ADD COLUMN IF NOT EXISTS tls_client_ja3 LowCardinality(String),
    ADD COLUMN IF NOT EXISTS tls_client_ja4 LowCardinality(String),
    ADD COLUMN IF NOT EXISTS tls_server_subject LowCardinality(String),
    ADD COLUMN IF NOT EXISTS tls_server_issuer LowCardinality(String),
    ADD COLUMN IF NOT EXISTS tls_server_not_before DateTime64(0, 'UTC') COMMENT '1970 when not known' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS tls_server_not_after DateTime64(0, 'UTC') COMMENT '1970 when not known' CODEC(ZSTD(1));
