// SPDX-License-Identifier: Apache-2.0

// Package objectkey makes and reads the keys of payload segments:
// `{class}/yyyy/mm/dd/hh/{host.id}/{ulid}.zip`, in UTC, by the segment's opening time; class is the
// retention class.
//
// A key never carries anything of the payload. In the bucket it stands below the configured prefix and
// the environment (InBucket): metadata has keys without them, so that whoever reads a key reads it within
// the environment that it may see, and no row can name an object of another one.
package objectkey

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

const ext = ".zip"

// DefaultClass is the retention class of what no rule says otherwise of.
const DefaultClass = "default"

var (
	hostID    = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	className = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	pattern   = regexp.MustCompile(`^([a-z][a-z0-9-]{0,31})/\d{4}/\d{2}/\d{2}/\d{2}/([A-Za-z0-9._-]{1,64})/([0-9A-HJKMNP-TV-Z]{26})(\.[a-z0-9]{1,16})?\.zip$`)
)

// New returns the key of a segment of a retention class that was opened at t on the host with the given id.
// Characters of host that a key must not carry are replaced by '-'.
func New(class, host string, t time.Time) string {
	id := ulid.MustNew(ulid.Timestamp(t), ulid.DefaultEntropy())
	return class + t.UTC().Format("/2006/01/02/15/") + safeHost(host) + "/" + id.String() + ext
}

// ValidClass reports whether s can name a retention class: 1 to 32 of a-z, 0-9 and '-', a letter first.
func ValidClass(s string) bool { return className.MatchString(s) }

// Class returns the retention class of a key that is valid; else "".
func Class(key string) string {
	if m := pattern.FindStringSubmatch(key); m != nil {
		return m[1]
	}
	return ""
}

// WithClass returns the key of the same segment in another retention class.
func WithClass(key, class string) string {
	_, rest, _ := strings.Cut(key, "/")
	return class + "/" + rest
}

// InBucket returns the whole name of an object: prefix as it is, then the environment, then the key.
func InBucket(prefix, environment, key string) string { return prefix + environment + "/" + key }

// Segment returns the key of the segment that a key, or the key of a part, is of.
func Segment(key string) string { return Stem(key) + ext[1:] }

// Stem returns what the keys of a segment and of its parts begin with.
func Stem(key string) string {
	dir, name := key[:strings.LastIndexByte(key, '/')+1], key[strings.LastIndexByte(key, '/')+1:]
	stem, _, _ := strings.Cut(name, ".")
	return dir + stem + "."
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
	id, err := ulid.Parse(m[3])
	if err != nil {
		return time.Time{}
	}
	return ulid.Time(id.Time())
}

// Validate returns an error unless key has the shape that New or Part gives.
func Validate(key string) error {
	if !pattern.MatchString(key) {
		return fmt.Errorf("object key %q is not class/yyyy/mm/dd/hh/host/ulid.zip", key)
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
