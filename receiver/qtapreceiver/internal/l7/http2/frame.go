// SPDX-License-Identifier: Apache-2.0

package http2

import "encoding/binary"

// Frame types (RFC 9113 §6; RFC 7838, RFC 8336, RFC 9218).
const (
	frameData           = 0x0
	frameHeaders        = 0x1
	framePriority       = 0x2
	frameRSTStream      = 0x3
	frameSettings       = 0x4
	framePushPromise    = 0x5
	framePing           = 0x6
	frameGoAway         = 0x7
	frameWindowUpdate   = 0x8
	frameContinuation   = 0x9
	frameAltSvc         = 0xa
	frameOrigin         = 0xc
	framePriorityUpdate = 0x10
)

const (
	flagAck        = 0x1
	flagEndStream  = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

const (
	headerLen       = 9
	settingMaxFrame = 0x5
	// firstMaxFrame is the largest payload of a frame until the receiver allows more.
	firstMaxFrame = 16 << 10

	codeNo      = 0x0
	codeRefused = 0x7
	codeCancel  = 0x8
)

// preface is the first thing that a client sends (RFC 9113 §3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// frame is a frame header.
type frame struct {
	length int
	kind   byte
	flags  byte
	stream uint32
}

func parseFrame(b []byte) frame {
	return frame{
		length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		kind:   b[3],
		flags:  b[4],
		stream: binary.BigEndian.Uint32(b[5:]) &^ (1 << 31),
	}
}

func (f frame) has(flag byte) bool { return f.flags&flag != 0 }

// valid checks what makes a frame header a connection error: after one, nobody reads on.
func (f frame) valid() bool {
	switch f.kind {
	case frameData, frameHeaders, frameContinuation:
		return f.stream != 0
	case framePriority:
		return f.stream != 0 && f.length == 5
	case frameRSTStream:
		return f.stream != 0 && f.length == 4
	case frameSettings:
		return f.stream == 0 && f.length%6 == 0 && (!f.has(flagAck) || f.length == 0)
	case framePushPromise:
		return f.stream != 0 && f.length >= 4
	case framePing:
		return f.stream == 0 && f.length == 8
	case frameGoAway:
		return f.stream == 0 && f.length >= 8
	case frameWindowUpdate:
		return f.length == 4
	}
	return true
}

// plausible is valid for a place where a frame may or may not begin: it also refuses what is legal but
// what no implementation in use sends.
func (f frame) plausible(client bool, maxFrame int) bool {
	if f.length > maxFrame || !f.valid() {
		return false
	}
	allowed := byte(0)
	least := 0
	switch f.kind {
	case frameData:
		allowed = flagEndStream | flagPadded
	case frameHeaders:
		allowed, least = flagEndStream|flagEndHeaders|flagPadded|flagPriority, 1
	case frameContinuation:
		allowed = flagEndHeaders
	case frameSettings, framePing:
		allowed = flagAck
	case framePriority, frameRSTStream, frameGoAway, frameWindowUpdate:
	case framePriorityUpdate:
		return client && f.flags == 0 && f.stream == 0 && f.length >= 4
	case frameAltSvc, frameOrigin:
		return !client && f.flags == 0 && f.length >= 2
	default: // a push among them
		return false
	}
	if f.flags&^allowed != 0 || f.length < least {
		return false
	}
	if f.has(flagPadded) && (f.kind == frameData || f.kind == frameHeaders) {
		least++
	}
	if f.kind == frameHeaders && f.has(flagPriority) {
		least += 5
	}
	odd := f.stream%2 == 1
	switch f.kind {
	case frameData, frameHeaders, frameContinuation:
		return odd && f.length >= least
	case frameWindowUpdate:
		return odd || f.stream == 0
	case frameRSTStream:
		return odd
	}
	return true
}

// fragment returns the part of a HEADERS or PUSH_PROMISE payload that is field block.
func (f frame) fragment(b []byte) ([]byte, bool) {
	pad := 0
	if f.has(flagPadded) {
		if len(b) == 0 {
			return nil, false
		}
		pad, b = int(b[0]), b[1:]
	}
	skip := 0
	if f.kind == frameHeaders && f.has(flagPriority) {
		skip = 5
	}
	if f.kind == framePushPromise {
		skip = 4
	}
	if len(b) < skip+pad {
		return nil, false
	}
	return b[skip : len(b)-pad], true
}
