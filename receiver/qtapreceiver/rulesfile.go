// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"context"

	"go.opentelemetry.io/collector/component"

	"github.com/qpoint-io/otelcol-qpoint/internal/reload"
	"github.com/qpoint-io/otelcol-qpoint/internal/retention"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

// startRules gives the engine its rules; with a file, watching it is left to the returned function.
func (t *tap) startRules() (watch func(context.Context, component.Host), err error) {
	levels := t.cfg.levels()
	if t.cfg.RulesFile == "" {
		set, err := rules.Compile(t.cfg.Rules, levels)
		if err != nil {
			return nil, err
		}
		t.engine.SetRules(set)
		return nil, nil
	}
	file := &reload.File{
		Key: "rules_file", Path: t.cfg.RulesFile, Logger: t.set.Logger,
		Use: func(text []byte) error {
			set, err := rules.Parse(text, levels)
			if err == nil {
				err = set.Check(retention.Check)
			}
			if err == nil {
				t.engine.SetRules(set)
			}
			return err
		},
	}
	if err := file.Load(); err != nil {
		return nil, err
	}
	return file.Watch, nil
}
