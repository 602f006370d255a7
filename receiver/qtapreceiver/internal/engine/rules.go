// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

// Reasons that rules give.
const (
	reasonRule      = "rule"
	reasonRuleError = "rule_error" // the expression failed: nobody knows what was wanted
	reasonPerSecond = "max_per_second"
)

// dropRule is the drop reason of exchanges of which a rule keeps no span.
const dropRule = "rule"

// SetRules replaces the rules from the next exchange on; nil has none. It may be called from any goroutine.
func (e *Engine) SetRules(s *rules.Set) { e.rules.Store(s) }

// verdict is what the rules say of one exchange.
type verdict struct {
	rule   *rules.Rule // nil: the receiver's level
	failed bool
}

// drop says that not even a span is kept.
func (v verdict) drop() bool {
	return v.rule != nil && (v.rule.Level == rules.LevelNone || v.rule.Level == rules.LevelConnections)
}

// judge finds the rule of an exchange.
func (e *Engine) judge(a *application, x *l7.Exchange, t *target) verdict {
	set := e.rules.Load()
	if set.Len() == 0 {
		return verdict{}
	}
	env := &e.ruleEnv
	a.fillEnv(env)
	env.Server = rules.End{Address: t.host, Port: int(t.port)}
	env.Network.Protocol.Version = x.Request.Version
	env.HTTP.Request.Method = x.Request.Method
	env.HTTP.Request.Body.Size = int(x.Request.BodySize)
	if r := x.Response; r != nil {
		env.HTTP.Response.StatusCode, env.HTTP.Response.Body.Size = r.Status, int(r.BodySize)
	}
	env.URL.Scheme, env.URL.Path = t.scheme, t.path
	rule, err := set.Match(env)
	if err != nil {
		e.counts.ruleErrors++
		return verdict{failed: true}
	}
	return verdict{rule: rule}
}

// unrecorded says that a rule keeps not even the records of the connection.
func (e *Engine) unrecorded(c *conn) bool {
	set := e.rules.Load()
	if set.Len() == 0 {
		return false
	}
	env := &e.ruleEnv
	c.app.fillEnv(env)
	rule := set.MatchConnection(env)
	return rule != nil && rule.Level == rules.LevelNone
}

// fillEnv writes what is known of the connection, and clears the rest.
func (a *application) fillEnv(env *rules.Env) {
	c := a.c
	*env = rules.Env{}
	switch c.role {
	case event.RoleClient:
		env.Direction = "egress"
	case event.RoleServer:
		env.Direction = "ingress"
	}
	p := c.proc
	env.Process.Executable.Name, env.Process.Executable.Path = p.ExecutableName, p.ExecutablePath
	env.Process.Owner, env.Process.PID = p.Owner, int(p.TGID)
	env.Service.Name, env.Container.ID, env.K8s.Pod.UID = p.ServiceName, p.ContainerID, p.PodUID
	env.Server = rules.End{Address: a.serverName(), Port: int(c.serverEnd().Port())}
	if env.Server.Address == "" {
		env.Server.Address = c.serverText()
	}
	env.Client = rules.End{Address: c.clientText(), Port: int(c.clientEnd().Port())}
	env.Network.Local = rules.End{Address: c.localText, Port: int(c.tuple.local.Port())}
	env.Network.Peer = rules.End{Address: c.remoteText, Port: int(c.tuple.remote.Port())}
	env.Network.Protocol.Version = a.version
	env.TLS.Established = a.info.Version != ""
}

// allow says whether the verdict lets the payload of an exchange be kept; if not, the span's state and reason.
// A part of an exchange is all body.
func (v verdict) allow(trace pcommon.TraceID, now int64, part bool) (state, reason string) {
	switch r := v.rule; {
	case v.failed:
		return semantic.PayloadFiltered, reasonRuleError
	case r == nil:
	case r.Never(), part && r.Level == rules.LevelHeaders:
		return semantic.PayloadFiltered, reasonRule
	case !r.Sampled(trace):
		return semantic.PayloadSampledOut, reasonRule
	case !r.Allow(now):
		return semantic.PayloadSampledOut, reasonPerSecond
	}
	return "", ""
}

// trim cuts the bodies to what the rule keeps, of which earlier parts have had before bytes; reason says why something was
// cut.
func (v verdict) trim(x *l7.Exchange, before int) (reason string) {
	if v.rule == nil {
		return ""
	}
	keep, why := v.rule.MaxBody, reasonBodyCap
	if v.rule.Level == rules.LevelHeaders {
		keep, why = 0, reasonRule
	}
	if keep < 0 {
		return ""
	}
	keep = max(0, keep-before)
	for _, m := range []*l7.Message{&x.Request, x.Response} {
		if m != nil && len(m.Body) > keep {
			m.Body, m.Truncated = m.Body[:keep:keep], true
			reason = why
		}
	}
	return reason
}

// trimMessages cuts the messages of a WebSocket to what the rule keeps of each; reason says why something was cut.
func (v verdict) trimMessages(record pcommon.Map) (reason string) {
	if v.rule == nil || v.rule.MaxBody < 0 {
		return ""
	}
	list, ok := record.Get(semantic.PayloadWebSocketMessages)
	if !ok {
		return ""
	}
	for _, m := range list.Slice().All() {
		data, ok := m.Map().Get(semantic.MessageData)
		if !ok {
			continue
		}
		keep := v.rule.MaxBody
		switch {
		case data.Type() == pcommon.ValueTypeBytes && data.Bytes().Len() > keep:
			data.Bytes().FromRaw(data.Bytes().AsRaw()[:keep])
		case data.Type() == pcommon.ValueTypeStr && len(data.Str()) > keep:
			setRaw(data, data.Str()[:keep])
		default:
			continue
		}
		m.Map().PutBool(semantic.MessageTruncated, true)
		reason = reasonBodyCap
	}
	return reason
}
