// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/expr-lang/expr"
	"github.com/stretchr/testify/require"
)

// fieldPaths are the paths of all fields of an Env.
func fieldPaths(t reflect.Type, prefix string) (paths []string) {
	if t.Kind() != reflect.Struct {
		return []string{strings.TrimPrefix(prefix, ".")}
	}
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("expr"); tag != "-" {
			paths = append(paths, fieldPaths(t.Field(i).Type, prefix+"."+tag)...)
		}
	}
	return paths
}

// TestEveryFieldHasFacts: a field without an entry would stop every early decision, or worse.
func TestEveryFieldHasFacts(t *testing.T) {
	used := map[string]bool{}
	for _, path := range fieldPaths(reflect.TypeFor[Env](), "") {
		f := factsOf(path)
		require.NotEqual(t, AllFacts, f, path)
		for p := range facts {
			if path == p || strings.HasPrefix(path, p+".") {
				require.False(t, used[path], "%s has two entries", path)
				used[path] = true
			}
		}
		require.True(t, used[path], path)
	}
	for path, want := range map[string]Facts{
		"server": FactLate | FactDirection | FactAddresses, "k8s": FactProcess | FactPod, "k8s.pod": FactProcess | FactPod,
		"network": FactAddresses | FactLate, "$env": AllFacts, "nonsense": AllFacts,
	} {
		require.Equal(t, want, factsOf(path), path)
	}
}

// TestHighest is the table of what can be decided before a request is seen, and what cannot.
func TestHighest(t *testing.T) {
	early := FactLate | FactExchange
	for _, c := range []struct {
		name    string
		match   string
		missing Facts
		want    Level // of a rule with level none
	}{
		{"the process", `process.executable.name == "curl"`, early, LevelNone},
		{"another process", `process.executable.name == "wget"`, early, LevelFull},
		{"the user", `process.owner == "www-data"`, early, LevelNone},
		{"the container", `container.id startsWith "c0ff"`, early, LevelNone},
		{"the pod", `k8s.pod.uid startsWith "2b5e"`, early, LevelNone},
		{"the direction", `direction == "egress"`, early, LevelNone},
		{"the direction, not known yet", `direction == "egress"`, early | FactDirection, LevelFull},
		{"a network", `cidr(network.peer.address, "192.0.2.0/24")`, early, LevelNone},
		{"a port", `server.port == 443`, early, LevelNone},
		{"a port while nobody knows who is the server", `server.port == 443`, early | FactDirection, LevelFull},
		{"the name in the first handshake", `like(tls.client.server_name, "*.example.com")`, early, LevelNone},
		{"the name before the handshake", `like(tls.client.server_name, "*.example.com")`, early | FactServerName, LevelFull},
		{"the name in a request, though the handshake has it", `like(server.address, "*.example.com")`, early, LevelFull},
		{"the path", `url.path startsWith "/v1"`, early, LevelFull},
		{"the method", `http.request.method == "POST"`, early, LevelFull},
		{"and: what is known is false", `url.path == "/x" and process.owner == "root"`, early, LevelFull},
		{"and: what is known is true", `process.owner == "www-data" and url.path startsWith "/v1"`, early, LevelFull},
		{"or: what is known is true, on the right", `url.path == "/x" or process.owner == "www-data"`, early, LevelNone},
		{"not", `not (process.owner == "root") and not (direction == "ingress")`, early, LevelNone},
		{"a part that may fail hides what follows", `[1][http.response.status_code] == 1 or process.owner == "www-data"`, early, LevelFull},
		{"a part that may fail and comes after", `process.owner == "www-data" or [1][http.response.status_code] == 1`, early, LevelNone},
		{"a whole struct", `server == client or true`, early, LevelNone},
		{"all of it", `"direction" in $env`, early, LevelFull},
		{"a constant", `true`, AllFacts, LevelNone},
		{"a list", `process.executable.name in ["wget", "curl"]`, early, LevelNone},
		{"a range", `server.port in 400..500`, early, LevelNone},
		{"a choice", `url.path == "/" ? true : true`, early, LevelFull},
		{"a variable", `let x = url.path; x == "/"`, early, LevelFull},
		{"an optional member", `url?.path == "/"`, early, LevelFull},
		{"a member by its name", `url["path"] == "/" or process["owner"] == "root"`, early, LevelFull},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Compile([]Config{{Match: c.match, Level: LevelNone}}, full)
			require.NoError(t, err)
			env := testEnv()
			env.Missing = c.missing
			require.Equal(t, c.want, s.Highest(env))
		})
	}
}

// TestHighestOfMany: rules before the one that decides count with what they may keep.
func TestHighestOfMany(t *testing.T) {
	for want, list := range map[Level][]Config{
		LevelConnections: {{Match: `url.path == "/"`, Level: LevelConnections}, {Match: `process.owner == "www-data"`, Level: LevelNone}},
		LevelHeaders:     {{Match: `url.path == "/"`}, {Match: `process.owner == "www-data"`, Level: LevelNone}},
		LevelFull:        {{Match: `url.path == "/"`, Level: LevelFull}, {Match: `process.owner == "www-data"`, Level: LevelNone}},
		LevelNone:        {{Match: `process.owner == "root" and url.path == "/"`, Level: LevelFull}, {Match: `true`, Level: LevelNone}},
	} {
		s, err := Compile(list, Levels{Base: LevelHeaders, Max: LevelFull})
		require.NoError(t, err)
		env := testEnv()
		env.Missing = FactExchange | FactLate
		require.Equal(t, want, s.Highest(env), list)
	}
}

// TestUnknownIsNamed: the names of a pod that cannot be found out are neither equal nor different.
func TestUnknownIsNamed(t *testing.T) {
	s, err := Compile([]Config{{Match: `direction == "ingress" and k8s.namespace.name == "prod"`, Level: LevelNone}, {Match: `k8s.namespace.name != "prod"`, Level: LevelNone}}, full)
	require.NoError(t, err)
	env := testEnv()
	env.Missing = FactPod
	r, err := s.Match(env)
	require.Nil(t, r)
	var u *UnknownError
	require.ErrorAs(t, err, &u)
	require.Equal(t, FactPod, u.Facts)
	require.Equal(t, LevelFull, s.Highest(env), "the span stays, and the level may be any")
}

// TestHighestIsConservative holds Highest against Match: whatever the missing facts turn out to be, no exchange comes
// to more. The taken-apart conditions are held against the whole expressions as well.
func TestHighestIsConservative(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 11))
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	atom := func() string {
		return pick(`direction == "egress"`, `direction != "egress"`, `process.executable.name == "curl"`, `process.owner in ["root", "x"]`, `container.id == ""`,
			`k8s.namespace.name == "prod"`, `server.port == 443`, `server.port in 80..443`, `client.port > 1024`, `cidr(network.peer.address, "10.0.0.0/8")`,
			`like(server.address, "*.example.com")`, `like(tls.client.server_name, "a*")`, `tls.established`, `http.request.method == "POST"`, `url.path startsWith "/v1"`,
			`[1][http.response.status_code] == 1`, `[1, 2][client.port % 3] == 2`, `10 / server.port > 0`, `true`, `false`, `(url.path == "/" ? tls.established : direction == "egress")`)
	}
	var expression func(depth int) string
	expression = func(depth int) string {
		if depth == 0 || rnd.IntN(4) == 0 {
			return atom()
		}
		switch rnd.IntN(3) {
		case 0:
			return "not (" + expression(depth-1) + ")"
		case 1:
			return "(" + expression(depth-1) + pick(" and ", " && ") + expression(depth-1) + ")"
		}
		return "(" + expression(depth-1) + pick(" or ", " || ") + expression(depth-1) + ")"
	}
	random := func(e *Env, f Facts) { // gives the facts in f new values
		set := func(of Facts, change func()) {
			if f&of == of && f&of != 0 {
				change()
			}
		}
		set(FactDirection, func() { e.Direction = pick("egress", "ingress") })
		set(FactProcess, func() {
			e.Process.Executable.Name, e.Process.Owner, e.Container.ID = pick("curl", "wget"), pick("root", "y"), pick("", "c")
		})
		set(FactPod, func() { e.K8s.Namespace.Name = pick("", "prod") })
		set(FactAddresses, func() { e.Network.Peer.Address = pick("10.1.2.3", "192.0.2.1") })
		if f&(FactAddresses|FactDirection) != 0 {
			e.Server.Port, e.Client.Port = rnd.IntN(2)*443, rnd.IntN(3)*1024
		}
		set(FactServerName, func() { e.TLS.Client.ServerName = pick("", "a.example") })
		set(FactLate, func() { e.Server.Address, e.TLS.Established = pick("x", "a.example.com"), rnd.IntN(2) == 0 })
		set(FactExchange, func() {
			e.HTTP.Request.Method, e.URL.Path, e.HTTP.Response.StatusCode = pick("POST", "GET"), pick("/", "/v1/x"), rnd.IntN(3)
		})
	}
	levels := []Level{LevelNone, LevelConnections, LevelHeaders, LevelFull}
	early := map[Level]int{}
	for range 3000 {
		var list []Config
		for range 1 + rnd.IntN(3) {
			list = append(list, Config{Match: expression(3), Level: levels[rnd.IntN(4)]})
		}
		s, err := Compile(list, Levels{Base: levels[1+rnd.IntN(3)], Max: LevelFull})
		require.NoError(t, err, list)
		env := &Env{}
		random(env, AllFacts)
		env.Missing = Facts(rnd.IntN(int(AllFacts) + 1))
		highest := s.Highest(env)
		early[highest]++
		for range 12 {
			whole := *env
			random(&whole, env.Missing)
			whole.Missing = 0
			if env.Missing&FactPod != 0 && rnd.IntN(2) == 0 {
				whole.Missing = FactPod // it stays unknown
			}
			level := s.levels.Base
			rule, err := s.Match(&whole)
			if rule != nil {
				level = rule.Level
			}
			if err != nil {
				level = LevelHeaders
			}
			require.LessOrEqual(t, level.depth(), highest.depth(), "%+v\n%+v\n%+v", list, env, whole)
		}
		env.Missing = 0
		for i, c := range list {
			program, err := expr.Compile(c.Match, expr.Env(&Env{}), expr.AsBool(), expr.Function("like", func(p ...any) (any, error) { return like(p[0].(string), p[1].(string)), nil }, new(func(string, string) bool)),
				expr.Function("cidr", (&checker{prefixes: map[string]netip.Prefix{"10.0.0.0/8": netip.MustParsePrefix("10.0.0.0/8")}}).cidr, new(func(string, string) bool)))
			require.NoError(t, err)
			want, wantErr := expr.Run(program, env)
			got, gotErr := s.rules[i].match.eval(&s.vm, env, 0)
			// The whole expression is optimized: it may leave out a part that fails.
			require.False(t, wantErr != nil && gotErr == nil, "%s: %v", c.Match, wantErr)
			if gotErr == nil {
				require.Equal(t, want, got == yes, c.Match)
			}
		}
	}
	t.Log(fmt.Sprint("highest levels: ", early))
	require.Greater(t, early[LevelNone]+early[LevelConnections], 100, "early decisions are made at all")
}
