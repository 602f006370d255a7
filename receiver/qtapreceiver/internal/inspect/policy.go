// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/qpoint-io/otelcol-qpoint/internal/detect"
)

// RedactConfig says what is taken out of payloads before they leave the receiver.
type RedactConfig struct {
	// Headers are names of header and trailer fields whose values go, in any case.
	Headers []string `mapstructure:"headers"`
	// Fields are names, in any case, of query parameters, form fields, parts of multipart forms, cookies, and of keys
	// anywhere in JSON, whose values go.
	Fields []string `mapstructure:"fields"`
	// JSONPaths are paths (RFC 9535: names, `[*]`, `[0]` and `..`) whose values go.
	JSONPaths []string `mapstructure:"json_paths"`
	// Detectors are kinds of sensitive data that go wherever they are found; `all` is every kind.
	Detectors []string `mapstructure:"detectors"`

	_ struct{}
}

// Policy is a RedactConfig that was understood. A nil Policy takes nothing out.
type Policy struct {
	headers, fields, kinds map[string]bool
	paths                  [][]step
	all                    bool
	hash                   string
}

// step is a segment of a JSON path.
type step struct {
	name  string
	index int  // >= 0: an element
	any   bool // every element or member
	deep  bool // here or anywhere below
}

// kindAll stands for every detector.
const kindAll = "all"

// Compile returns the policy; nil when the config takes nothing out. The error names every part that is wrong.
func (c *RedactConfig) Compile() (*Policy, error) {
	if len(c.Headers)+len(c.Fields)+len(c.JSONPaths)+len(c.Detectors) == 0 {
		return nil, nil
	}
	p := &Policy{headers: map[string]bool{}, fields: map[string]bool{}, kinds: map[string]bool{}}
	var errs []error
	names := func(list []string, into map[string]bool, key string) {
		for _, n := range list {
			if strings.TrimSpace(n) == "" {
				errs = append(errs, fmt.Errorf("`redact::%s` has an empty name", key))
			}
			into[lower(n)] = true
		}
	}
	names(c.Headers, p.headers, "headers")
	names(c.Fields, p.fields, "fields")
	for _, text := range c.JSONPaths {
		steps, err := parsePath(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("`redact::json_paths` has %q: %w", text, err))
		}
		p.paths = append(p.paths, steps)
	}
	var kinds []string
	for _, k := range detect.Sensitive {
		kinds = append(kinds, k.String())
	}
	for _, kind := range c.Detectors {
		if kind == kindAll {
			p.all = true
		} else if !slices.Contains(kinds, kind) {
			errs = append(errs, fmt.Errorf("`redact::detectors` has %q: must be %s, or one of %s", kind, kindAll, strings.Join(kinds, ", ")))
		}
		p.kinds[kind] = true
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	// Maps are marshalled in the order of their keys: the same policy has the same hash, however it is written.
	paths := slices.Compact(slices.Sorted(slices.Values(c.JSONPaths)))
	text, err := json.Marshal([]any{"1", p.headers, p.fields, p.kinds, paths})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	p.hash = hex.EncodeToString(sum[:8])
	return p, nil
}

// Hash names the policy: 16 hex digits.
func (p *Policy) Hash() string { return p.hash }

// Reasons of what a policy takes out by its name.
const (
	reasonHeader   = "header"
	reasonField    = "field"
	reasonJSONPath = "json_path"
)

// header returns why the values of a field line go, "" when they stay. name is in lower case.
func (p *Policy) header(name string) string {
	if p != nil && p.headers[name] {
		return reasonHeader
	}
	return ""
}

func (p *Policy) field(name string) string {
	if p != nil && len(p.fields) > 0 && p.fields[lower(name)] {
		return reasonField
	}
	return ""
}

// path returns why the value at a place of a JSON document goes.
func (p *Policy) path(at []element) string {
	if p == nil {
		return ""
	}
	if n := len(at); n > 0 && at[n-1].named != "" {
		return at[n-1].named
	}
	for _, steps := range p.paths {
		if matches(steps, at) {
			return reasonJSONPath
		}
	}
	return ""
}

func (p *Policy) detects(kind detect.Kind) bool { return p != nil && (p.all || p.kinds[kind.String()]) }

// structured says that the policy names places in documents.
func (p *Policy) structured() bool { return p != nil && len(p.paths)+len(p.fields) > 0 }

// longest returns how long, in bytes, a key can be that the policy names.
func (p *Policy) longest() (n int) {
	if p == nil {
		return 0
	}
	for name := range p.fields {
		n = max(n, utf8.UTFMax*len(name)) // a letter may be longer in the other case
	}
	for _, steps := range p.paths {
		for _, s := range steps {
			n = max(n, len(s.name))
		}
	}
	return n
}

func matches(steps []step, at []element) bool {
	if len(steps) == 0 {
		return len(at) == 0
	}
	s := steps[0]
	for i := range at {
		e := at[i]
		if s.any || s.index >= 0 && e.index == s.index || s.index < 0 && e.index < 0 && !e.long && string(e.name) == s.name {
			if matches(steps[1:], at[i+1:]) {
				return true
			}
		}
		if !s.deep {
			return false
		}
	}
	return false
}

// parsePath reads the part of RFC 9535 that names single places: `$.user.cards[*].number`, `$['a b']`, `$..iban`.
func parsePath(text string) ([]step, error) {
	rest, ok := strings.CutPrefix(text, "$")
	if !ok || rest == "" {
		return nil, errors.New("a path begins with `$` and names something below it, as in $.user.card or $..password")
	}
	var steps []step
	for rest != "" {
		s := step{index: -1}
		switch {
		case strings.HasPrefix(rest, ".."):
			s.deep = true
			rest = rest[2:]
			if strings.HasPrefix(rest, "[") {
				break
			}
			fallthrough
		case strings.HasPrefix(rest, "."):
			rest = strings.TrimPrefix(rest, ".")
			i := strings.IndexAny(rest, ".[")
			if i < 0 {
				i = len(rest)
			}
			s.name, rest = rest[:i], rest[i:]
			if s.name == "" || strings.ContainsAny(s.name, " '\"]()?@,:") {
				return nil, errors.New("a name is missing, or needs ['…']")
			}
			if s.name == "*" {
				s.any = true
			}
			steps = append(steps, s)
			continue
		}
		inner, after, ok := cutBracket(rest)
		if !ok {
			return nil, fmt.Errorf("%q is not understood: use .name, ['name'], [*], [0] or ..name", rest)
		}
		rest = after
		switch {
		case inner == "*":
			s.any = true
		case len(inner) >= 2 && (inner[0] == '\'' || inner[0] == '"') && inner[len(inner)-1] == inner[0]:
			s.name = inner[1 : len(inner)-1]
		default:
			n, err := strconv.Atoi(inner)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("[%s] is not understood: use ['name'], [*] or [0]", inner)
			}
			s.index = n
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// cutBracket returns what is in the brackets that s begins with.
func cutBracket(s string) (inner, after string, ok bool) {
	if !strings.HasPrefix(s, "[") || len(s) < 3 {
		return "", "", false
	}
	from := 1
	if q := s[1]; q == '\'' || q == '"' {
		i := strings.IndexByte(s[2:], q)
		if i < 0 {
			return "", "", false
		}
		from = 2 + i
	}
	i := strings.IndexByte(s[from:], ']')
	if i < 0 {
		return "", "", false
	}
	return s[1 : from+i], s[from+i+1:], true
}
