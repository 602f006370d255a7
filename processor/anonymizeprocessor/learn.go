// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"strings"
	"sync"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/processor/anonymizeprocessor/internal/pathtree"
)

const (
	maxEndpoints = 1024
	pathNodes    = 1 << 19 // about 32 MiB when all are used; a service with a thousand routes has a thousand
	rpcNodes     = 1 << 16
	rpcWords     = 1000 // names of services and methods are code, of which there is more than of words in paths
)

// learner replaces segments of paths that are names of things, see pathtree. A batch is learned whole before any of it
// is written, so that what comes out does not depend on the order within.
type learner struct {
	mu    sync.Mutex
	words int
	// By environment: what one sends must neither teach nor tell anything about another. There are as many as a gateway
	// has tokens for, as they are never taken from the data.
	environments map[string]*trees
}

type trees struct{ paths, rpc *pathtree.Tree }

func newLearner(words int) *learner { return &learner{words: words, environments: map[string]*trees{}} }

func (l *learner) of(environment string) *trees {
	t, ok := l.environments[environment]
	if !ok {
		t = &trees{
			paths: pathtree.New(pathtree.Config{Words: l.words, Endpoints: maxEndpoints, Budget: pathNodes, Placeholder: isTemplate}),
			rpc:   pathtree.New(pathtree.Config{Words: rpcWords, Endpoints: maxEndpoints, Budget: rpcNodes, Placeholder: isTemplate}),
		}
		l.environments[environment] = t
	}
	return t
}

// path is one that a span of the batch has.
type path struct {
	span      ptrace.Span
	template  string // cleaned of all that is recognised without learning
	server    string
	missing   bool // the server does not have it
	procedure bool
	decision  pathtree.Decision
}

// apply learns the paths of an environment and writes what came of it into their spans.
func (l *learner) apply(environment string, paths []path) {
	l.mu.Lock()
	e := l.of(environment)
	for i := range paths {
		t := e.tree(&paths[i])
		t.Learn(t.Endpoint(paths[i].server, paths[i].missing), paths[i].template)
	}
	for i := range paths {
		t := e.tree(&paths[i])
		paths[i].decision = t.Decide(t.Endpoint(paths[i].server, paths[i].missing), paths[i].template)
	}
	l.mu.Unlock()
	for i := range paths {
		if paths[i].decision.Changes() {
			paths[i].write()
		}
	}
}

func (t *trees) tree(p *path) *pathtree.Tree {
	if p.procedure {
		return t.rpc
	}
	return t.paths
}

// write puts the decision into every place of the span that has the path.
func (p *path) write() {
	attrs := p.span.Attributes()
	template := p.decision.Apply(p.template, isTemplate)
	for _, key := range [...]string{semantic.URLPath, semantic.URLTemplate, semantic.RPCMethod, semantic.URLFull} {
		v, ok := attrs.Get(key)
		if !ok {
			continue
		}
		switch s := v.Str(); key {
		case semantic.URLPath:
			v.SetStr(p.decision.Apply(s, isPlaceholder))
		case semantic.URLTemplate:
			v.SetStr(template)
		case semantic.RPCMethod:
			v.SetStr(p.decision.Apply("/"+s, isTemplate)[1:])
		case semantic.URLFull:
			v.SetStr(p.full(s))
		}
	}
	if p.procedure {
		p.span.SetName(template[1:])
		return
	}
	method := ""
	if v, ok := attrs.Get(semantic.HTTPRequestMethod); ok {
		method = v.Str()
	}
	setSpanName(p.span, method, template)
}

// full is Apply for a cleaned URL.
func (p *path) full(s string) string {
	start := strings.Index(s, "://") + len("://")
	slash := strings.IndexAny(s[start:], "/?")
	if slash < 0 {
		return s
	}
	head, tail := s[:start+slash], s[start+slash:]
	query := ""
	if i := strings.IndexByte(tail, '?'); i >= 0 {
		tail, query = tail[:i], tail[i:]
	}
	if tail == "" {
		return s
	}
	return head + p.decision.Apply(tail, isPlaceholder) + query
}

// isPlaceholder reports whether a cleaned segment stands for a value, keyed or not: nothing else has braces.
func isPlaceholder(s string) bool { return len(s) > 0 && s[0] == '{' }

// serverOf returns whose paths the span has: of a server's span the service, of a client's the host.
func serverOf(s ptrace.Span, service string) string {
	if s.Kind() == ptrace.SpanKindServer {
		return service
	}
	if v, ok := s.Attributes().Get(semantic.ServerAddress); ok {
		return v.Str()
	}
	return ""
}

func serviceOf(r pcommon.Resource) string {
	if v, ok := r.Attributes().Get(semantic.ServiceName); ok {
		return v.AsString()
	}
	return ""
}

// missing reports whether the server said that it does not have the path.
func missing(s ptrace.Span) bool {
	v, ok := s.Attributes().Get(semantic.HTTPResponseStatusCode)
	return ok && v.Int() == 404
}
