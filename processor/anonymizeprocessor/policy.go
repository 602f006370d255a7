// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/qpoint-io/otelcol-qpoint/internal/detect"
	"github.com/qpoint-io/otelcol-qpoint/internal/privacy"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// policyVersion names the rules of this package and of internal/detect. Raise it with every
// change of what they keep, so that the stamp on stored data says which rules it passed.
const policyVersion = "2"

// mode is what becomes of a value of some kind.
type mode uint8

const (
	mask  mode = iota // a placeholder takes its place
	drop              // the attribute is removed
	keyed             // a placeholder with a keyed hash takes its place
	keep
)

var modeNames = [...]string{mask: "mask", drop: "drop", keyed: "hmac", keep: "keep"}

// policy is what a configuration asks for. It does not change.
type policy struct {
	modes     [32]mode // by detect.Kind
	plain     bool     // every mode is mask: a path is its own template
	addresses mode     // keep, keyed, or mask for truncate
	zones     []zone   // longest first
	keys      keyring
}

func newPolicy(cfg *Config) (*policy, error) {
	p := &policy{plain: true}
	for name, m := range cfg.Modes {
		k, _ := kindOf(name)
		p.modes[k] = mode(slices.Index(modeNames[:], m))
		p.plain = p.plain && p.modes[k] == mask
	}
	switch cfg.Addresses {
	case "truncate":
		p.addresses = mask
	case "hmac":
		p.addresses = keyed
	default:
		p.addresses = keep
	}
	for _, d := range cfg.Domains {
		m := keep
		switch d.Mode {
		case "registrable":
			m = mask
		case "hmac":
			m = keyed
		}
		p.zones = append(p.zones, zone{name: canonicalZone(d.Zone), mode: m})
	}
	slices.SortStableFunc(p.zones, func(a, b zone) int { return len(b.name) - len(a.name) })
	var err error
	p.keys, err = newKeyring(cfg.HMACKeys)
	return p, err
}

// secret reports whether s holds a value of a kind that does not stay, of those whose proof is a checksum or the form
// of a token. It is for places that have no room for a placeholder, where a false alarm removes the attribute.
func (p *policy) secret(s string) bool {
	found := false
	detect.ScanString(detect.None, s, func(k detect.Kind, _, _ int) bool {
		switch k {
		case detect.IP, detect.Phone, detect.Secret: // host names and ids look like these
			return true
		}
		found = p.modes[k] != keep
		return !found
	})
	return found
}

// describe returns what /api/v1/config shows.
func describe(cfg *Config) privacy.Policy {
	d := privacy.Policy{
		Hash: policyHash(cfg), Version: policyVersion, Environment: cfg.environment(), Modes: map[string]string{},
		Addresses: cfg.Addresses, PathWords: cfg.PathWords, Domains: []privacy.Domain{}, HMACKeys: []string{},
	}
	for _, k := range moded {
		d.Modes[k.String()] = modeNames[mask]
	}
	for k, m := range cfg.Modes {
		d.Modes[k] = m
	}
	for _, z := range cfg.Domains {
		d.Domains = append(d.Domains, privacy.Domain{Zone: canonicalZone(z.Zone), Mode: z.Mode})
	}
	for _, k := range cfg.HMACKeys {
		d.HMACKeys = append(d.HMACKeys, k.ID)
	}
	return d
}

// policyHash returns the stamp of a policy: 16 hex digits of the SHA-256 of a canonical
// description of the rules' version, the allow-list and the configuration. Of keys it has the ids.
func policyHash(cfg *Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version=%s\nenvironment=%s\naddresses=%s\npath_words=%d\n", policyVersion, cfg.environment(), cfg.Addresses, cfg.PathWords)
	for _, k := range moded {
		if m := cfg.Modes[k.String()]; m != "" && m != modeNames[mask] {
			fmt.Fprintf(&b, "mode:%s=%s\n", k, m)
		}
	}
	zones := make([]string, len(cfg.Domains))
	for i, d := range cfg.Domains {
		zones[i] = fmt.Sprintf("zone:%s=%s\n", canonicalZone(d.Zone), d.Mode)
	}
	slices.Sort(zones)
	b.WriteString(strings.Join(zones, ""))
	for _, k := range cfg.HMACKeys {
		fmt.Fprintf(&b, "key:%s\n", k.ID)
	}
	keys := semantic.Keys()
	slices.Sort(keys)
	for _, k := range keys {
		fmt.Fprintf(&b, "%s=%d\n", k, semantic.ClassOf(k))
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:8])
}
