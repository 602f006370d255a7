// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"errors"
	"maps"
	"slices"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
)

// conditions are what is wrong with the receiver at present. A component has one status, but several parts of this one report:
// a part that is well again must not take back what another has said.
type conditions struct {
	mu    sync.Mutex
	wrong map[string]error // by part
}

// of returns the host for one part of the receiver.
func (c *conditions) of(part string, host component.Host) component.Host {
	return partHost{host, c, part}
}

type partHost struct {
	component.Host
	all  *conditions
	part string
}

// Report implements componentstatus.Reporter.
func (h partHost) Report(e *componentstatus.Event) {
	h.all.mu.Lock()
	defer h.all.mu.Unlock()
	if e.Status() == componentstatus.StatusRecoverableError {
		if h.all.wrong == nil {
			h.all.wrong = map[string]error{}
		}
		h.all.wrong[h.part] = e.Err()
	} else {
		delete(h.all.wrong, h.part)
	}
	var errs []error
	for _, part := range slices.Sorted(maps.Keys(h.all.wrong)) {
		errs = append(errs, h.all.wrong[part])
	}
	if len(errs) > 0 {
		e = componentstatus.NewRecoverableErrorEvent(errors.Join(errs...))
	}
	componentstatus.ReportStatus(h.Host, e)
}
