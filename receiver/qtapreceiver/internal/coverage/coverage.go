// SPDX-License-Identifier: Apache-2.0

// Package coverage keeps the account of what is seen and what is not: features of the kernel, libraries, processes with
// TLS traffic, and what was given up. Its texts come from fixed tables, so that no payload can be among them.
package coverage

import (
	"cmp"
	"slices"
	"strings"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/process"
)

// Subjects of rows.
const (
	SubjectFeature = "feature"
	SubjectLibrary = "library"
	SubjectProcess = "process"
	SubjectDrops   = "drops"
	// SubjectGovernor is how deep connections are looked into within the limits of the configuration.
	SubjectGovernor = "governor"
)

// States of rows.
const (
	StateSupported = "supported"
	StateMissing   = "missing"
	StateUnknown   = "unknown"
	StateAttached  = "attached"
	StateSeen      = "seen"
	StateNotSeen   = "not_seen"
	StateDropped   = "dropped"
)

const (
	// maxEntries bounds the rows of processes; what is more is counted under reasonFull.
	maxEntries = 1024
	// maxAdvice is what `anonymize` lets pass.
	maxAdvice = 256
	// reasonFull is the reason of connections whose row did not fit.
	reasonFull = "too_many_processes"
)

// Row is one line of the report.
type Row struct {
	Subject, Name, State, Reason, Advice string
	Count                                uint64
	// Process is set on rows of SubjectProcess: the newest one that was counted.
	Process *process.Info
}

// advice says what to do about a reason.
var advice = map[string]string{
	"attached_late":        "the connection was open before the capture. New connections are read. Restart the program to have all of them",
	"no_secret":            "the TLS library of the program has no key source here, or the program was new and its handshake came before the attach. See What it cannot see in the README of qtap",
	"no_secret_boringssl":  "BoringSSL is inside the program, but not in a form that is known here. Let it write a key log and name that in keylog_files. Report the program and its version",
	"no_secret_java":       "Java compiles its TLS when it runs, so no function can be probed. Let an agent of your own write a key log and name that in keylog_files",
	"no_secret_nss":        "NSS keeps its secrets behind handles. If its build heeds SSLKEYLOGFILE, start the program with it and name that file in keylog_files",
	"no_secret_openssl":    "OpenSSL is inside the program, but not in a form that is known here. Let it write a key log and name that in keylog_files. Report the program and its version",
	"no_secret_rustls":     "rustls is compiled into the program without a function that can be told. If the program heeds SSLKEYLOGFILE, set it and name that file in keylog_files",
	"secret_unreadable":    "the program had moved the secret out of its memory or its page was not there. New connections are read. Report the program if it happens again",
	"unsupported_cipher":   "only AES (GCM, CCM and CBC) and ChaCha20-Poly1305 are read. Enable one of them in the program or its peer",
	"unsupported_version":  "only TLS 1.2 and 1.3 are read. Enable one of them in the program or its peer",
	"gap_in_handshake":     "packets of the handshake were not captured. Raise ring_size_mib if events are lost",
	"handshake_malformed":  "the bytes are not a TLS handshake that can be followed. Report the program and its version",
	"decrypt_failed":       "a secret was found that does not fit. Report the program and its version",
	"renegotiation":        "a TLS 1.2 renegotiation was not seen whole. Disable it in the program",
	"resync_failed":        "packets were lost and the place in the stream was not found again. Raise ring_size_mib if events are lost",
	"buffer_limit":         "too much waited for a secret or a lost packet. Raise ring_size_mib if events are lost",
	"unknown_protocol":     "the bytes are neither HTTP/1 nor HTTP/2. Its connections have their records",
	"no_request":           "the connection ended before a whole request was seen, as those of health checks do",
	"protocol_unsupported": "the protocol is known, but not read yet. Its connections have their records",
	"capability":           "run as root, or grant the capability to the collector",
	"kernel":               "use a newer kernel, see What it needs in the README of qtap",
	"not_probed":           "it cannot be found out without the missing capabilities",
	"ring_full":            "raise ring_size_mib, or exclude ports and processes",
	"queue_full":           "a pipeline is slower than the host: look at its exporters, or sample with rules",
	"refused":              "a pipeline refused the data: look at the errors of its processors and exporters",
	"detached":             "no pipeline takes this signal of the receiver",
	"failed":               "the receiver has failed and is detached: look at the log of the collector, report what it says, and restart it",
	"held_full":            "too many packets waited for their connection: raise ring_size_mib",
	"unclaimed":            "packets came without a socket of their own: the cgroup may be wrong, or events were lost",
	"rule":                 "rules keep no more than records of connections. Change them to see requests",
	"rule_error":           "an expression of a rule failed: correct it",
	"rule_unknown":         "a rule looks at names of a pod that are not known: mount /var/log/pods into the collector",
	"limits_cpu":           "the collector used more than limits::cpu, so it looks less deep. Raise that, exclude ports and processes, or sample with rules",
	"limits_memory":        "the collector used more than limits::memory_mib, so it looks less deep. Raise that, or lower GOMEMLIMIT so that garbage is collected earlier",
	"instrumented":         "the program sends its spans itself and instrumented is suppress: its connections have their records",

	// What was given up, by stage. Some of it is no loss, and says so.
	"filtered":           "no loss: own connections, and what the configuration leaves out",
	"unread":             "no loss: connections that nobody can read were not copied any more. The rows of processes say why",
	"over_budget":        "the collector was over its limits, see the row of the governor. Raise limits, exclude ports and processes, or sample with rules",
	"body_cap":           "no loss: bodies past max_body_size were not copied. Raise it to keep more",
	"duplicate":          "no loss: bytes that were sent again",
	"after_close":        "no loss: what came after the end of its connection",
	"conflict":           "bytes that contradict those taken before, as in forged packets, are not believed",
	"not_believed":       "no loss: packets that the receiving socket refuses, too, because they are damaged, forged or out of place",
	"out_of_window":      "packets outside the window of their connection, as forged ones are, are not believed",
	"late":               "bytes came after they were given up as lost. Raise ring_size_mib if events are lost",
	"unanchored":         "packets of connections whose beginning was not seen",
	"opaque":             "bytes of connections that carry no protocol that is read: these have their records",
	"gap":                "TLS records that lost packets have spoilt. Raise ring_size_mib if events are lost",
	"not_visible":        "bytes of TLS connections that cannot be read. The rows of processes say why",
	"empty_line":         "no loss: empty lines between messages",
	"control":            "no loss: frames that steer an HTTP/2 connection",
	"push":               "responses that a server pushed are not reported",
	"join":               "the rest of messages that were under way when the capture began",
	"resync":             "bytes between a loss and the next message that is sure. Raise ring_size_mib if events are lost",
	"unmatched_response": "responses whose requests were not seen. Raise ring_size_mib if events are lost",
	"unmatched_stream":   "HTTP/2 streams whose beginnings were not seen. Raise ring_size_mib if events are lost",
	"tunnel":             "no loss here: what a tunnel carries is read as a connection of its own",
	"skipped":            "bytes that are no DNS message",
	"malformed":          "datagrams on port 53 that are no DNS message, or ask more than one question",
	"cpu_budget":         "no loss of data: messages that findings did not look at. Raise findings::cpu",
	"size":               "no loss of data: bodies that findings did not look at whole. Raise findings::max_body_size",
	"coding":             "no loss of data: findings cannot look into this content coding",
	"syntax":             "no loss of data: what is said to be JSON and is not",
	"places":             "no loss of data: one process had more different findings than are told apart",
	"too_many":           "more programs ask for names at once than are followed",
	reasonFull:           "more executables with TLS traffic than are listed: their connections have their records",
}

// Advice returns what to do about a reason, "" when there is nothing to do.
func Advice(reason string) string { return advice[reason] }

// Plain makes a text from the kernel or this host fit into an attribute that `anonymize` lets pass: names, punctuation and
// spaces.
func Plain(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune(" ._:/@+,()[]~-", r):
			return r
		case r == ';':
			return ','
		}
		return ' '
	}, s)
	return s[:min(len(s), maxAdvice)]
}

// Entry is the row that a connection is counted in.
type Entry struct {
	Row
	key   key
	dirty bool
}

type key struct{ executable, name, container, service, state, reason string }

// Tracker counts connections by process and by whether they are seen. It is used by one goroutine.
type Tracker struct {
	entries map[key]*Entry
	full    uint64
}

// NewTracker returns an empty tracker.
func NewTracker() *Tracker { return &Tracker{entries: map[key]*Entry{}} }

// Note counts a connection of p, or moves it from the entry it was counted in before (nil: none).
// It returns the entry that it is counted in now; nil when the table is full.
func (t *Tracker) Note(p *process.Info, reason string, before *Entry) *Entry {
	k := key{p.ExecutablePath, p.ExecutableName, p.ContainerID, p.ServiceName, StateSeen, reason}
	if reason != "" {
		k.state = StateNotSeen
	}
	if before != nil && before.key == k {
		return before
	}
	e := t.entries[k]
	if e == nil {
		if len(t.entries) >= maxEntries {
			if before == nil {
				t.full++
			}
			return before
		}
		e = &Entry{key: k, dirty: true, Row: Row{Subject: SubjectProcess, Name: p.ExecutableName, State: k.state, Reason: reason, Advice: Advice(reason)}}
		t.entries[k] = e
	}
	if before != nil {
		before.Count--
	}
	e.Count++
	e.Process = p
	return e
}

// Changed says whether there are rows that were not reported yet.
func (t *Tracker) Changed() bool {
	for _, e := range t.entries {
		if e.dirty {
			return true
		}
	}
	return false
}

// Report returns the rows of processes, or only the new ones, in a fixed order.
func (t *Tracker) Report(all bool) []Row {
	var rows []Row
	for _, e := range t.entries {
		if all || e.dirty {
			rows = append(rows, e.Row)
			e.dirty = false
		}
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Process.ExecutablePath, b.Process.ExecutablePath), cmp.Compare(a.Process.ContainerID, b.Process.ContainerID),
			cmp.Compare(a.State, b.State), cmp.Compare(a.Reason, b.Reason))
	})
	if t.full > 0 && all {
		rows = append(rows, Row{Subject: SubjectDrops, Name: "coverage", State: StateDropped, Reason: reasonFull, Advice: Advice(reasonFull), Count: t.full})
	}
	return rows
}
