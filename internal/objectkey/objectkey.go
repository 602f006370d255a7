// SPDX-License-Identifier: Apache-2.0

// Package objectkey makes and reads the keys of payload segments:
// `yyyy/mm/dd/hh/{host.id}/{ulid}.zip`, in UTC, by the segment's opening time.
//
// A key never carries anything of the payload. `qpoint_s3` and `pulse_api` each prepend
// their configured prefix.
package objectkey

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

const ext = ".zip"

var (
	hostID  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	pattern = regexp.MustCompile(`^\d{4}/\d{2}/\d{2}/\d{2}/([A-Za-z0-9._-]{1,64})/([0-9A-HJKMNP-TV-Z]{26})(\.[a-z0-9]{1,16})?\.zip$`)
)

// New returns the key of a segment opened at t on the host with the given id.
// Characters of host that a key must not carry are replaced by '-'.
func New(host string, t time.Time) string {
	id := ulid.MustNew(ulid.Timestamp(t), ulid.DefaultEntropy())
	return t.UTC().Format("2006/01/02/15/") + safeHost(host) + "/" + id.String() + ext
}

// Part returns the key under which an incomplete group of the segment is stored.
// part is 1 to 16 lower-case letters or digits.
func Part(key, part string) string {
	return strings.TrimSuffix(key, ext) + "." + part + ext
}

// Opened returns the opening time of a segment, in whole milliseconds, from a key that is valid; else the zero time.
func Opened(key string) time.Time {
	m := pattern.FindStringSubmatch(key)
	if m == nil {
		return time.Time{}
	}
	id, err := ulid.Parse(m[2])
	if err != nil {
		return time.Time{}
	}
	return ulid.Time(id.Time())
}

// Validate returns an error unless key has the shape that New or Part gives.
func Validate(key string) error {
	if !pattern.MatchString(key) {
		return fmt.Errorf("object key %q is not yyyy/mm/dd/hh/host/ulid.zip", key)
	}
	return nil
}

func safeHost(host string) string {
	if hostID.MatchString(host) {
		return host
	}
	b := []byte(host)
	if len(b) > 64 {
		b = b[:64]
	}
	for i, c := range b {
		if !hostID.Match([]byte{c}) {
			b[i] = '-'
		}
	}
	if len(b) == 0 {
		return "unknown"
	}
	return string(b)
}
