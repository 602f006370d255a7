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
		Pod struct {
			UID string `expr:"uid"`
		} `expr:"pod"`
	} `expr:"k8s"`
	Server  End `expr:"server"` // the address is the name that the client uses, if known
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
	} `expr:"url"`
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

	program   *vm.Program
	exchange  bool   // the expression looks at a request or its response
	threshold uint64 // of the trace id's 56 random bits: those below are left out
	perSecond int
	second    int64
	count     int
}

// Set is a list of rules. It is used by one goroutine.
type Set struct {
	rules []*Rule
	vm    vm.VM
}

// randomness is the number of values of a trace id's random part (W3C Trace Context Level 2 §2.2.2.1).
const randomness = 1 << 56

// Compile makes a Set. highest is the level of the receiver: the default, and what no rule can raise.
func Compile(list []Config, highest Level) (*Set, error) {
	if len(list) > maxRules {
		return nil, fmt.Errorf("`rules` has %d rules: at most %d", len(list), maxRules)
	}
	s := &Set{vm: vm.VM{MemoryBudget: memory}}
	var errs []error
	for i := range list {
		c := &list[i]
		err := c.validate(highest)
		r := &Rule{Level: c.Level, MaxBody: -1, perSecond: c.MaxPerSecond}
		if c.Match != "" {
			err = errors.Join(err, r.compile(c.Match))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("rule %d of `rules`: %w", i+1, err))
			continue
		}
		if r.Level == "" {
			r.Level = highest
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
	program, err := expr.Compile(match, options...)
	if err = errors.Join(err, v.err); err != nil {
		return fmt.Errorf("`match`: %w", err)
	}
	r.program, r.exchange = program, v.exchange
	return nil
}

// checker looks at an expression when it is compiled: what can never match must not load.
type checker struct {
	exchange bool
	prefixes map[string]netip.Prefix
	err      error
}

// Visit implements ast.Visitor.
func (v *checker) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if n.Value == "http" || n.Value == "url" || n.Value == "$env" {
			v.exchange = true
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

// Match returns the first rule that matches an exchange, nil when none does. After an error nobody knows what
// the operator wanted: the payload must not be kept.
func (s *Set) Match(env *Env) (*Rule, error) {
	for _, r := range s.rules {
		if ok, err := s.run(r, env); err != nil || ok {
			return r, err
		}
	}
	return nil, nil
}

// MatchConnection returns the rule that is the first to match every exchange of a connection, nil when that depends on
// the exchange.
func (s *Set) MatchConnection(env *Env) *Rule {
	for _, r := range s.rules {
		if r.exchange {
			return nil
		}
		if ok, err := s.run(r, env); err != nil {
			return nil
		} else if ok {
			return r
		}
	}
	return nil
}

func (s *Set) run(r *Rule, env *Env) (bool, error) {
	out, err := s.vm.Run(r.program, env)
	if err != nil {
		return false, err
	}
	return out.(bool), nil
}

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
