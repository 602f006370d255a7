// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"encoding/hex"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// network is a range of addresses, both included, IPv4 mapped into IPv6.
type network struct{ low, high netip.Addr }

// typed reads the value as the field's kind wants it. It returns what is wrong, or "".
func (t *term) typed(f *Field) string {
	if t.value.any() && t.op == opIs {
		return "" // key:* means that the field is set, whatever its kind
	}
	ordered := t.op != opIs && t.op != opEqual && t.op != opUnequal
	switch f.Kind {
	case Text, Part:
		if ordered {
			return fmt.Sprintf("%s is text and has no order: write %s:value, * stands for anything", f.Name, f.Name)
		}
		return ""
	case Number, Bytes, Duration:
		return t.number(f)
	}
	if ordered {
		return fmt.Sprintf("%s has no order: write %s:value", f.Name, f.Name)
	}
	if !t.value.literal() {
		return f.Name + " takes no *"
	}
	switch text := t.value[0]; f.Kind {
	case IP:
		n, ok := parseNetwork(text)
		if !ok {
			return fmt.Sprintf("%q is neither an address nor a network such as 10.0.0.0/8", text)
		}
		t.net = n
	case Bool:
		if text != "true" && text != "false" {
			return f.Name + " is true or false"
		}
	case ID8, Fixed8:
		return hexID(text, 16)
	case Fixed16:
		return hexID(text, 32)
	}
	return ""
}

func hexID(text string, digits int) string {
	if _, err := hex.DecodeString(text); err != nil || len(text) != digits {
		return fmt.Sprintf("an id of %d hex digits is expected", digits)
	}
	return ""
}

// number reads a number, a range, or a class such as 5xx, into low and high.
func (t *term) number(f *Field) string {
	if !t.value.literal() {
		return fmt.Sprintf("%s takes no *: compare it, as in %s:>=%s", f.Name, f.Name, example(f.Kind))
	}
	text := t.value[0]
	ordered := t.op != opIs && t.op != opEqual && t.op != opUnequal
	wrong := fmt.Sprintf("%q is none of these: %s", text, forms(f))
	if low, high, ok := strings.Cut(text, ".."); ok {
		a, okA := quantity(low, f.Kind)
		b, okB := quantity(high, f.Kind)
		switch {
		case ordered:
			return "a range takes no comparison"
		case !okA || !okB:
			return wrong
		case a > b:
			return "the range ends before it begins"
		}
		t.low, t.high = a, b
		return ""
	}
	if f.Kind == Number && len(text) == 3 && text[0] >= '1' && text[0] <= '9' && strings.EqualFold(text[1:], "xx") {
		if ordered {
			return "a class such as 5xx takes no comparison"
		}
		t.low = uint64(text[0]-'0') * 100
		t.high = t.low + 99
		return ""
	}
	n, ok := quantity(text, f.Kind)
	if !ok {
		return wrong
	}
	t.low, t.high = n, n
	return ""
}

func example(k Kind) string {
	return map[Kind]string{Number: "500", Bytes: "1mb", Duration: "250ms"}[k]
}

func forms(f *Field) string {
	e := example(f.Kind)
	s := fmt.Sprintf("%s:%s, %s:>=%s, %s:%s..%s", f.Name, e, f.Name, e, f.Name, e, map[Kind]string{Number: "599", Bytes: "1gb", Duration: "2s"}[f.Kind])
	if f.Kind == Number {
		s += fmt.Sprintf(", %s:5xx", f.Name)
	}
	return s
}

var byteUnits = map[string]float64{"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}

// quantity reads a number of a kind in its column's unit.
func quantity(text string, k Kind) (uint64, bool) {
	switch k {
	case Duration:
		d, err := time.ParseDuration(strings.ToLower(text))
		return uint64(max(d, 0)), err == nil && d >= 0
	case Bytes:
		n := strings.TrimRight(strings.ToLower(text), "bkmgti")
		unit, known := byteUnits[strings.ToLower(text)[len(n):]]
		if whole, err := strconv.ParseUint(n, 10, 64); err == nil && unit == 1 {
			return whole, known
		}
		for _, c := range []byte(n) {
			if (c < '0' || c > '9') && c != '.' { // no sign, exponent, infinity
				return 0, false
			}
		}
		v, err := strconv.ParseFloat(n, 64)
		v *= unit
		return uint64(v), known && err == nil && v >= 0 && v < math.MaxUint64/2
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil
}

func parseNetwork(text string) (network, bool) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = netip.AddrFrom16(a.As16())
		return network{a, a}, true
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return network{}, false
	}
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	low, high := p.Masked().Addr().As16(), p.Masked().Addr().As16()
	for i := bits; i < 128; i++ {
		high[i/8] |= 0x80 >> (i % 8)
	}
	return network{netip.AddrFrom16(low), netip.AddrFrom16(high)}, true
}
