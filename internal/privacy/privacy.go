// SPDX-License-Identifier: Apache-2.0

// Package privacy holds the two facts that components must agree on to keep payloads and
// metadata apart: which anonymization policies run in this process, and that a guard checks
// the pipeline graph.
package privacy

import (
	"maps"
	"slices"
	"sync"
)

// Guard is implemented by the `privacy_guard` extension. `qtap_payload` refuses to start
// without one, unless it is told `unguarded: true`.
type Guard interface {
	// GuardsPayloads reports that the extension has checked (or will check, before any
	// receiver starts) every path of the pipeline graph.
	GuardsPayloads() bool
}

// Policy says what an anonymization does, without any secret. Its JSON is part of `pulse_api`'s /api/v1/config.
type Policy struct {
	// Hash is the stamp on everything that passed the policy.
	Hash string `json:"hash"`
	// Version is that of the rules.
	Version string `json:"version"`
	// Environment is stamped on everything; empty is the client's own.
	Environment string `json:"environment"`
	// Modes are mask, drop, hmac or keep, by kind of value.
	Modes map[string]string `json:"modes"`
	// Addresses is keep, truncate or hmac.
	Addresses string `json:"addresses"`
	// Domains are the zones of host names that do not simply stay.
	Domains []Domain `json:"domains"`
	// HMACKeys are the ids of the keys of hmac, the current one first.
	HMACKeys []string `json:"hmac_keys"`
	// PathWords is how many different words a position of a path may have.
	PathWords int `json:"path_words"`
}

// Domain is what becomes of the host names in a zone: keep, registrable or hmac.
type Domain struct {
	Zone string `json:"zone"`
	Mode string `json:"mode"`
}

var policies = struct {
	sync.RWMutex
	refs  map[string]int
	known map[string]Policy
}{refs: map[string]int{}, known: map[string]Policy{}}

// RegisterPolicy makes the hash of an anonymization policy known to this process and returns
// a func that takes it back. It is reference-counted: several processors may share a policy.
func RegisterPolicy(hash string) (unregister func()) { return Register(Policy{Hash: hash}) }

// Register is RegisterPolicy of a policy that Policies tells of.
func Register(p Policy) (unregister func()) {
	hash := p.Hash
	policies.Lock()
	policies.refs[hash]++
	if p.Version != "" {
		policies.known[hash] = p
	}
	policies.Unlock()
	var once sync.Once
	return func() {
		once.Do(func() {
			policies.Lock()
			defer policies.Unlock()
			if policies.refs[hash]--; policies.refs[hash] == 0 {
				delete(policies.refs, hash)
				delete(policies.known, hash)
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

// Policies returns the registered policies that were described, by hash.
func Policies() []Policy {
	policies.RLock()
	defer policies.RUnlock()
	list := make([]Policy, 0, len(policies.known))
	for _, hash := range slices.Sorted(maps.Keys(policies.known)) {
		list = append(list, policies.known[hash])
	}
	return list
}
