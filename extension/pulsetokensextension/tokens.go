// SPDX-License-Identifier: Apache-2.0

package pulsetokensextension

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensionauth"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"golang.org/x/time/rate"

	"github.com/qpoint-io/otelcol-qpoint/extension/pulsetokensextension/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/internal/identity"
	"github.com/qpoint-io/otelcol-qpoint/internal/reload"
)

const (
	// burstSeconds is how much of a quota may come at once.
	burstSeconds = 10
	// minToken is the shortest token that is looked at, in bytes: a hash without salt is only
	// safe for tokens that cannot be guessed.
	minToken = 32
)

// The answers to a sender. They name no environment and no token.
var (
	errMissing = errors.New("no token: send the header `Authorization: Bearer <token>`")
	errUnknown = errors.New("the token is not valid")
	errExpired = errors.New("the token has expired: ask for a new one")
)

// entry is one known token.
type entry struct {
	sender            *identity.Sender
	created, notAfter time.Time
	lastUsed          *atomic.Int64 // Unix seconds; 0: never
}

// tokens is the extension.
type tokens struct {
	cfg  *Config
	set  component.TelemetrySettings
	now  func() time.Time
	asks metric.Int64Counter

	known atomic.Pointer[map[[sha256.Size]byte]entry]
	// quotas outlive the tokens that refer to them, so that reading the file anew refills nothing.
	quotas map[string]*rate.Limiter

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

var (
	_ extension.Extension  = (*tokens)(nil)
	_ extensionauth.Server = (*tokens)(nil)
	_ identity.WriteOnly   = (*tokens)(nil)
	_ identity.Tokens      = (*tokens)(nil)
)

func newTokens(set component.TelemetrySettings, cfg *Config) (*tokens, error) {
	asks, err := set.MeterProvider.Meter(metadata.ScopeName).Int64Counter("otelcol_extension_pulse_tokens_requests",
		metric.WithDescription("Requests to be authenticated, by environment and result."), metric.WithUnit("{request}"))
	if err != nil {
		return nil, err
	}
	return &tokens{cfg: cfg, set: set, now: time.Now, asks: asks, quotas: map[string]*rate.Limiter{}}, nil
}

// Start makes the tokens known.
func (t *tokens) Start(_ context.Context, host component.Host) error {
	if t.cfg.File == "" {
		t.use(t.cfg.Environments)
		return nil
	}
	file := &reload.File{
		Key: "file", Path: t.cfg.File, Logger: t.set.Logger, Check: othersMayNotWrite,
		Use: func(text []byte) error {
			environments, err := parseFile(text)
			if err == nil {
				t.use(environments)
			}
			return err
		},
	}
	if err := file.Load(); err != nil {
		return err
	}
	var ctx context.Context
	ctx, t.cancel = context.WithCancel(context.Background())
	t.wg.Go(func() { file.Watch(ctx, host) })
	return nil
}

// Shutdown forgets the tokens.
func (t *tokens) Shutdown(context.Context) error {
	if t.cancel != nil {
		t.cancel()
	}
	t.wg.Wait()
	t.known.Store(nil)
	return nil
}

func othersMayNotWrite(info os.FileInfo) error {
	if info.Mode().Perm()&0o022 != 0 {
		return errors.New("other users can write it and so let themselves in: chmod go-w it")
	}
	return nil
}

// use puts the tokens of environments in the place of those that are known. They are valid.
func (t *tokens) use(environments map[string]EnvironmentConfig) {
	var before map[[sha256.Size]byte]entry
	if p := t.known.Load(); p != nil {
		before = *p
	}
	known := map[[sha256.Size]byte]entry{}
	for name, env := range environments {
		quota := t.quota(name, env.ItemsPerSecond)
		for _, token := range env.Tokens {
			var hash [sha256.Size]byte
			_, _ = hex.Decode(hash[:], []byte(token.SHA256))
			used := before[hash].lastUsed // reading the file anew forgets no use
			if used == nil {
				used = &atomic.Int64{}
			}
			known[hash] = entry{
				sender:  &identity.Sender{Environment: name, Token: token.Name, Quota: quota},
				created: token.Created, notAfter: token.NotAfter, lastUsed: used,
			}
		}
	}
	t.known.Store(&known)
}

func (t *tokens) quota(environment string, perSecond float64) *rate.Limiter {
	if perSecond == 0 {
		delete(t.quotas, environment)
		return nil
	}
	limit, burst := rate.Limit(perSecond), max(1, int(perSecond*burstSeconds))
	q := t.quotas[environment]
	if q == nil {
		q = rate.NewLimiter(limit, burst)
		t.quotas[environment] = q
		return q
	}
	q.SetLimit(limit)
	q.SetBurst(burst)
	return q
}

// Authenticate implements extensionauth.Server for HTTP and gRPC. It puts an identity.Sender into the
// client.Info of the returned context.
func (t *tokens) Authenticate(ctx context.Context, sources map[string][]string) (context.Context, error) {
	sender, result, err := t.find(sources)
	environment := ""
	if sender != nil {
		environment = sender.Environment
	}
	t.asks.Add(ctx, 1, metric.WithAttributes(attribute.String("environment", environment), attribute.String("result", result)))
	if err != nil {
		return ctx, err
	}
	info := client.FromContext(ctx)
	info.Auth = sender
	return client.NewContext(ctx, info), nil
}

// WriteOnly implements identity.WriteOnly.
func (*tokens) WriteOnly() {}

func (t *tokens) find(sources map[string][]string) (*identity.Sender, string, error) {
	token := bearer(sources)
	if token == "" {
		return nil, "missing", errMissing
	}
	known := t.known.Load()
	if known == nil || len(token) < minToken {
		return nil, "unknown", errUnknown
	}
	// What is compared is the hash, whose bytes a stranger cannot choose: the time it takes tells nothing.
	e, ok := (*known)[sha256.Sum256([]byte(token))]
	switch {
	case !ok:
		return nil, "unknown", errUnknown
	case !e.notAfter.IsZero() && t.now().After(e.notAfter):
		return e.sender, "expired", errExpired
	}
	e.lastUsed.Store(t.now().Unix())
	return e.sender, "accepted", nil
}

// Tokens implements identity.Tokens: by environment and name.
func (t *tokens) Tokens() []identity.Token {
	known := t.known.Load()
	if known == nil {
		return nil
	}
	out := make([]identity.Token, 0, len(*known))
	for _, e := range *known {
		v := identity.Token{Environment: e.sender.Environment, Name: e.sender.Token, Created: e.created, NotAfter: e.notAfter}
		if used := e.lastUsed.Load(); used != 0 {
			v.LastUsed = time.Unix(used, 0)
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b identity.Token) int {
		return cmp.Or(strings.Compare(a.Environment, b.Environment), strings.Compare(a.Name, b.Name))
	})
	return out
}

// bearer returns the bearer token (RFC 6750, section 2.1) of a request, or "". HTTP sends the header
// with its canonical name, gRPC in lower case. Two such headers are none.
func bearer(sources map[string][]string) string {
	values := sources[http.CanonicalHeaderKey("authorization")]
	values = append(values[:len(values):len(values)], sources["authorization"]...)
	if len(values) != 1 {
		return ""
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
