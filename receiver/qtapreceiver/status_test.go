// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
)

// told is a host that notes the latest status.
type told struct {
	component.Host
	latest *componentstatus.Event
}

func (h *told) Report(e *componentstatus.Event) { h.latest = e }

// TestConditions: what one part takes back, another has not.
func TestConditions(t *testing.T) {
	host := &told{Host: componenttest.NewNopHost()}
	var c conditions
	governor, rules := c.of("limits", host), c.of("rules_file", host)
	wrong, over := errors.New("wrong rules"), errors.New("over the limits")
	ok := componentstatus.NewEvent(componentstatus.StatusOK)

	componentstatus.ReportStatus(rules, componentstatus.NewRecoverableErrorEvent(wrong))
	require.ErrorIs(t, host.latest.Err(), wrong)
	componentstatus.ReportStatus(governor, componentstatus.NewRecoverableErrorEvent(over))
	require.ErrorIs(t, host.latest.Err(), wrong)
	require.ErrorIs(t, host.latest.Err(), over)
	componentstatus.ReportStatus(governor, ok)
	require.Equal(t, componentstatus.StatusRecoverableError, host.latest.Status())
	require.ErrorIs(t, host.latest.Err(), wrong)
	require.NotErrorIs(t, host.latest.Err(), over)
	componentstatus.ReportStatus(rules, ok)
	require.Equal(t, componentstatus.StatusOK, host.latest.Status())
	componentstatus.ReportStatus(governor, componentstatus.NewPermanentErrorEvent(over))
	require.Equal(t, componentstatus.StatusPermanentError, host.latest.Status())
}
