// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"math/rand/v2"
	"testing"
)

func TestSniff(t *testing.T) {
	for n := range len(preface) {
		if match, more := Sniff([]byte(preface[:n])); match || !more {
			t.Errorf("%d bytes of the preface: %v %v", n, match, more)
		}
	}
	for s, want := range map[string]bool{
		preface: true, preface + "\x00": true,
		"PRI * HTTP/1.1\r\n": false, "GET / HTTP/1.1\r\n": false, "\x16\x03\x01": false, "PRI * HTTP/2.0\r\n\r\nSM\r\n\rx": false,
	} {
		if match, more := Sniff([]byte(s)); match != want || more {
			t.Errorf("%q: %v %v", s, match, more)
		}
	}
}

func TestSniffJoined(t *testing.T) {
	const get = ":method=GET | :scheme=https | :path=/a | :authority=x"
	frames := func(lines ...string) []byte {
		w := newWriter()
		for _, l := range lines {
			if err := w.line(l); err != nil {
				t.Fatal(err)
			}
		}
		return w.take()
	}
	for name, b := range map[string][]byte{
		"one request":     frames("headers 101 end " + get),
		"with others":     frames("window 0", "headers 101 "+get, "data 101 end \"body\"", "headers 103 end "+get),
		"padded":          frames("headers 101 pad=4 prio " + get),
		"after a preface": frames("settings", "headers 1 end "+get),
	} {
		if !SniffJoined(b) {
			t.Errorf("%s: not recognized", name)
		}
		for n := range len(b) {
			if n > 0 && SniffJoined(b[n:]) && n != 13 && n != 9 { // but for frames left out in front
				t.Errorf("%s: recognized from byte %d on", name, n)
			}
		}
	}
	early := newWriter()
	early.encode(get, false)
	if err := early.line("headers 101 end " + get); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"nothing":               {},
		"a response":            frames("headers 1 end :status=200"),
		"no request":            frames("window 0", "ping", "data 1 end \"body\""),
		"cut":                   frames("headers 101 end " + get)[:20],
		"something behind":      append(frames("headers 101 end "+get), 'x'),
		"of a server":           frames("headers 102 end " + get),
		"an unfinished block":   frames("headers 101 cont=1 " + get)[:15],
		"a path said before":    early.take(),
		"another start of line": []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
	} {
		if SniffJoined(b) {
			t.Errorf("%s: recognized", name)
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 200_000 {
		b := make([]byte, 9+r.IntN(40))
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		b[0], b[1], b[2], b[3] = 0, 0, byte(len(b)-9), 1 // even with a frame header that fits
		if SniffJoined(b) {
			t.Fatalf("%x", b)
		}
	}
}
