// SPDX-License-Identifier: Apache-2.0

// Package privacy holds the two facts that components must agree on to keep payloads and
// metadata apart: which anonymization policies run in this process, and that a guard checks
// the pipeline graph.
package privacy

import "sync"

// Guard is implemented by the `privacy_guard` extension. `qtap_payload` refuses to start
// without one, unless it is told `unguarded: true`.
type Guard interface {
	// GuardsPayloads reports that the extension has checked (or will check, before any
	// receiver starts) every path of the pipeline graph.
	GuardsPayloads() bool
}

var policies = struct {
	sync.RWMutex
	refs map[string]int
}{refs: map[string]int{}}

// RegisterPolicy makes the hash of an anonymization policy known to this process and returns
// a func that takes it back. It is reference-counted: several processors may share a policy.
func RegisterPolicy(hash string) (unregister func()) {
	policies.Lock()
	policies.refs[hash]++
	policies.Unlock()
	var once sync.Once
	return func() {
		once.Do(func() {
			policies.Lock()
			defer policies.Unlock()
			if policies.refs[hash]--; policies.refs[hash] == 0 {
				delete(policies.refs, hash)
			}
		})
	}
}

// PolicyRegistered reports whether hash was registered by a processor of this process.
func PolicyRegistered(hash string) bool {
	policies.RLock()
	defer policies.RUnlock()
	return hash != "" && policies.refs[hash] > 0
}
