// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// randomTraces makes data of every class, type and degree of cleanness, keys repeated.
func randomTraces(rnd *rand.Rand) (ptrace.Traces, plog.Logs) {
	words := []string{"", "a", "GET", "get", "/", "/users/42", "/users/{id}", "/a;b/c", "users", "?", "a=1&b", "a=&b=", "{key}=", "https://u:p@example.com/x?y=z#f", "https://example.com", "example.com", "10.0.0.1", "::1",
		"1.1", "http", "TLS_AES_128_GCM_SHA256", object, "0123456789abcdef", "\xff", "caf\u00e9", "secret secret", strings.Repeat("a", 300), scopeName, semantic.SchemaURL, jwt, "*", "//", "/a/", "{id}",
		"job of alice@example.com", "/by/alice@example.com/4111111111111111/x", "/by/bob/x", "/by/carol/y", "https://db.corp.example.com/by/dave?x=1", "vault.corp.example.com", "4.3.2.10.in-addr.arpa", "api key AKIAIOSFODNN7EXAMPLE x", "/password/hunter",
		`CN=a,O=Example\, Inc.,emailAddress=a@example.com`, "2026-01-31T23:59:59.000Z"}
	keys := append(semantic.Keys(), semantic.Anonymized, semantic.Environment, "unknown", semantic.URLPath, semantic.URLFull, semantic.URLTemplate, semantic.HTTPRequestMethod)
	word := func() string { return words[rnd.IntN(len(words))] }
	var value func(pcommon.Value, int)
	value = func(v pcommon.Value, depth int) {
		switch n := rnd.IntN(12); {
		case n < 6:
			v.SetStr(word())
		case n == 6:
			v.SetInt(rnd.Int64())
		case n == 7:
			v.SetDouble([]float64{math.NaN(), 1.5}[rnd.IntN(2)])
		case n == 8:
			v.SetBool(true)
		case n == 9 && depth < 3:
			m := v.SetEmptyMap()
			for range rnd.IntN(4) {
				value(m.PutEmpty(word()), depth+1)
			}
		case n == 10 && depth < 3:
			s := v.SetEmptySlice()
			for range rnd.IntN(4) {
				value(s.AppendEmpty(), depth+1)
			}
		default:
			v.SetEmptyBytes().FromRaw([]byte(word()))
		}
	}
	attrs := func(m pcommon.Map) {
		for range rnd.IntN(12) {
			k := keys[rnd.IntN(len(keys))]
			value(m.PutEmpty(k), 0)
		}
	}
	td, ld := ptrace.NewTraces(), plog.NewLogs()
	for range rnd.IntN(3) {
		rs, rl := td.ResourceSpans().AppendEmpty(), ld.ResourceLogs().AppendEmpty()
		attrs(rs.Resource().Attributes())
		attrs(rl.Resource().Attributes())
		rs.SetSchemaUrl(word())
		for range rnd.IntN(3) {
			ss, sl := rs.ScopeSpans().AppendEmpty(), rl.ScopeLogs().AppendEmpty()
			ss.Scope().SetName(word())
			attrs(ss.Scope().Attributes())
			for range rnd.IntN(4) {
				s, r := ss.Spans().AppendEmpty(), sl.LogRecords().AppendEmpty()
				s.SetName(word())
				s.SetKind(ptrace.SpanKind(rnd.IntN(9) - 1))
				s.SetFlags(rnd.Uint32())
				s.TraceState().FromRaw(word())
				s.Status().SetMessage(word())
				attrs(s.Attributes())
				attrs(s.Events().AppendEmpty().Attributes())
				r.SetEventName([]string{semantic.EventConnection, semantic.EventSegment, semantic.EventPayload, word()}[rnd.IntN(4)])
				r.SetSeverityNumber(plog.SeverityNumber(rnd.IntN(40) - 5))
				attrs(r.Attributes())
			}
		}
	}
	return td, ld
}

// TestIdempotent holds that data anonymized twice is data anonymized once, so that a gateway
// may do it again: to the byte, whatever the policy.
func TestIdempotent(t *testing.T) {
	t.Parallel()
	zones := func(c *Config) {
		c.Domains = []DomainConfig{{Zone: "example.com", Mode: "registrable"}, {Zone: "corp.example.com", Mode: "hmac"}}
	}
	for name, cfg := range map[string]*Config{
		"default": testConfig("test"),
		"keyed": testConfig("test", current, zones, modes(map[string]string{"email": "hmac", "card": "hmac", "number": "hmac", "api_key": "hmac", "secret": "hmac", "jwt": "hmac", "token": "hmac"}), func(c *Config) {
			c.Addresses, c.PathWords = "hmac", 2
		}),
		"open":   testConfig("test", zones, current, modes(map[string]string{"email": "keep", "card": "keep", "number": "keep", "api_key": "keep", "token": "keep"}), func(c *Config) { c.Addresses = "truncate" }),
		"strict": testConfig("test", modes(map[string]string{"email": "drop", "number": "drop", "token": "drop"}), func(c *Config) { c.PathWords = 1 }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, cfg.Validate())
			a, err := newAnonymizer(componenttest.NewNopTelemetrySettings(), cfg)
			require.NoError(t, err)
			requireIdempotent(t, a)
		})
	}
}

func requireIdempotent(t *testing.T, a *anonymizer) {
	traces, logs := ptrace.ProtoMarshaler{}, plog.ProtoMarshaler{}
	kept := 0
	for seed := range uint64(800) {
		a.paths = newLearner(a.paths.words) // what is learned of others changes what comes out
		td, ld := randomTraces(rand.New(rand.NewPCG(seed, 1)))
		if td, err := a.processTraces(t.Context(), td); err == nil {
			once, err := traces.MarshalTraces(td)
			require.NoError(t, err)
			td, err = a.processTraces(t.Context(), td)
			require.NoError(t, err)
			twice, err := traces.MarshalTraces(td)
			require.NoError(t, err)
			require.Equal(t, string(once), string(twice), "seed %d", seed)
			kept++
		}
		if ld, err := a.processLogs(t.Context(), ld); err == nil {
			once, err := logs.MarshalLogs(ld)
			require.NoError(t, err)
			ld, err = a.processLogs(t.Context(), ld)
			require.NoError(t, err)
			twice, err := logs.MarshalLogs(ld)
			require.NoError(t, err)
			require.Equal(t, string(once), string(twice), "seed %d", seed)
			kept++
		}
	}
	require.Greater(t, kept, 400)
}

func BenchmarkTraces(b *testing.B) {
	a := newTestAnonymizer(b)
	for name, fill := range map[string]func(ptrace.Span){
		"dirty": clientSpan,
		"clean": func(s ptrace.Span) { // as a gateway gets it
			clientSpan(s)
			s.Attributes().PutStr("url.full", "https://api.example.com:8443/users/{id}/orders?page=&token=")
			s.Attributes().PutStr("url.path", "/users/{id}/orders")
			s.Attributes().PutStr("url.template", "/users/{id}/orders")
			s.SetName("GET /users/{id}/orders")
		},
	} {
		b.Run(name, func(b *testing.B) {
			const spans = 1000
			template := oneSpan(fill)
			ss := template.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
			for range spans - 1 {
				fill(ss.AppendEmpty())
			}
			batches := make([]ptrace.Traces, 0, 64)
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				if n%cap(batches) == 0 {
					b.StopTimer()
					batches = batches[:0]
					for range min(cap(batches), b.N-n) {
						td := ptrace.NewTraces()
						template.CopyTo(td)
						batches = append(batches, td)
					}
					b.StartTimer()
				}
				if _, err := a.processTraces(b.Context(), batches[n%cap(batches)]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*spans/b.Elapsed().Seconds(), "spans/s")
		})
	}
}
