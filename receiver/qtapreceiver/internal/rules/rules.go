// SPDX-License-Identifier: Apache-2.0

// Package rules decides, exchange by exchange, what is kept.
//
// The language is expr (github.com/expr-lang/expr), which collector users know from receiver_creator and the filelog
// operators. It was preferred to OTTL because it brings no further module, checks types when a rule is loaded, needs
// no pdata to be built before the decision, and cannot change what it looks at.
package rules

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"
)

// Env is what an expression sees. Names are those of the attributes that are emitted, raw and not anonymized; a
// value that is not known is "" or 0.
type Env struct {
	Direction string `expr:"direction"` // egress | ingress
	Process   struct {
		Executable struct {
			Name string `expr:"name"`
			Path string `expr:"path"`
		} `expr:"executable"`
		Owner string `expr:"owner"` // name of the user
		PID   int    `expr:"pid"`
	} `expr:"process"`
	Service struct {
		Name string `expr:"name"`
	} `expr:"service"`
	Container struct {
		ID string `expr:"id"`
	} `expr:"container"`
	K8s struct {
		Namespace struct {
			Name string `expr:"name"`
		} `expr:"namespace"`
		Pod struct {
			UID  string `expr:"uid"`
			Name string `expr:"name"`
		} `expr:"pod"`
	} `expr:"k8s"`
	// Server has the name that the client uses, if known, and the port of the connection's server.
	Server  End `expr:"server"`
	Client  End `expr:"client"`
	Network struct {
		Local    End `expr:"local"`
		Peer     End `expr:"peer"`
		Protocol struct {
			Version string `expr:"version"`
		} `expr:"protocol"`
	} `expr:"network"`
	TLS struct {
		Established bool `expr:"established"`
		Client      struct {
			// ServerName is the name asked for in the connection's first handshake.
			ServerName string `expr:"server_name"`
		} `expr:"client"`
	} `expr:"tls"`
	HTTP struct {
		Request struct {
			Method string `expr:"method"`
			Body   Body   `expr:"body"`
		} `expr:"request"`
		Response struct {
			StatusCode int  `expr:"status_code"`
			Body       Body `expr:"body"`
		} `expr:"response"`
	} `expr:"http"`
	URL struct {
		Scheme string `expr:"scheme"`
		Path   string `expr:"path"`
		Port   int    `expr:"port"` // that the request names, else the connection's
	} `expr:"url"`

	// Missing are the facts that are not known.
	Missing Facts `expr:"-"`
}

// End is an address and a port.
type End struct {
	Address string `expr:"address"`
	Port    int    `expr:"port"`
}

// Body is the size of a body in bytes, as on the wire.
type Body struct {
	Size int `expr:"size"`
}

// Rule is a compiled rule.
type Rule struct {
	Level Level // never "": the receiver's when the rule has none
	// MaxBody is the number of bytes kept of each body; -1 is the receiver's.
	MaxBody int
	// Class is the retention class of the payload; "" is the default one.
	Class string

	match     *condition
	threshold uint64 // of the trace id's 56 random bits: those below are left out
	perSecond int
	second    int64
	count     int
}

// Set is a list of rules. It is used by one goroutine.
type Set struct {
	rules  []*Rule
	levels Levels
	vm     vm.VM
}

// Levels are those of the receiver.
type Levels struct {
	// Base is what is kept where no rule says more or less.
	Base Level
	// Max is what no rule can raise it above.
	Max Level
}

// UnknownError says that a rule depends on facts that are not known.
type UnknownError struct{ Facts Facts }

func (e *UnknownError) Error() string {
	return "a rule looks at the names of a pod, and they are not known"
}

// randomness is the number of values of a trace id's random part (W3C Trace Context Level 2 §2.2.2.1).
const randomness = 1 << 56

// Compile makes a Set.
func Compile(list []Config, levels Levels) (*Set, error) {
	if len(list) > maxRules {
		return nil, fmt.Errorf("`rules` has %d rules: at most %d", len(list), maxRules)
	}
	s := &Set{levels: levels, vm: vm.VM{MemoryBudget: memory}}
	var errs []error
	for i := range list {
		c := &list[i]
		err := c.validate(levels)
		r := &Rule{Level: c.Level, MaxBody: -1, Class: c.RetentionClass, perSecond: c.MaxPerSecond}
		if c.Match != "" {
			err = errors.Join(err, r.compile(c.Match))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("rule %d of `rules`: %w", i+1, err))
			continue
		}
		if r.Level == "" {
			r.Level = levels.Base
		}
		if c.MaxBodySize != nil {
			r.MaxBody = *c.MaxBodySize
		}
		if c.SampleRate != nil {
			r.threshold = uint64(math.Round((1 - *c.SampleRate) * randomness))
		}
		s.rules = append(s.rules, r)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// builtins are the functions of the language that take time in proportion to their text. Those that loop are left
// out: the engine waits for an expression.
var builtins = []string{"len", "lower", "upper", "trim", "hasPrefix", "hasSuffix", "indexOf"}

// memory is how many elements an expression may make (`1..n`).
const memory = 10_000

func (r *Rule) compile(match string) error {
	v := &checker{prefixes: map[string]netip.Prefix{}}
	options := []expr.Option{
		expr.Env(&Env{}), expr.AsBool(), expr.Patch(v), expr.MaxNodes(1000), expr.DisableAllBuiltins(),
		expr.Function("like", func(p ...any) (any, error) { return like(p[0].(string), p[1].(string)), nil }, new(func(string, string) bool)),
		expr.Function("cidr", v.cidr, new(func(string, string) bool)),
	}
	for _, name := range builtins {
		options = append(options, expr.EnableBuiltin(name))
	}
	_, err := expr.Compile(match, options...)
	if v.err != nil {
		err = v.err // it says more
	}
	if err == nil {
		r.match, err = newCondition(match, options)
	}
	if err != nil {
		return fmt.Errorf("`match`: %w", err)
	}
	return nil
}

// checker looks at an expression when it is compiled: what can never match must not load.
type checker struct {
	prefixes map[string]netip.Prefix
	err      error
}

// Visit implements ast.Visitor.
func (v *checker) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.MemberNode:
		if _, path := fieldPath(n); strings.HasPrefix(path, "k8s.") && strings.Contains(path, "label") || strings.HasSuffix(path, ".annotations") {
			v.fail(fmt.Errorf("`%s`: labels and annotations of pods are known to the Kubernetes API only, which is not asked: use k8s.namespace.name, k8s.pod.name or k8s.pod.uid here, or k8sattributes and filter behind the receiver", path))
		}
	case *ast.BinaryNode:
		for _, side := range [][2]ast.Node{{n.Left, n.Right}, {n.Right, n.Left}} {
			id, isID := side[0].(*ast.IdentifierNode)
			s, isString := side[1].(*ast.StringNode)
			if isID && isString && id.Value == "direction" && (n.Operator == "==" || n.Operator == "!=") && s.Value != "egress" && s.Value != "ingress" {
				v.fail(fmt.Errorf("`direction` is compared with %q: it is egress or ingress", s.Value))
			}
		}
	case *ast.PredicateNode:
		v.fail(errors.New("all, any, filter, map and other functions that loop are not available"))
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); !ok || id.Value != "cidr" || len(n.Arguments) != 2 {
			return
		}
		s, ok := n.Arguments[1].(*ast.StringNode)
		if !ok {
			v.fail(errors.New("the second argument of cidr must be a constant such as \"10.0.0.0/8\""))
			return
		}
		p, err := netip.ParsePrefix(s.Value)
		if err != nil {
			v.fail(fmt.Errorf("cidr: %w", err))
			return
		}
		v.prefixes[s.Value] = p.Masked()
	}
}

func (v *checker) fail(err error) {
	if v.err == nil { // a node is visited more than once
		v.err = err
	}
}

// cidr says whether an address is in a network.
func (v *checker) cidr(p ...any) (any, error) {
	// What is no address is a name, or not known.
	a, err := netip.ParseAddr(p[0].(string))
	return err == nil && v.prefixes[p[1].(string)].Contains(a.Unmap().WithZone("")), nil
}

// like compares a value with a pattern, without case; each `*` of the pattern stands for any text.
func like(s, pattern string) bool {
	// Linear in time for each star: only the last one is gone back to.
	i, j, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case j < len(pattern) && pattern[j] == '*':
			star, mark = j, i
			j++
		case j < len(pattern) && lower(pattern[j]) == lower(s[i]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = mark, star+1
		default:
			return false
		}
	}
	return strings.Trim(pattern[j:], "*") == ""
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// Len is the number of rules.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.rules)
}

// Check asks about the retention class of each rule.
func (s *Set) Check(class func(string) error) error {
	if s == nil {
		return nil
	}
	var errs []error
	for i, r := range s.rules {
		if err := class(r.Class); err != nil {
			errs = append(errs, fmt.Errorf("rule %d of `rules`: %w", i+1, err))
		}
	}
	return errors.Join(errs...)
}

// Match returns the first rule that matches an exchange, nil when none does. After an error nobody knows what
// the operator wanted: the payload must not be kept.
func (s *Set) Match(env *Env) (*Rule, error) {
	for _, r := range s.rules {
		switch out, err := r.match.eval(&s.vm, env, env.Missing); {
		case err != nil:
			return nil, err
		case out == unknown:
			return nil, &UnknownError{r.match.facts & env.Missing}
		case out == yes:
			return r, nil
		}
	}
	return nil, nil
}

// Highest returns the highest level that Match can come to for any exchange of a connection of which env.Missing is
// not known yet, whatever that will be.
func (s *Set) Highest(env *Env) Level {
	highest := LevelNone
	raise := func(l Level) {
		if l.depth() > highest.depth() {
			highest = l
		}
	}
	for _, r := range s.rules {
		out, err := r.match.eval(&s.vm, env, env.Missing)
		if out == no && err == nil {
			continue
		}
		raise(r.Level)
		if out == yes && err == nil {
			return highest
		}
		if err != nil || !r.match.total || r.match.facts&FactPod != 0 {
			raise(LevelHeaders) // what fails, or stays unknown, leaves a span without a payload
		}
	}
	raise(s.levels.Base)
	return highest
}

// Requests says whether requests are kept at this level.
func (l Level) Requests() bool { return l.depth() >= LevelHeaders.depth() }

// Levels returns the levels that the rules were made for.
func (s *Set) Levels() Levels { return s.levels }

// Never says that the rule keeps no payload at all.
func (r *Rule) Never() bool { return r.threshold == randomness }

// Sampled says whether the payload of an exchange of this trace is kept. Both ends of a connection and
// every process of a trace come to the same answer: it is the trace id's last 56 bits that decide.
func (r *Rule) Sampled(trace [16]byte) bool {
	var random uint64
	for _, b := range trace[9:] {
		random = random<<8 | uint64(b)
	}
	return random >= r.threshold
}

// Allow takes one payload from what the rule allows in the second of now (Unix nanoseconds).
func (r *Rule) Allow(now int64) bool {
	if r.perSecond == 0 {
		return true
	}
	if second := now / 1e9; second != r.second {
		r.second, r.count = second, 0
	}
	if r.count >= r.perSecond {
		return false
	}
	r.count++
	return true
}
