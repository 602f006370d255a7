// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.opentelemetry.io/otel/metric"

	"github.com/qpoint-io/otelcol-qpoint/extension/pulseapiextension/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/internal/erasure"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

var (
	_ extensioncapabilities.Dependent       = (*apiExtension)(nil)
	_ extensioncapabilities.PipelineWatcher = (*apiExtension)(nil)
)

// apiExtension owns one HTTP server and the reader behind it.
type apiExtension struct {
	cfg   *Config
	set   extension.Settings
	links metric.Int64Counter

	// openReader is a seam for tests of this package that need rows no engine would return.
	openReader func(context.Context, component.Host) (pulsestore.Reader, io.Closer, error)
	// stdout gets the one line with the URL; a test reads it.
	stdout io.Writer

	server *http.Server
	api    *api
	reader io.Closer
	places *places
	stop   chan struct{} // closed when the server stops
	addr   net.Addr
	token  string // the local token, "" with `auth`
	done   sync.WaitGroup
}

func newExtension(set extension.Settings, cfg *Config) (*apiExtension, error) {
	links, err := set.MeterProvider.Meter(metadata.ScopeName).Int64Counter("otelcol_extension_pulse_api_payload_links",
		metric.WithDescription("Answers to requests for a payload link, by result."), metric.WithUnit("{link}"))
	if err != nil {
		return nil, err
	}
	e := &apiExtension{cfg: cfg, set: set, links: links, stdout: os.Stdout}
	e.openReader = e.openStore
	return e, nil
}

// Dependencies makes the engine and the bucket start before, and stop after, this extension.
func (e *apiExtension) Dependencies() []component.ID {
	var ids []component.ID
	if !e.cfg.clickHouseIsURL() {
		ids = append(ids, e.cfg.clickHouseID())
	}
	if e.cfg.Storage != nil {
		ids = append(ids, *e.cfg.Storage)
	}
	if e.cfg.Eraser != nil {
		ids = append(ids, *e.cfg.Eraser)
	}
	if e.cfg.Auth.HasValue() {
		ids = append(ids, e.cfg.Auth.Get().Config.AuthenticatorID)
	}
	return ids
}

// Start opens the store and serves. When it returns nil, the page can be opened.
func (e *apiExtension) Start(ctx context.Context, host component.Host) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("`pulse_api`: %w", err) // the collector's own line does not say which extension it was
		}
	}()
	signer, err := e.newSigner(host)
	if err != nil {
		return err
	}
	eraser, err := e.findEraser(host)
	if err != nil {
		return err
	}
	auth, token, err := e.newAuthenticator(ctx, host)
	if err != nil {
		return err
	}
	page, err := newPage(signer.origin())
	if err != nil {
		return err
	}
	listener, err := e.cfg.ToListener(ctx)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("`endpoint` %s is in use by another process: stop it, or choose another endpoint", e.cfg.NetAddr.Endpoint)
	}
	if err != nil {
		return fmt.Errorf("cannot listen on `endpoint` %s: %w", e.cfg.NetAddr.Endpoint, err)
	}
	defer func() {
		if err != nil {
			_ = listener.Close()
			_ = e.close()
		}
	}()
	reader, closer, err := e.openReader(ctx, host)
	if err != nil {
		return err
	}
	e.reader, e.addr, e.token = closer, listener.Addr(), token

	access, err := newAccess(e.cfg.Access)
	if err != nil {
		return err
	}
	if e.places, err = openPlaces(e.cfg.CountryDatabase); err != nil {
		return err
	}
	e.stop = make(chan struct{})
	e.api = &api{
		reader: reader, environment: e.cfg.Environment, auth: auth, access: access, signer: signer, eraser: eraser, places: e.places, issuers: tokenIssuers(host), page: page, links: e.links,
		log: e.set.Logger, audit: e.set.Logger.Named("audit"), now: time.Now, version: e.set.BuildInfo.Version,
		queue: newQueue(e.cfg.Queries.Concurrent, e.cfg.Queries.QueueTimeout), timeout: e.cfg.Queries.Timeout, rate: newLimiter(e.cfg.RequestsPerSecond), streamLifetime: tailLifetime, done: e.stop,
		cookie: sessionCookie{name: fmt.Sprintf("qpoint_session_%d", listener.Addr().(*net.TCPAddr).Port), secure: e.cfg.TLS.HasValue()},
	}
	// The authenticator guards /api/v1 and not the page itself, which holds no data and must load
	// before a person can give a token; so it is taken out of the server's own chain.
	server := e.cfg.ServerConfig
	server.Auth = configoptional.None[confighttp.AuthConfig]()
	if e.server, err = server.ToServer(ctx, host.GetExtensions(), e.set.TelemetrySettings, e.api.handler()); err != nil {
		return err
	}
	srv := e.server
	e.done.Go(func() {
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(fmt.Errorf("cannot serve `endpoint` %s: %w", e.cfg.NetAddr.Endpoint, err)))
		}
	})
	return nil
}

// Ready prints the URL on standard output, once everything that the page will show is running.
// The token goes into the fragment, which a browser never sends, and never into the log.
func (e *apiExtension) Ready() error {
	scheme := "http"
	if e.cfg.TLS.HasValue() {
		scheme = "https"
	}
	url := scheme + "://" + e.addr.String() + "/"
	e.set.Logger.Info("Pulse is ready. Standard output shows the URL to open.")
	if e.token != "" {
		url += "#token=" + e.token
	}
	_, _ = fmt.Fprintln(e.stdout, "\nOpen "+url+"\n")
	return nil
}

// NotReady has nothing to take back.
func (*apiExtension) NotReady() error { return nil }

// Shutdown stops serving, waits for the requests in flight and closes the store.
func (e *apiExtension) Shutdown(ctx context.Context) error {
	var errs []error
	if e.server != nil {
		close(e.stop) // live streams end, or Shutdown would wait for them
		if err := e.server.Shutdown(ctx); err != nil {
			errs = append(errs, err, e.server.Close())
		}
		e.server = nil
	}
	e.done.Wait()
	return errors.Join(append(errs, e.close())...)
}

// close closes what is open beside the server.
func (e *apiExtension) close() error {
	var errs []error
	if e.reader != nil {
		errs = append(errs, e.reader.Close())
		e.reader = nil
	}
	if e.api != nil {
		e.api.auth.provider.close()
	}
	errs = append(errs, e.places.Close())
	e.places = nil
	return errors.Join(errs...)
}

// findEraser finds who may change the bucket.
func (e *apiExtension) findEraser(host component.Host) (erasure.Eraser, error) {
	if e.cfg.Eraser == nil {
		return nil, nil
	}
	ext, ok := host.GetExtensions()[*e.cfg.Eraser]
	if !ok {
		return nil, fmt.Errorf("`eraser` names %s, which is not among the service's extensions: add it to `service::extensions`", e.cfg.Eraser)
	}
	eraser, ok := ext.(erasure.Eraser)
	if !ok {
		return nil, fmt.Errorf("`eraser` names %s, which does not erase payloads: use an extension such as qpoint_erase", e.cfg.Eraser)
	}
	return eraser, nil
}

// newSigner finds the bucket. Without one, the API has metadata only and says so.
func (e *apiExtension) newSigner(host component.Host) (*signer, error) {
	switch {
	case e.cfg.S3 != nil:
		return newSigner(e.cfg.S3.settings, e.cfg.Prefix)
	case e.cfg.Storage != nil:
		ext, ok := host.GetExtensions()[*e.cfg.Storage]
		if !ok {
			return nil, fmt.Errorf("`storage` names %s, which is not among the service's extensions: add it to `service::extensions`", e.cfg.Storage)
		}
		storage, ok := ext.(s3settings.Storage)
		if !ok {
			return nil, fmt.Errorf("`storage` names %s, which does not serve a bucket: use an extension such as local_s3", e.cfg.Storage)
		}
		return newSigner(storage.S3Settings, e.cfg.Prefix)
	}
	return nil, nil
}
