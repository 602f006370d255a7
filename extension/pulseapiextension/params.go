// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore/filter"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	defaultRange = 24 * time.Hour
	maxValue     = 512 // bytes of one parameter
	maxExport    = 100_000
)

// params are the query parameters of one request: each known, given once, and valid UTF-8.
type params map[string]string

func parseParams(values url.Values, known []string) (params, error) {
	p := params{}
	for name, v := range values {
		switch {
		case !slices.Contains(known, name):
			return nil, fail(http.StatusBadRequest, "unknown_parameter", fmt.Sprintf("%q is not a parameter of this route: see /api/v1/openapi.yaml", name))
		case len(v) != 1:
			return nil, badParam(name, "is given more than once")
		case len(v[0]) > maxValue && name != "filter" && name != "text" || len(v[0]) > filter.MaxLength || !utf8.ValidString(v[0]):
			return nil, badParam(name, fmt.Sprintf("is longer than %d bytes, or not UTF-8", maxValue))
		}
		p[name] = v[0]
	}
	return p, nil
}

func badParam(name, what string) *problem {
	return fail(http.StatusBadRequest, "bad_parameter", fmt.Sprintf("parameter %q %s", name, what))
}

// span returns the half-open time range [from, to); the last 24 hours when neither is given.
func (p params) span(now time.Time) (from, to time.Time, err error) {
	if to, err = p.time("to", now); err != nil {
		return from, to, err
	}
	if from, err = p.time("from", to.Add(-defaultRange)); err != nil {
		return from, to, err
	}
	if !from.Before(to) {
		return from, to, badParam("from", "is not before \"to\"")
	}
	return from, to, nil
}

func (p params) time(name string, def time.Time) (time.Time, error) {
	s, ok := p[name]
	if !ok {
		return def.UTC(), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	// The store counts nanoseconds in 64 bits.
	if err != nil || t.Year() < 1970 || t.Year() > 2200 {
		return t, badParam(name, "is not an RFC 3339 time such as 2026-01-31T12:00:00Z, between 1970 and 2200")
	}
	return t.UTC(), nil
}

// int is a number from 1 to high.
func (p params) int(name string, def, high int) (int, error) {
	s, ok := p[name]
	if !ok {
		return def, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > high {
		return 0, badParam(name, fmt.Sprintf("is not a number from 1 to %d", high))
	}
	return n, nil
}

// A cursor is the position after a row (8 bytes of Unix nanoseconds, 8 bytes of id) and a hash of
// what it belongs to, so that it cannot be continued with other filters.
const cursorLen = 8 + 8 + 4

func encodeCursor(at time.Time, id [8]byte, of string, s pulsestore.Selection) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(at.UnixNano()))
	b = append(b, id[:]...)
	b = binary.BigEndian.AppendUint32(b, selectionHash(of, s))
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodeCursor(text, of string, s pulsestore.Selection) (at time.Time, id [8]byte, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != cursorLen {
		return at, id, badParam("cursor", "was not given out by this API")
	}
	if binary.BigEndian.Uint32(b[16:]) != selectionHash(of, s) {
		return at, id, badParam("cursor", "belongs to other filters: start again without it")
	}
	copy(id[:], b[8:16])
	return time.Unix(0, int64(binary.BigEndian.Uint64(b))).UTC(), id, nil
}

// selectionHash leaves the time range out: a page that follows live data moves it.
func selectionHash(of string, s pulsestore.Selection) uint32 {
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%s %q %q %q", of, s.Scope.Environment(), s.Scope.Bound(), s.Filter)
	return h.Sum32()
}

func parseTraceID(s string) (id [16]byte, err error) {
	err = parseID(id[:], "trace_id", s)
	return id, err
}

func parseSpanID(s string) (id [8]byte, err error) {
	err = parseID(id[:], "span_id", s)
	return id, err
}

// parseID reads lower-case hex that is not all zero (W3C Trace Context).
func parseID(into []byte, name, s string) error {
	if len(s) == hex.EncodedLen(len(into)) && s == strings.ToLower(s) && strings.Trim(s, "0") != "" {
		if _, err := hex.Decode(into, []byte(s)); err == nil {
			return nil
		}
	}
	return badParam(name, fmt.Sprintf("is not an id of %d hex digits", hex.EncodedLen(len(into))))
}
