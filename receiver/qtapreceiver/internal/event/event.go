// SPDX-License-Identifier: Apache-2.0

// Package event holds what the kernel side reports, decoded: the one vocabulary between
// internal/kernel (which produces it) and internal/engine (which consumes it).
//
// Times are Unix nanoseconds. Values that point into the ring (Packet.Data) are valid only
// during the call of the handler.
package event

import (
	"context"
	"net/netip"
)

// Cookie identifies one socket for its whole life (bpf_get_socket_cookie). Both ends of a
// local connection have different cookies.
type Cookie uint64

// Direction of bytes, seen from the observed socket.
type Direction uint8

const (
	// Egress bytes were sent by the observed socket.
	Egress Direction = iota
	// Ingress bytes were received by it.
	Ingress
)

// TCP flags of Packet.Flags (RFC 9293 §3.1).
const (
	FlagFIN = 1 << iota
	FlagSYN
	FlagRST
	FlagPSH
	FlagACK
)

// Packet is one TCP segment, or a part of one: a large segment arrives as several packets
// with the same Seq and Len and growing Off.
type Packet struct {
	Cookie Cookie
	Time   int64
	Dir    Direction
	Flags  uint8
	// Seq is the sequence number of the segment's first payload byte (of the SYN itself when
	// FlagSYN is set).
	Seq uint32
	// Ack is the acknowledgement number when FlagACK is set.
	Ack uint32
	// Len is the number of payload bytes of the segment on the wire.
	Len uint32
	// Off is where Data starts within the payload.
	Off uint32
	// Refused says that the socket will drop the segment: its checksum is wrong, it acknowledges nothing
	// or what was never sent, its timestamp is of the past, or it is a SYN where none belongs. Ingress
	// packets are seen before TCP looks at them.
	Refused bool `json:",omitempty"`
	// RcvNxt is the sequence number that the socket expected before this ingress packet, with
	// HasRcvNxt: it has taken every byte before.
	RcvNxt    uint32 `json:",omitempty"`
	HasRcvNxt bool   `json:",omitempty"`
	// Data is a copied run of the payload. Bytes of the segment that no packet carries were
	// not copied (cap, skip or a full ring) and are a gap for the reader.
	Data []byte
	// Local and Remote are the addresses in the packet's headers, from the observed socket's
	// point of view. With TCP_DEFER_ACCEPT the first request arrives under the listener's
	// cookie: the addresses then find the connection.
	Local, Remote netip.AddrPort
	// Netns is the inode of the network namespace that the addresses belong to, 0 when it is not known.
	Netns uint32
}

// SocketKind says why a Socket event was sent.
type SocketKind uint8

const (
	// SocketConnect is an active open: SYN is about to be sent. TGID is the connecting process.
	SocketConnect SocketKind = iota + 1
	// SocketEstablished is the end of the handshake, on either side. RcvNxt and SndNxt are then
	// the sequence numbers of the first payload byte in each direction.
	SocketEstablished
	// SocketOwner says which process uses the socket (first touch in process context).
	SocketOwner
	// SocketStats are the counters of an open socket; also sent for sockets that existed before
	// the capture began (then TGID is set when it could be found).
	SocketStats
	// SocketClosed is the end: counters are final.
	SocketClosed
	// SocketExcluded says that an end of this connection belongs to the collector itself: both
	// ends are to be forgotten without a trace.
	SocketExcluded
)

// Socket is a fact about a TCP socket, from the kernel's own books.
type Socket struct {
	Kind          SocketKind
	Cookie        Cookie
	Time          int64
	Local, Remote netip.AddrPort
	// Netns is the inode of the socket's network namespace, 0 when it is not known.
	Netns uint32
	// TGID is the process, in the host's PID namespace; 0 when this event cannot know it.
	TGID uint32
	UID  uint32
	// CgroupID is the cgroup v2 id of the process or socket; 0 when unknown.
	CgroupID uint64
	Comm     string
	// Role is set when the kernel knows who opened the connection.
	Role Role
	// CloseReason is set on SocketClosed.
	CloseReason CloseReason
	// PreExisting marks a connection that was open when the capture began: its streams are
	// joined in the middle.
	PreExisting bool

	RcvNxt, SndNxt uint32
	// RcvISN and SndISN are the initial sequence numbers of both directions, of any age; they are set when
	// HasISN is. While Role is not known SndISN is that of a socket that accepted its connection; the end that
	// opened it has one more.
	RcvISN, SndISN uint32
	HasISN         bool
	// BytesSent are payload bytes acknowledged by the peer, BytesReceived payload bytes received
	// in order; SYN and FIN are already taken out, but for the SYN of a Role that is not known.
	BytesSent, BytesReceived uint64
	SegsOut, SegsIn          uint32
	Retransmits              uint32
	// RTTMicros is the smoothed round-trip time in microseconds.
	RTTMicros uint32
}

// Role says which end opened the connection.
type Role uint8

// The roles.
const (
	RoleUnknown Role = iota
	RoleClient
	RoleServer
)

// CloseReason says how a connection ended.
type CloseReason uint8

// The close reasons.
const (
	CloseUnknown CloseReason = iota
	CloseFIN
	CloseReset
	CloseTimeout
	CloseRefused
)

// SecretKind says what a Secret's Context is, and so how it finds its connection.
type SecretKind uint8

const (
	// SecretTLS13Derive is a parent secret (PRK) with a TLS 1.3 label and the transcript hash it
	// is expanded with (RFC 8446 §7.1). One client label gives both directions' secrets.
	SecretTLS13Derive SecretKind = iota + 1
	// SecretKeyLog is a secret in key-log form (RFC 9850): Label names it, Context is the client random.
	SecretKeyLog
)

// Secret is a TLS secret captured from a process during a handshake. The consumer derives what
// it needs at once and wipes Secret.
type Secret struct {
	Kind  SecretKind
	Time  int64
	TGID  uint32
	Label string
	// Secret is empty when it could not be read from the program's memory.
	Secret []byte
	// Context is the transcript hash (SecretTLS13Derive) or the client random (SecretKeyLog); empty when it could not be
	// read.
	Context []byte
}

// Process is the start or end of a process image.
type Process struct {
	Time int64
	TGID uint32
	UID  uint32
	// Exited is false for exec, true for the exit of the whole thread group.
	Exited bool
	// Executable is the path of what an exec started, in its mount namespace; "" when it is not known.
	Executable string
}

// Datagram is a UDP datagram that says who talks to whom: a DNS message, or the first of a QUIC connection.
type Datagram struct {
	Cookie Cookie
	Time   int64
	Dir    Direction
	// TGID is the process that made the socket, UID and Comm are its; 0 when the socket is older than
	// the capture.
	TGID uint32
	UID  uint32
	Comm string
	// Len is the length of the payload, of which Data may be the beginning only.
	Len           uint32
	Data          []byte
	Local, Remote netip.AddrPort
}

// Flow is what a socket and one of its peers have exchanged so far, of a socket that speaks QUIC. Payload bytes and
// datagrams are counted from the first packet of QUIC on.
type Flow struct {
	Cookie                       Cookie
	Remote                       netip.AddrPort
	BytesSent, BytesReceived     uint64
	DatagramsSent, DatagramsRcvd uint64
	Latest                       int64 // Unix nanoseconds of the latest datagram
}

// DatagramHandler is a Handler that wants datagrams, too.
type DatagramHandler interface {
	Datagram(*Datagram)
	// Flow comes for every flow that is known, every time that the counters of connections do.
	Flow(*Flow)
}

// Handler consumes events. Calls are made from one goroutine, in the order of the ring.
type Handler interface {
	Packet(*Packet)
	Socket(*Socket)
	Secret(*Secret)
	Process(*Process)
	// Lost says that n events of the named kind ("packet", "socket", "secret", "process", "datagram") could not
	// be written because the ring was full, counted since the previous call. Secrets are not written either when
	// nobody has read the ring for 30 s.
	Lost(kind string, n uint64)
	// Idle is called after each drain of the ring, and within long ones, about every 10 ms. now is the time up to which
	// all events were told, give or take the order in which CPUs write them: it is behind the clock by what is unread, so
	// that whoever waits for an event does not give it up while it lies in the ring.
	Idle(now int64)
}

// OrderLevel says how much of a connection is still wanted.
type OrderLevel uint8

const (
	// OrderAll wants what comes.
	OrderAll OrderLevel = iota
	// OrderConnections wants Socket events only.
	OrderConnections
	// OrderNone wants nothing more, not even the end.
	OrderNone
)

// SkipReason says why bytes were not copied.
type SkipReason uint8

const (
	// SkipRule is the reason when rules keep no request of the connection.
	SkipRule SkipReason = iota
	// SkipUnread is the reason when nobody reads what the connection carries.
	SkipUnread
	// SkipCap is the reason for content past the body cap.
	SkipCap
	// SkipBudget is the reason for what the budget of the receiver does not allow.
	SkipBudget
	skipReasons
)

// SkipReasons is the number of reasons.
const SkipReasons = int(skipReasons)

// String returns the reason as metrics name it.
func (r SkipReason) String() string {
	return [...]string{"rule", "unread", "body_cap", "over_budget"}[r]
}

// Order says what is wanted of one connection from now on. It takes the place of the one before.
type Order struct {
	Level  OrderLevel
	Reason SkipReason
	// Skip says, by Direction, that bytes before the sequence number Until are not wanted.
	Skip  [2]bool
	Until [2]uint32
}

// Controller is a Source that can be told, while it runs, what is not wanted. It may take a while until it heeds
// that, and an order may get lost: then it produces more than is wanted. It is told from the goroutine of Run.
type Controller interface {
	// Order replaces what is wanted of a connection.
	Order(Cookie, Order) error
	// DenySecrets says whether the TLS secrets of a process are not wanted. A new image of the process has
	// nothing denied.
	DenySecrets(tgid uint32, deny bool) error
	// BodyCap is how many bytes are wanted of the content of a response of HTTP/1 in the clear that says it is at least a
	// MiB longer: the rest, up to its last byte, is not. 0 wants all.
	BodyCap(bytes uint32) error
	// Pause says whether no packet and no secret is wanted, of whatever connection, besides what was ordered of each.
	// Socket, process and datagram events go on.
	Pause(pause bool) error
}

// SkipHandler is a Handler that wants to know how many payload bytes were not copied because of orders, counted
// since the previous call.
type SkipHandler interface {
	Skipped(reason SkipReason, bytes uint64)
}

// Source produces events until ctx ends. Run returns nil then. It is the seam at which tests
// replay recorded streams.
type Source interface {
	Run(ctx context.Context, h Handler) error
	// Close releases what the source holds in the kernel.
	Close() error
}
