// SPDX-License-Identifier: Apache-2.0

package locals3extension

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/embedgw"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/extension"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/extension/locals3extension/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
)

const (
	maxConnections = 1024
	maxRequests    = 256
	// readyTimeout bounds how long Start waits for the server to answer.
	readyTimeout = 10 * time.Second
)

// running is true while a server runs: versitygw keeps state in globals, so that a process has
// room for one.
var running atomic.Bool

type server struct {
	cfg    *Config
	logger *zap.Logger
	*sweeper

	settings s3settings.Settings
	folder   *folder
	cancel   context.CancelFunc
	done     chan struct{} // closed when the server has ended
	sweeping sync.WaitGroup
	err      error // why it ended; read after done
}

var (
	_ extension.Extension = (*server)(nil)
	_ s3settings.Storage  = (*server)(nil)
	_ s3settings.Expirer  = (*server)(nil)
)

func newServer(set extension.Settings, cfg *Config) (*server, error) {
	sweeper, err := newSweeper(set.Logger, set.MeterProvider.Meter(metadata.ScopeName))
	return &server{cfg: cfg, logger: set.Logger, sweeper: sweeper}, err
}

// S3Settings implements s3settings.Storage.
func (s *server) S3Settings() s3settings.Settings { return s.settings }

// Start returns when the bucket can be used.
func (s *server) Start(ctx context.Context, host component.Host) error {
	if !running.CompareAndSwap(false, true) {
		return errors.New("`local_s3`: another one runs already: a collector can have one")
	}
	if err := s.start(ctx, host); err != nil {
		s.stop()
		// The collector's own line does not say which extension it was.
		return fmt.Errorf("`local_s3`: %w", err)
	}
	s.logger.Info("The local S3 server is ready.",
		zap.String("endpoint", s.settings.Endpoint), zap.String("bucket", s.cfg.Bucket), zap.String("data_dir", s.folder.path))
	return nil
}

func (s *server) start(ctx context.Context, host component.Host) error {
	s.cancel = func() {}
	var err error
	if s.folder, err = openFolder(s.cfg.DataDir); err != nil {
		return err
	}
	keys, err := loadCredentials(s.folder.path)
	if err != nil {
		return err
	}
	if err := portFree(ctx, s.cfg.Endpoint); err != nil {
		return err
	}
	be, err := s.folder.openBucket(s.cfg.Bucket)
	if err != nil {
		return err
	}
	s.settings = s3settings.Settings{
		Endpoint:  "http://" + s.cfg.Endpoint,
		Bucket:    s.cfg.Bucket,
		Region:    s.cfg.Region,
		PathStyle: true,
		AccessKey: keys.access,
		SecretKey: keys.secret,
	}
	swept, cancel := context.WithCancel(context.Background())
	s.run(be, host)
	end := s.cancel
	s.cancel = func() {
		cancel()
		s.sweeping.Wait() // it needs the server
		end()
	}
	if err := s.prepareBucket(ctx); err != nil {
		return err
	}
	store, err := objectstore.NewS3(ctx, s.settings, objectstore.Options{})
	if err == nil {
		s.sweeping.Go(func() { s.sweeper.run(swept, store) })
	}
	return err
}

// portFree tells a port in use from other reasons before the server is built around it.
func portFree(ctx context.Context, endpoint string) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", endpoint)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("`endpoint` %s is in use by another program: stop it or choose another port", endpoint)
	}
	if err != nil {
		return fmt.Errorf("`endpoint`: %w", err)
	}
	return ln.Close()
}

func (s *server) run(be backend.Backend, host component.Host) {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.done = cancel, make(chan struct{})
	root := auth.Account{Access: string(s.settings.AccessKey), Secret: string(s.settings.SecretKey), Role: auth.RoleAdmin}
	go func() {
		defer close(s.done)
		s.err = embedgw.RunVersityGW(ctx, be, &embedgw.Config{
			RootUserAccess:    root.Access,
			RootUserSecret:    root.Secret,
			IAMService:        oneAccount{auth.NewIAMServiceSingle(root)},
			Region:            s.cfg.Region,
			Ports:             []string{s.cfg.Endpoint},
			MaxConnections:    maxConnections,
			MaxRequests:       maxRequests,
			MultipartMaxParts: 1, // multipart uploads are not served
			KeepAlive:         true,
			Quiet:             true,
			DisableACLs:       true,
		})
		if ctx.Err() == nil {
			componentstatus.ReportStatus(host, componentstatus.NewPermanentErrorEvent(s.ended()))
		}
	}()
}

// oneAccount is versitygw's single account mode without its line on stdout, and with the answer
// that S3 gives for an unknown key (InvalidAccessKeyId).
type oneAccount struct{ auth.IAMService }

func (a oneAccount) GetUserAccount(access string) (auth.Account, error) {
	if acct, err := a.IAMService.GetUserAccount(access); err == nil {
		return acct, nil
	}
	return auth.Account{}, auth.ErrNoSuchUser
}

func (s *server) ended() error {
	return fmt.Errorf("the local S3 server at %s has ended: %w", s.cfg.Endpoint, s.err)
}

// prepareBucket waits until the server answers and gives it its bucket.
func (s *server) prepareBucket(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	store, err := objectstore.NewS3(ctx, s.settings, objectstore.Options{})
	if err != nil {
		return err
	}
	defer store.CloseIdle()
	for {
		err := store.CreateBucket(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("bucket %q of `data_dir` %s: %w", s.cfg.Bucket, s.folder.path, err)
		}
		select {
		case <-s.done:
			return s.ended()
		case <-ctx.Done():
			return fmt.Errorf("the local S3 server at %s does not answer: %w", s.cfg.Endpoint, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
	if err := store.AllowOrigins(ctx, s.cfg.CORS.AllowedOrigins); err != nil {
		return fmt.Errorf("`cors`: %w", err)
	}
	return nil
}

// Shutdown ends the server and waits for it.
func (s *server) Shutdown(context.Context) error {
	if s.cancel == nil {
		return nil // never started
	}
	s.stop()
	return nil
}

func (s *server) stop() {
	s.cancel()
	if s.done != nil {
		<-s.done
	}
	if s.folder != nil {
		s.folder.close()
	}
	s.cancel, s.done, s.folder = nil, nil, nil
	running.Store(false)
}
