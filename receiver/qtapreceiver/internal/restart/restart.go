// SPDX-License-Identifier: Apache-2.0

// Package restart keeps what is needed to go on reading TLS connections when the collector is started
// again: in a BPF map that is pinned in a BPF file system and stays in the kernel's memory, readable by
// root alone. Nothing of it is ever on a disk.
package restart

import (
	"github.com/qpoint-io/otelcol-qpoint/bpf"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/tls"
)

// Session is what is kept of one connection. It holds secrets: Wipe it.
type Session struct {
	TLS  tls.State
	Role event.Role
	// Start is that of the connection, in Unix nanoseconds.
	Start int64
	// ClientISN and ServerISN are the initial sequence numbers: they prove that it is the same connection.
	ClientISN, ServerISN uint32
	// Records, Requests and Exchanges are how many there were.
	Records, Requests, Exchanges uint32
	// Waits and Quiet are those of http1.Parser.
	Waits, Quiet bool
}

// Wipe clears the secrets.
func (s *Session) Wipe() { s.TLS.Wipe() }

const (
	flagResumed = 1 << iota
	flagWaits
	flagQuiet
	flagFull

	flagEncryptThenMAC = 1 // of a direction
)

// encode fills in an entry; a name that is too long for it is left out.
func (s *Session) encode(e *bpf.RestartEntry) {
	*e = bpf.RestartEntry{
		Version: bpf.RestartVersion, Start: s.Start, ClientISN: s.ClientISN, ServerISN: s.ServerISN,
		Records: s.Records, Requests: s.Requests, Exchanges: s.Exchanges, Cipher: s.TLS.Cipher, Role: uint8(s.Role),
	}
	for flag, set := range map[uint8]bool{flagResumed: s.TLS.Resumed, flagFull: s.TLS.Full, flagWaits: s.Waits, flagQuiet: s.Quiet} {
		if set {
			e.Flags |= flag
		}
	}
	if len(s.TLS.SNI) <= len(e.Name) {
		e.NameSize = uint8(copy(e.Name[:], s.TLS.SNI))
	}
	if len(s.TLS.ALPN) <= len(e.Protocol) {
		e.ProtocolSize = uint8(copy(e.Protocol[:], s.TLS.ALPN))
	}
	encodeDirection(&e.Client, &s.TLS.Client)
	encodeDirection(&e.Server, &s.TLS.Server)
}

func encodeDirection(to *bpf.RestartDirection, d *tls.DirectionState) {
	*to = bpf.RestartDirection{
		Sequence: d.Sequence, Offset: d.Offset, Secret: d.Secret, MAC: d.MAC, IV: d.IV, SecretSize: uint8(d.Size), MACSize: uint8(d.MACSize),
	}
	if d.EncryptThenMAC {
		to.Flags = flagEncryptThenMAC
	}
}

// decode says whether e is an entry of this version.
func (s *Session) decode(e *bpf.RestartEntry) bool {
	if e.Version != bpf.RestartVersion || int(e.NameSize) > len(e.Name) || int(e.ProtocolSize) > len(e.Protocol) {
		return false
	}
	*s = Session{
		TLS: tls.State{
			Cipher: e.Cipher, SNI: string(e.Name[:e.NameSize]), ALPN: string(e.Protocol[:e.ProtocolSize]), Resumed: e.Flags&flagResumed != 0, Full: e.Flags&flagFull != 0,
			Client: decodeDirection(&e.Client), Server: decodeDirection(&e.Server),
		},
		Role: event.Role(e.Role), Start: e.Start, ClientISN: e.ClientISN, ServerISN: e.ServerISN,
		Records: e.Records, Requests: e.Requests, Exchanges: e.Exchanges,
		Waits: e.Flags&flagWaits != 0, Quiet: e.Flags&flagQuiet != 0,
	}
	return true
}

func decodeDirection(d *bpf.RestartDirection) tls.DirectionState {
	return tls.DirectionState{
		Sequence: d.Sequence, Offset: d.Offset, Secret: d.Secret, Size: int(d.SecretSize), IV: d.IV,
		MAC: d.MAC, MACSize: int(d.MACSize), EncryptThenMAC: d.Flags&flagEncryptThenMAC != 0,
	}
}

func wipe(e *bpf.RestartEntry) {
	e.Client, e.Server = bpf.RestartDirection{}, bpf.RestartDirection{}
}
