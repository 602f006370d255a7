// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// leaving is a store whose callers leave while it looks for what is to be erased.
type leaving struct {
	rows
	leave context.CancelFunc
}

func (l *leaving) Doomed(ctx context.Context, _ pulsestore.EraseOrder) ([]pulsestore.Doomed, error) {
	l.leave()
	return nil, ctx.Err()
}

func (l *leaving) EraseRows(ctx context.Context, _ pulsestore.EraseOrder, _ []pulsestore.Doomed, _ bool) (map[string]uint64, error) {
	return nil, ctx.Err()
}

func (l *leaving) Audit(ctx context.Context, events ...pulsestore.AuditEvent) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return l.rows.Audit(ctx, events...)
}

// deadlined is a connection that tells its write deadline.
type deadlined struct {
	*httptest.ResponseRecorder
	until time.Time
}

func (d *deadlined) SetWriteDeadline(t time.Time) error {
	d.until = t
	return nil
}

// TestEraseLeft: what came of an order is written down when its caller has left, and an order has the time to answer.
func TestEraseLeft(t *testing.T) {
	store := &leaving{}
	s := start(t, testConfig(t), store)
	for body, want := range map[string][]string{`"dry_run":false`: {"allowed", "done"}, `"dry_run":true`: {"failed"}} {
		store.audit = nil
		ctx, cancel := context.WithCancel(t.Context())
		store.leave = cancel
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/api/v1/erase", strings.NewReader(`{"connection_id":"0000000000000001",`+body+"}"))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+s.token)
		w := &deadlined{ResponseRecorder: httptest.NewRecorder()}
		s.api.handler().ServeHTTP(w, r)
		var outcomes []string
		for _, e := range store.audit {
			outcomes = append(outcomes, e.Outcome)
		}
		require.Equal(t, want, outcomes, body)
		require.Greater(t, time.Until(w.until), eraseTimeout)
	}
}
