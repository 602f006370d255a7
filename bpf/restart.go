// SPDX-License-Identifier: Apache-2.0

package bpf

// RestartVersion is the version of RestartEntry. State of another version is not read.
const RestartVersion = 1

// RestartDirection is struct restart_direction: one direction of a TLS connection.
type RestartDirection struct {
	// Sequence is the number of the next record, Offset where it begins in the TCP stream.
	Sequence, Offset uint64
	Secret, MAC      [48]byte
	IV               [12]byte
	SecretSize       uint8
	MACSize          uint8
	Flags            uint8
	_                uint8
}

// RestartEntry is struct restart_entry, of the connection whose socket's cookie is its key. The entry
// with key 0 is the collector's own.
type RestartEntry struct {
	Version, TGID uint32
	// Time is when it was written, TTL how long after the collector's last sign of life all is
	// forgotten: nanoseconds of CLOCK_BOOTTIME.
	Time, TTL uint64
	// Start is that of the connection in Unix nanoseconds.
	Start                        int64
	ClientISN, ServerISN         uint32
	Records, Requests, Exchanges uint32
	Cipher                       uint16
	Role, Flags                  uint8
	NameSize, ProtocolSize       uint8
	_                            [6]byte
	Client, Server               RestartDirection
	Name                         [128]byte
	Protocol                     [16]byte
}
