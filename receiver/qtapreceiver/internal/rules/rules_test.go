// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var full = Levels{LevelFull, LevelFull}

func testEnv() *Env {
	e := &Env{Direction: "egress"}
	e.Process.Executable.Name, e.Process.Executable.Path, e.Process.Owner, e.Process.PID = "curl", "/usr/bin/curl", "www-data", 77
	e.Service.Name, e.Container.ID, e.K8s.Pod.UID = "shop", "c0ffee", "2b5e0b1c-93a4-4b0e-8d5d-0a1b2c3d4e5f"
	e.Server, e.Client = End{"Api.Example.com", 443}, End{"10.1.2.3", 40000}
	e.Network.Peer, e.Network.Local = End{"192.0.2.7", 443}, End{"10.1.2.3", 40000}
	e.Network.Protocol.Version, e.TLS.Established = "2", true
	e.TLS.Client.ServerName = "api.example.com"
	e.HTTP.Request.Method, e.HTTP.Request.Body.Size = "POST", 120
	e.HTTP.Response.StatusCode, e.HTTP.Response.Body.Size = 503, 1<<20
	e.URL.Scheme, e.URL.Path = "https", "/v1/cards/42"
	return e
}

func TestMatch(t *testing.T) {
	for match, want := range map[string]bool{
		`true`:  true,
		`false`: false,
		`process.executable.name == "curl" && process.executable.path startsWith "/usr/"`: true,
		`process.owner in ["root", "www-data"]`:                                           true,
		`process.pid == 78`:                                                               false,
		`container.id == ""`:                                                              false,
		`k8s.pod.uid startsWith "2b5e"`:                                                   true,
		`service.name matches "^sho"`:                                                     true,
		`direction == "ingress"`:                                                          false,
		`direction != "ingress"`:                                                          true,
		`like(server.address, "*.example.com")`:                                           true,
		`like(server.address, "api.*.COM")`:                                               true,
		`like(server.address, "example.com")`:                                             false,
		`server.port == 443 && client.port > 1024`:                                        true,
		`server.port in 8000..9000`:                                                       false,
		`cidr(network.peer.address, "192.0.2.0/24")`:                                      true,
		`cidr(network.peer.address, "10.0.0.0/8")`:                                        false,
		`cidr(server.address, "10.0.0.0/8")`:                                              false,
		`http.request.method == "POST" and url.path startsWith "/v1/cards"`:               true,
		`http.response.status_code >= 500`:                                                true,
		`http.response.body.size > 65536 or http.request.body.size > 65536`:               true,
		`tls.established and network.protocol.version == "2" and url.scheme == "https"`:   true,
	} {
		t.Run(match, func(t *testing.T) {
			s, err := Compile([]Config{{Match: match, Level: LevelNone}}, full)
			require.NoError(t, err)
			r, err := s.Match(testEnv())
			require.NoError(t, err)
			require.Equal(t, want, r != nil)
		})
	}
}

func TestLike(t *testing.T) {
	for _, c := range []struct {
		s, pattern string
		want       bool
	}{
		{"", "", true}, {"", "*", true}, {"a", "", false}, {"abc", "abc", true}, {"abc", "ABC", true}, {"abc", "a*", true}, {"abc", "*c", true},
		{"abc", "a*c", true}, {"abbbc", "a*b*c", true}, {"abc", "a*d", false}, {"aaa", "*a*a*a*", true}, {"aa", "*a*a*a*", false}, {"x.y", "x*z", false},
	} {
		require.Equal(t, c.want, like(c.s, c.pattern), "%q like %q", c.s, c.pattern)
	}
}

func TestFirstMatchWins(t *testing.T) {
	s, err := Compile([]Config{
		{Match: `url.path == "/healthz"`, Level: LevelNone},
		{Match: `server.port == 443`, Level: LevelHeaders},
		{Match: `true`, Level: LevelConnections},
	}, full)
	require.NoError(t, err)
	level := func(e *Env) Level {
		r, err := s.Match(e)
		require.NoError(t, err)
		return r.Level
	}
	e := testEnv()
	require.Equal(t, LevelHeaders, level(e))
	e.Server.Port = 80
	require.Equal(t, LevelConnections, level(e))
	e.URL.Path = "/healthz"
	require.Equal(t, LevelNone, level(e))
	e.Missing = FactExchange
	require.Equal(t, LevelConnections, s.Highest(e), "either none or connections")

	s, err = Compile([]Config{{Match: `server.port == 443`, Level: LevelNone}, {Match: `url.path == ""`}, {Match: `true`, Level: LevelNone}}, Levels{LevelHeaders, LevelHeaders})
	require.NoError(t, err)
	e = testEnv()
	e.Missing = FactExchange
	require.Equal(t, LevelNone, s.Highest(e))
	e.Server.Port = 80
	require.Equal(t, LevelHeaders, s.Highest(e), "the second rule looks at requests")
	e.Missing = 0
	e.URL.Path = ""
	require.Equal(t, LevelHeaders, level(e), "the receiver's level")
	empty, err := Compile(nil, full)
	require.NoError(t, err)
	r, err := empty.Match(e)
	require.NoError(t, err)
	require.Nil(t, r)
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	rate, size := 1.5, -1
	for want, c := range map[string]Config{
		"`match` is empty":                           {},
		"`level` \"deep\" must be":                   {Match: "true", Level: "deep"},
		"above the receiver's `max_level` headers":   {Match: "true", Level: LevelFull},
		"`sample_rate` 1.5":                          {Match: "true", SampleRate: &rate},
		"`max_body_size` -1":                         {Match: "true", MaxBodySize: &size},
		"`max_per_second` -2":                        {Match: "true", MaxPerSecond: -2},
		"`match`: unexpected token":                  {Match: "server.port =="},
		"bool":                                       {Match: "server.port"},
		"unknown name prozess":                       {Match: `prozess.owner == ""`},
		"addr":                                       {Match: `server.addr == ""`},
		"mismatched types":                           {Match: `server.port == "443"`},
		"`direction` is compared with \"client\"":    {Match: `direction == "client"`},
		"cidr: netip.ParsePrefix":                    {Match: `cidr(network.peer.address, "10.0.0.0/33")`},
		"functions that loop":                        {Match: `all(1..1000, all(1..1000, # > 0))`},
		"labels and annotations of pods":             {Match: `k8s.pod.labels.app == "shop"`},
		"second argument of cidr must be a constant": {Match: `cidr(network.peer.address, server.address)`},
	} {
		t.Run(want, func(t *testing.T) {
			_, err := Compile([]Config{{Match: "true"}, c}, Levels{LevelHeaders, LevelHeaders})
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, "rule 2 of `rules`")
		})
	}
	_, err := Compile(make([]Config, maxRules+1), full)
	require.ErrorContains(t, err, "at most 256")
}

// TestErrorsAreTold: an expression that fails while it runs must not keep what it may have been meant to leave out.
func TestErrorsAreTold(t *testing.T) {
	s, err := Compile([]Config{{Match: `[1][server.port] == 1`, Level: LevelNone}}, full)
	require.NoError(t, err)
	_, err = s.Match(testEnv())
	require.Error(t, err)
	require.Equal(t, LevelFull, s.Highest(testEnv()), "nothing is decided")
}

func TestSampling(t *testing.T) {
	for _, rate := range []float64{0, 0.01, 0.5, 0.99, 1} {
		s, err := Compile([]Config{{Match: "true", SampleRate: &rate}}, full)
		require.NoError(t, err)
		r, err := s.Match(testEnv())
		require.NoError(t, err)
		rnd := rand.New(rand.NewPCG(1, 2))
		const n = 100_000
		kept := 0
		for range n {
			var trace [16]byte
			for i := range trace {
				trace[i] = byte(rnd.Uint32())
			}
			if r.Sampled(trace) {
				kept++
			}
			require.Equal(t, r.Sampled(trace), r.Sampled(trace))
		}
		require.InDelta(t, rate*n, kept, 600, fmt.Sprint(rate))
		require.Equal(t, rate == 0, r.Never())
	}
}

func TestPerSecond(t *testing.T) {
	s, err := Compile([]Config{{Match: "true", MaxPerSecond: 3}}, full)
	require.NoError(t, err)
	r, _ := s.Match(testEnv())
	kept := 0
	for now := int64(0); now < 5e9; now += 1e8 {
		if r.Allow(now) {
			kept++
		}
	}
	require.Equal(t, 15, kept)
}

func TestParse(t *testing.T) {
	s, err := Parse([]byte("rules:\n  - match: server.port == 443\n    level: headers\n    sample_rate: 0.5\n    max_body_size: 10\n    max_per_second: 7\n"), full)
	require.NoError(t, err)
	require.Equal(t, 1, s.Len())
	require.Equal(t, 10, s.rules[0].MaxBody)
	s, err = Parse([]byte("rules: []\n"), full)
	require.NoError(t, err)
	require.Zero(t, s.Len())
	for want, text := range map[string]string{
		"not YAML with":      "rules: [",
		"`rules` is missing": "{}",
		"key `rules`":        "- match: true",
		"levle":              "rules: [{match: \"true\", levle: none}]",
		"rule 1 of `rules`":  "rules: [{match: \"nonsense\"}]",
		"rulez":              "rulez: []",
	} {
		_, err := Parse([]byte(text), full)
		require.ErrorContains(t, err, want, text)
	}
	_, err = Parse(nil, full)
	require.Error(t, err, "an empty file is one that is being written")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("rules:\n  - match: like(server.address, \"*.x\") && cidr(network.peer.address, \"::/0\")\n    level: none\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text, full)
		if err != nil {
			require.Nil(t, s)
			return
		}
		_, _ = s.Match(testEnv())
		env := testEnv()
		env.Missing = FactExchange | FactProcess
		s.Highest(env)
	})
}

func FuzzLike(f *testing.F) {
	f.Add("api.example.com", "*.example.*")
	f.Fuzz(func(t *testing.T, s, pattern string) {
		require.True(t, like(s, s+"*"))
		require.True(t, like(s, "*"))
		require.Equal(t, like(s, pattern), like(s, pattern+"**") && like(s, pattern))
	})
}

// BenchmarkMatch is ten rules of which the last one matches.
func BenchmarkMatch(b *testing.B) {
	var list []Config
	for i := range 9 {
		list = append(list, Config{Match: fmt.Sprintf(`process.executable.name == "prog%d" || like(server.address, "*.internal%d.example.com")`, i, i)})
	}
	list = append(list, Config{Match: `cidr(network.peer.address, "192.0.2.0/24") && http.request.method == "POST" && url.path startsWith "/v1"`})
	s, err := Compile(list, full)
	require.NoError(b, err)
	env := testEnv()
	b.ReportAllocs()
	for b.Loop() {
		r, err := s.Match(env)
		if r != s.rules[9] || err != nil {
			b.Fatal(r, err)
		}
	}
}

func BenchmarkMatchOne(b *testing.B) {
	s, err := Compile([]Config{{Match: `server.port == 443`}}, full)
	require.NoError(b, err)
	env := testEnv()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.Match(env)
	}
}
