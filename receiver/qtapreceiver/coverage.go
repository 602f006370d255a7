// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"strings"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/coverage"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/kernel"
)

// maxLibraries bounds the rows of libraries: a host has one file per image and version.
const maxLibraries = 128

// hostCoverage are the rows that a source has from the start.
func hostCoverage(src event.Source) []coverage.Row {
	s, ok := src.(interface{ Summary() kernel.Summary })
	if !ok {
		return nil
	}
	summary := s.Summary()
	rows := featureRows(summary.Features)
	for _, path := range summary.Libraries[:min(len(summary.Libraries), maxLibraries)] {
		rows = append(rows, coverage.Row{Subject: coverage.SubjectLibrary, Name: coverage.Plain(path), State: coverage.StateAttached})
	}
	return rows
}

func featureRows(features kernel.Features) []coverage.Row {
	rows := make([]coverage.Row, 0, len(features))
	for _, f := range features {
		row := coverage.Row{Subject: coverage.SubjectFeature, Name: f.Name, State: coverage.StateSupported}
		if f.State != kernel.Supported {
			row.State, row.Reason = coverage.StateMissing, "kernel"
			switch {
			case f.State == kernel.Unknown:
				row.State, row.Reason = coverage.StateUnknown, "not_probed"
			case strings.HasPrefix(f.Name, "CAP_"):
				row.Reason = "capability"
			}
			// What the probe says is more exact than the table.
			if row.Advice = coverage.Plain(f.Reason); row.Advice == "" || f.State == kernel.Unknown {
				row.Advice = coverage.Advice(row.Reason)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// unreadTLS is how the engine asks a source for the TLS implementation behind a connection that cannot be read.
func unreadTLS(src event.Source) func(uint32) string {
	if s, ok := src.(interface{ UnreadTLS(tgid uint32) string }); ok {
		return s.UnreadTLS
	}
	return nil
}
