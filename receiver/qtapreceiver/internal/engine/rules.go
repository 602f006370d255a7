// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/process"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

// Reasons that rules give.
const (
	reasonRule        = "rule"
	reasonRuleError   = "rule_error"   // the expression failed: nobody knows what was wanted
	reasonRuleUnknown = "rule_unknown" // the expression looks at what is not known
	reasonLevel       = "level"        // the receiver's own
	reasonPerSecond   = "max_per_second"
)

// dropRule is the drop reason of exchanges of which a rule keeps no span.
const dropRule = "rule"

// SetRules replaces the rules from the next exchange on; nil has none. What the rules before have stopped the source
// from reporting does not come back. It may be called from any goroutine.
func (e *Engine) SetRules(s *rules.Set) { e.rules.Store(s) }

// CheckRules asks about the retention class of each rule. It may be called from any goroutine.
func (e *Engine) CheckRules(class func(string) error) error { return e.rules.Load().Check(class) }

// verdict is what the rules say of one exchange.
type verdict struct {
	rule   *rules.Rule // nil: the receiver's level
	level  rules.Level
	failed string // why nobody knows what is wanted
	over   bool   // the level is what the budget allows, and more was wanted
}

// drop says that not even a span is kept.
func (v verdict) drop() bool { return !v.level.Requests() }

// judge finds out what is kept of an exchange. The budget takes no span: what was read is paid for.
func (e *Engine) judge(a *application, x *l7.Exchange, t *target) verdict {
	v := e.match(a, x, t)
	if v.level == rules.LevelFull && e.affordable(v.level) != v.level {
		v.level, v.over = rules.LevelHeaders, true
	}
	return v
}

// match finds the rule of an exchange.
func (e *Engine) match(a *application, x *l7.Exchange, t *target) verdict {
	set := e.rules.Load()
	if set == nil {
		return verdict{level: e.set.Level}
	}
	base := set.Levels().Base
	if set.Len() == 0 {
		return verdict{level: base}
	}
	env := &e.ruleEnv
	a.fillEnv(env)
	if a.c.proc.PodUnknown() {
		env.Missing = rules.FactPod
	}
	env.Server.Address = t.host
	env.Network.Protocol.Version = x.Request.Version
	env.HTTP.Request.Method = x.Request.Method
	env.HTTP.Request.Body.Size = int(x.Request.BodySize)
	if r := x.Response; r != nil {
		env.HTTP.Response.StatusCode, env.HTTP.Response.Body.Size = r.Status, int(r.BodySize)
	}
	env.URL.Scheme, env.URL.Path, env.URL.Port = t.scheme, t.path, int(t.port)
	rule, err := set.Match(env)
	var unknown *rules.UnknownError
	switch {
	case errors.As(err, &unknown):
		e.counts.rulesUnknown++
		return verdict{level: rules.LevelHeaders, failed: reasonRuleUnknown}
	case err != nil:
		e.counts.ruleErrors++
		return verdict{level: rules.LevelHeaders, failed: reasonRuleError}
	case rule == nil:
		return verdict{level: base}
	}
	return verdict{rule: rule, level: rule.Level}
}

// unrecorded says that a rule keeps not even the records of the connection.
func (e *Engine) unrecorded(c *conn) bool {
	set := e.rules.Load()
	if set.Len() == 0 {
		return false
	}
	env := &e.ruleEnv
	c.app.fillEnv(env)
	env.Missing = c.unknownFacts()&^rules.FactLate | rules.FactExchange
	return set.Highest(env) == rules.LevelNone
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
	fillProcess(env, c.proc)
	env.TLS.Client.ServerName = c.app.asked
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

func fillProcess(env *rules.Env, p *process.Info) {
	env.Process.Executable.Name, env.Process.Executable.Path = p.ExecutableName, p.ExecutablePath
	env.Process.Owner, env.Process.PID = p.Owner, int(p.TGID)
	env.Service.Name, env.Container.ID = p.ServiceName, p.ContainerID
	env.K8s.Pod.UID, env.K8s.Pod.Name, env.K8s.Namespace.Name = p.PodUID, p.PodName, p.Namespace
}

// allow says whether the verdict lets the payload of an exchange be kept; if not, the span's state and reason.
// A part of an exchange is all body.
func (v verdict) allow(trace pcommon.TraceID, now int64, part bool) (state, reason string) {
	switch r := v.rule; {
	case v.failed != "":
		return semantic.PayloadFiltered, v.failed
	case part && v.level == rules.LevelHeaders:
		return semantic.PayloadFiltered, v.reason()
	case r == nil:
	case r.Never():
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
	keep, why := -1, reasonBodyCap
	if v.rule != nil {
		keep = v.rule.MaxBody
	}
	if v.level == rules.LevelHeaders {
		keep, why = 0, v.reason()
	}
	if keep < 0 {
		return ""
	}
	keep = max(0, keep-before)
	for _, m := range []*l7.Message{&x.Request, x.Response} {
		if m == nil {
			continue
		}
		if len(m.Body) > keep {
			m.Body, m.Truncated = m.Body[:keep:keep], true
			reason = why
		} else if v.level == rules.LevelHeaders && cut(m) {
			reason = why // it was not kept in the first place
		}
	}
	return reason
}

// class is the retention class of the payload.
func (v verdict) class() string {
	if v.rule == nil || v.rule.Class == "" {
		return objectkey.DefaultClass
	}
	return v.rule.Class
}

// reason is who says what the level is.
func (v verdict) reason() string {
	if v.over {
		return reasonOverBudget
	}
	if v.rule == nil {
		return reasonLevel
	}
	return reasonRule
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
