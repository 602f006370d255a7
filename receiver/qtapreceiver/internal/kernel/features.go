// SPDX-License-Identifier: Apache-2.0

package kernel

import "strings"

// State says whether this host has a feature.
type State uint8

const (
	// Unknown means that it could not be found out; Reason says why.
	Unknown State = iota
	// Supported means that it is there.
	Supported
	// Missing means that it is not there; Reason says what follows or how to get it.
	Missing
)

// String returns the state in lower case.
func (s State) String() string {
	return [...]string{"unknown", "supported", "missing"}[s]
}

// Feature is something of the kernel or of this process's rights that the capture uses.
type Feature struct {
	Name  string
	State State
	// Required features fail Open when missing. Without the others the capture sees less.
	Required bool
	Reason   string
}

// Features is the report of Probe.
type Features []Feature

// Get returns the state of the named feature.
func (f Features) Get(name string) State {
	for i := range f {
		if f[i].Name == name {
			return f[i].State
		}
	}
	return Unknown
}

// MissingError lists every required feature that is missing.
type MissingError struct{ Features Features }

// Error names them all, each with what to do.
func (e *MissingError) Error() string {
	parts := make([]string, len(e.Features))
	for i, f := range e.Features {
		parts[i] = f.Name
		if f.Reason != "" {
			parts[i] += " (" + f.Reason + ")"
		}
	}
	return "this host or process lacks what the capture needs: " + strings.Join(parts, "; ")
}

// check returns a MissingError when a required feature is missing.
func (f Features) check() error {
	var missing Features
	for _, x := range f {
		if x.Required && x.State == Missing {
			missing = append(missing, x)
		}
	}
	if missing == nil {
		return nil
	}
	return &MissingError{missing}
}

// Summary says what a Capture attached, for the operator.
type Summary struct {
	Cgroup   string
	Features Features
	// Libraries are the files whose TLS secrets are captured, as they were found.
	Libraries []string
}
