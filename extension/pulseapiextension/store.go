// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ClickHouse/clickhouse-go/v2"
	"go.opentelemetry.io/collector/component"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// openStore connects to the server that `clickhouse` names. It fails when nobody answers there,
// so that a wrong address is seen at start and not on the page.
func (e *apiExtension) openStore(ctx context.Context, host component.Host) (pulsestore.Reader, io.Closer, error) {
	opts, err := e.storeOptions(host)
	if err != nil {
		return nil, nil, err
	}
	database := cmp.Or(e.cfg.Database, opts.Auth.Database, pulsestore.DefaultDatabase)
	// Tables are named in full: a connection must not fail because `pulse` has not made the database yet.
	opts.Auth.Database = ""
	store, err := pulsestore.Open(opts, database)
	if err != nil {
		return nil, nil, fmt.Errorf("`clickhouse`: %w", err)
	}
	store.SetLimits(e.cfg.Queries.limits())
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Queries.Timeout)
	defer cancel()
	if err := store.Ping(ctx); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("`clickhouse` does not answer: %w", err), store.Close())
	}
	return store, store, nil
}

func (e *apiExtension) storeOptions(host component.Host) (*clickhouse.Options, error) {
	if e.cfg.clickHouseIsURL() {
		opts, err := clickhouse.ParseDSN(string(e.cfg.ClickHouse))
		if err != nil {
			return nil, errors.New("`clickhouse` is not a URL that a ClickHouse client understands: give clickhouse://user:password@host:9000/database") // the cause may hold the password
		}
		return opts, nil
	}
	id := e.cfg.clickHouseID()
	ext, ok := host.GetExtensions()[id]
	if !ok {
		return nil, fmt.Errorf("`clickhouse` names %s, which is not among the service's extensions: add it to `service::extensions`", id)
	}
	engine, ok := ext.(pulsestore.Engine)
	if !ok {
		return nil, fmt.Errorf("`clickhouse` names %s, which brings no ClickHouse: use an extension such as local_clickhouse, or a URL", id)
	}
	return engine.ClickHouseOptions(), nil
}
