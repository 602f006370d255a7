// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

const (
	// rulesEvery is how often the rules file is looked at. It is read rather than watched by inotify, which
	// does not see through the symbolic links of a mounted ConfigMap.
	rulesEvery = time.Second
	// maxRulesFile bounds what is read of it.
	maxRulesFile = 1 << 20
)

// rulesFile keeps the rules of one file current.
type rulesFile struct {
	path    string
	highest rules.Level
	logger  *zap.Logger
	use     func(*rules.Set)

	text  []byte // as it was read last
	wrong string // the error that was reported last
}

// loadRules reads and compiles the file.
func (f *rulesFile) load() error {
	text, err := readRules(f.path)
	if err != nil {
		return err
	}
	set, err := rules.Parse(text, f.highest)
	if err != nil {
		return fmt.Errorf("`rules_file` %s: %w", f.path, err)
	}
	f.text = text
	f.use(set)
	return nil
}

func readRules(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("`rules_file`: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxRulesFile+1))
	if err != nil {
		return nil, fmt.Errorf("`rules_file`: %w", err)
	}
	if len(text) > maxRulesFile {
		return nil, fmt.Errorf("`rules_file` %s is larger than %d bytes", path, maxRulesFile)
	}
	return text, nil
}

// watch swaps the rules when the file changes, until ctx ends. Whatever is wrong with the new ones, the old stay.
func (f *rulesFile) watch(ctx context.Context, host component.Host) {
	tick := time.NewTicker(rulesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.look(host)
		}
	}
}

func (f *rulesFile) look(host component.Host) {
	text, err := readRules(f.path)
	if err == nil && bytes.Equal(text, f.text) && f.wrong == "" {
		return
	}
	if err == nil {
		err = f.load()
	}
	switch {
	case err != nil && err.Error() != f.wrong:
		f.wrong = err.Error()
		f.logger.Error("The rules file cannot be used. The rules of before stay.", zap.Error(err))
		componentstatus.ReportStatus(host, componentstatus.NewRecoverableErrorEvent(errors.Join(err, errors.New("the rules of before stay"))))
	case err == nil:
		if f.wrong != "" {
			f.wrong = ""
			componentstatus.ReportStatus(host, componentstatus.NewEvent(componentstatus.StatusOK))
		}
		f.logger.Info("Rules loaded", zap.String("rules_file", f.path))
	}
}

// startRules gives the engine its rules; with a file, watching it is left to the returned function.
func (t *tap) startRules() (watch func(context.Context, component.Host), err error) {
	highest := rules.Level(t.cfg.Level)
	if t.cfg.RulesFile == "" {
		set, err := rules.Compile(t.cfg.Rules, highest)
		if err != nil {
			return nil, err
		}
		t.engine.SetRules(set)
		return nil, nil
	}
	f := &rulesFile{path: t.cfg.RulesFile, highest: highest, logger: t.set.Logger, use: t.engine.SetRules}
	if err := f.load(); err != nil {
		return nil, err
	}
	return f.watch, nil
}
