// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"debug/elf"
	"time"
)

// unreadFor is how long it is known of a process that is gone what it used: its connections may end later.
const unreadFor = time.Minute

// unread is the TLS implementation of a process that has no key source.
type unread struct {
	name string
	seen time.Time
}

// implementations are what a process has mapped.
type implementations struct {
	readable bool
	unread   []string
}

func (u *implementations) add(p *keyProbe) {
	switch {
	case p == nil:
	case len(p.links) > 0:
		u.readable = true
	case p.unread != "":
		u.unread = append(u.unread, p.unread)
	}
}

// name is the only implementation of TLS that the process has. With two of them it is not known which one a
// connection is of.
func (u *implementations) name() string {
	if u.readable || len(u.unread) == 0 {
		return ""
	}
	for _, name := range u.unread[1:] {
		if name != u.unread[0] {
			return ""
		}
	}
	return u.unread[0]
}

// unreadExport recognises TLS implementations without a key source by what their files export.
func unreadExport(f *elf.File) string {
	for symbol, name := range map[string]string{"JNI_CreateJavaVM": unreadJava, "SSL_ImportFD": unreadNSS} {
		if _, err := lookup(f, symbol); err == nil {
			return name
		}
	}
	return ""
}

func (k *keyProbes) noteUnread(pid int, use implementations) {
	k.unreadMu.Lock()
	defer k.unreadMu.Unlock()
	name := use.name()
	if name == "" {
		delete(k.unread, pid)
	} else if len(k.unread) < maxKnown {
		k.unread[pid] = unread{name, time.Now()}
	}
}

// forgetUnread drops what is known of processes that have been gone for a while.
func (k *keyProbes) forgetUnread(alive map[int]bool) {
	k.unreadMu.Lock()
	defer k.unreadMu.Unlock()
	for pid, u := range k.unread {
		if alive[pid] {
			u.seen = time.Now()
			k.unread[pid] = u
		} else if time.Since(u.seen) > unreadFor {
			delete(k.unread, pid)
		}
	}
}

// UnreadTLS names the TLS implementation of a process when it is one whose secrets cannot be captured, and the
// only one that the process uses: boringssl, java, nss, openssl or rustls. It may be called at any time.
func (c *Capture) UnreadTLS(tgid uint32) string {
	if c.keys == nil {
		return ""
	}
	c.keys.unreadMu.Lock()
	defer c.keys.unreadMu.Unlock()
	return c.keys.unread[int(tgid)].name
}
