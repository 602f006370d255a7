// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processorhelper"

	"github.com/qpoint-io/otelcol-qpoint/internal/privacy"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// anonymizer holds what the traces and the logs processor of one component have in common.
type anonymizer struct {
	environment string // "" is the client's
	hash        string
	describe    privacy.Policy
	policy      *policy
	paths       *learner
	telemetry   *telemetry
	unregister  func()
}

func newAnonymizer(set component.TelemetrySettings, cfg *Config) (*anonymizer, error) {
	t, err := newTelemetry(set)
	if err != nil {
		return nil, err
	}
	p, err := newPolicy(cfg)
	if err != nil {
		return nil, err
	}
	return &anonymizer{
		environment: cfg.environment(), hash: policyHash(cfg), describe: describe(cfg), policy: p, paths: newLearner(cfg.PathWords), telemetry: t,
	}, nil
}

func (a *anonymizer) start(context.Context, component.Host) error {
	a.unregister = privacy.Register(a.describe)
	return nil
}

func (a *anonymizer) shutdown(context.Context) error {
	if a.unregister != nil {
		a.unregister()
	}
	a.policy.keys.forget()
	return nil
}

func (a *anonymizer) processTraces(ctx context.Context, td ptrace.Traces) (ptrace.Traces, error) {
	environment, err := a.admit(ctx, td.SpanCount())
	if err != nil {
		return td, err
	}
	c := newCleaner(a.policy)
	var learned []path
	td.ResourceSpans().RemoveIf(func(rs ptrace.ResourceSpans) bool {
		service := serviceOf(rs.Resource())
		rs.ScopeSpans().RemoveIf(func(ss ptrace.ScopeSpans) bool {
			if ss.Spans().Len() == 0 {
				return true
			}
			c.scope(ss.Scope())
			ss.SetSchemaUrl(schemaURL(ss.SchemaUrl()))
			for _, span := range ss.Spans().All() {
				c.span(span)
				if c.template != "" {
					learned = append(learned, path{span: span, template: c.template, server: serverOf(span, service), missing: missing(span), procedure: c.procedure != ""})
				}
			}
			return false
		})
		if rs.ScopeSpans().Len() == 0 {
			return true
		}
		a.resource(c, rs.Resource(), environment)
		rs.SetSchemaUrl(schemaURL(rs.SchemaUrl()))
		return false
	})
	a.paths.apply(environment, learned)
	a.telemetry.add(ctx, &c.tally)
	if td.ResourceSpans().Len() == 0 {
		return td, processorhelper.ErrSkipProcessingData
	}
	return td, nil
}

func (a *anonymizer) processLogs(ctx context.Context, ld plog.Logs) (plog.Logs, error) {
	environment, err := a.admit(ctx, ld.LogRecordCount())
	if err != nil {
		return ld, err
	}
	c := newCleaner(a.policy)
	ld.ResourceLogs().RemoveIf(func(rl plog.ResourceLogs) bool {
		rl.ScopeLogs().RemoveIf(func(sl plog.ScopeLogs) bool {
			sl.LogRecords().RemoveIf(c.record)
			if sl.LogRecords().Len() == 0 {
				return true
			}
			c.scope(sl.Scope())
			sl.SetSchemaUrl(schemaURL(sl.SchemaUrl()))
			return false
		})
		if rl.ScopeLogs().Len() == 0 {
			return true
		}
		a.resource(c, rl.Resource(), environment)
		rl.SetSchemaUrl(schemaURL(rl.SchemaUrl()))
		return false
	})
	a.telemetry.add(ctx, &c.tally)
	if ld.ResourceLogs().Len() == 0 {
		return ld, processorhelper.ErrSkipProcessingData
	}
	return ld, nil
}

// resource cleans r and stamps it. The attributes move to a new resource, so that parts of
// a resource that the pdata API does not show (entity references) stay behind.
func (a *anonymizer) resource(c *cleaner, r pcommon.Resource, environment string) {
	c.attributes(r.Attributes())
	clean := pcommon.NewResource()
	r.Attributes().MoveTo(clean.Attributes())
	clean.Attributes().PutStr(semantic.Anonymized, a.hash)
	clean.Attributes().PutStr(semantic.Environment, environment)
	clean.MoveTo(r)
}
