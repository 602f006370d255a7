// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"net/netip"
	"strings"

	"golang.org/x/net/publicsuffix"
)

const (
	truncatedIPv4 = 24 // bits that stay
	truncatedIPv6 = 48
	keyedLabel    = "h-" // of host names that stand for others: h-2026a-0123…
)

// zone is a domain and what becomes of the names in it: keep, mask for the registrable domain, or keyed.
type zone struct {
	name string
	mode mode
}

// canonicalZone is the form that zones are compared in.
func canonicalZone(s string) string {
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(s, "."), "."))
}

// host cleans a DNS name or an IP address without a zone; ok is false for anything else.
func (p *policy) host(s string) (clean string, ok bool) {
	if !hostForm(s) || p.secret(s) {
		return "", false
	}
	// A failed parse allocates; every address has a colon or ends in a digit.
	if last := s[len(s)-1]; strings.IndexByte(s, ':') >= 0 || last >= '0' && last <= '9' {
		if addr, err := netip.ParseAddr(s); err == nil {
			return p.address(s, addr), true
		}
	}
	if p.addresses != keep {
		// The name of an address in the DNS (RFC 1035 §3.5, RFC 3596 §2.5) is the address.
		for _, reverse := range [...]string{"in-addr.arpa", "ip6.arpa"} {
			if len(s) > len(reverse) && strings.HasSuffix(strings.ToLower(strings.TrimSuffix(s, ".")), "."+reverse) {
				return reverse, true
			}
		}
	}
	// What a zone leaves may be in another zone.
	for range p.zones {
		next := p.name(s)
		if next == s {
			break
		}
		s = next
	}
	return s, true
}

// name cleans a valid DNS name by the longest zone that it is in.
func (p *policy) name(s string) string {
	if len(p.zones) == 0 {
		return s
	}
	lower := strings.ToLower(strings.TrimSuffix(s, "."))
	for _, z := range p.zones {
		labels, ok := strings.CutSuffix(lower, z.name)
		if !ok || labels != "" && labels[len(labels)-1] != '.' {
			continue
		}
		labels = strings.TrimSuffix(labels, ".")
		switch {
		case z.mode == mask:
			if domain, err := publicsuffix.EffectiveTLDPlusOne(lower); err == nil {
				return domain
			}
			return z.name
		case z.mode == keep || labels == "":
		default:
			if pseudonym, ok := strings.CutPrefix(labels, keyedLabel); ok && p.keys.isName(pseudonym, "-") {
				return s
			}
			return keyedLabel + p.keys.name("host", labels, "-") + "." + z.name
		}
		return s
	}
	return s
}

// address cleans an address, whose text is s.
func (p *policy) address(s string, addr netip.Addr) string {
	switch p.addresses {
	case keep:
		return s
	case keyed:
		return p.keys.address(addr).String()
	}
	bits := truncatedIPv6
	if addr = addr.Unmap(); addr.Is4() {
		bits = truncatedIPv4
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return ""
	}
	return prefix.Addr().String()
}

// validDNSName accepts names of at least one label, and no address.
func validDNSName(s string) bool {
	_, err := netip.ParseAddr(s)
	return err != nil && strings.IndexByte(s, ':') < 0 && len(s) <= maxHost && hostForm(s)
}
