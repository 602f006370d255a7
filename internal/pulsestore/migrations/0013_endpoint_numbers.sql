-- A number for each endpoint: there are as many texts as rows in an hour when many paths are rare, and grouping by three of them, or finding some again, takes
-- most of the time of a question. The value follows from the sorting key, so merges may take any. Rows of old have it when they are asked; those by
-- the hour are given it, in the background.

ALTER TABLE {{table "requests_1h"}} {{.OnCluster}}
    ADD COLUMN IF NOT EXISTS endpoint UInt64 DEFAULT {{.EndpointNumber}} CODEC(ZSTD(1));

ALTER TABLE {{table "endpoints"}} {{.OnCluster}}
    ADD COLUMN IF NOT EXISTS endpoint UInt64 DEFAULT {{.EndpointNumber}} CODEC(ZSTD(1));

ALTER TABLE {{table "requests_1h"}} {{.OnCluster}} MATERIALIZE COLUMN endpoint;

ALTER TABLE {{table "endpoints"}} {{.OnCluster}} MATERIALIZE COLUMN endpoint;
