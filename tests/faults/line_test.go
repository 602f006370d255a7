// SPDX-License-Identifier: Apache-2.0

//go:build linux

package faults

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// line is the way between the collector and a store: a TCP port that does to each connection what it is told to. What is
// behind it is the real server, and what fails is the line.
type line struct {
	t      *testing.T
	port   int
	target func(context.Context) (net.Conn, error)
	met    atomic.Int64 // connections or requests that met the fault

	mu    sync.Mutex
	ln    net.Listener
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

// serve does something to a connection and returns when it is over; the line closes it.
type serve func(net.Conn)

// newLine returns a line that works. Its port is its own until the test ends, also while nobody listens on it.
func newLine(t *testing.T, target func(context.Context) (net.Conn, error)) *line {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	require.NoError(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := unix.Getsockname(fd)
	require.NoError(t, err)
	l := &line{t: t, port: name.(*unix.SockaddrInet4).Port, target: target, conns: map[net.Conn]bool{}}
	t.Cleanup(func() {
		l.down()
		_ = unix.Close(fd)
	})
	l.up(l.pass)
	return l
}

func (l *line) addr() string { return "127.0.0.1:" + strconv.Itoa(l.port) }

// down refuses connections, and resets those that there are.
func (l *line) down() {
	l.mu.Lock()
	if l.ln != nil {
		_ = l.ln.Close()
		l.ln = nil
	}
	for c := range l.conns {
		reset(c)
	}
	l.mu.Unlock()
	l.wg.Wait()
}

// up treats new connections with s; the old ones are reset. met is zero again.
func (l *line) up(s serve) {
	l.t.Helper()
	l.down()
	l.met.Store(0)
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	}}
	ln, err := config.Listen(context.Background(), "tcp", l.addr())
	require.NoError(l.t, err)
	l.mu.Lock()
	l.ln = ln
	l.mu.Unlock()
	l.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if !l.keep(ln, c) {
				continue
			}
			l.wg.Go(func() {
				defer l.drop(c)
				s(c)
			})
		}
	})
}

// keep notes a connection, so that down ends it.
func (l *line) keep(ln net.Listener, c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ln != ln {
		reset(c)
		return false
	}
	l.conns[c] = true
	return true
}

func (l *line) drop(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// reset closes a connection with RST instead of FIN.
func reset(c net.Conn) {
	inner := c
	if secure, ok := c.(*tls.Conn); ok {
		inner = secure.NetConn()
	}
	if tcp, ok := inner.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = inner.Close()
}

// dial opens the connection to the server behind; it ends with c.
func (l *line) dial(c net.Conn) (net.Conn, bool) {
	server, err := l.target(context.Background())
	if err != nil {
		reset(c)
		return nil, false
	}
	return server, true
}

// pass forwards both directions.
func (l *line) pass(c net.Conn) {
	server, ok := l.dial(c)
	if !ok {
		return
	}
	l.both(c, server, func(dst, src net.Conn) { _, _ = io.Copy(dst, src) })
}

// both runs forward for both directions; the end of one ends the other.
func (l *line) both(c, server net.Conn, forward func(dst, src net.Conn)) {
	var wg sync.WaitGroup
	wg.Go(func() {
		forward(c, server)
		_ = c.Close()
	})
	forward(server, c)
	_ = server.Close()
	wg.Wait()
}

// slow forwards what is sent to the server at once, and from the first request that has mark in it, what it answers at one
// byte per second: the server has done what it was asked to long before whoever asked knows.
func (l *line) slow(mark string) serve {
	return func(c net.Conn) {
		server, ok := l.dial(c)
		if !ok {
			return
		}
		var marked atomic.Bool
		l.both(c, server, func(dst, src net.Conn) {
			buf, seen := make([]byte, 32<<10), ""
			for {
				n, err := src.Read(buf)
				part := buf[:n]
				if dst == server && !marked.Load() {
					// The mark may be cut by the end of a read.
					seen = seen[max(0, len(seen)-len(mark)):] + string(part)
					if strings.Contains(seen, mark) {
						marked.Store(true)
						l.met.Add(1)
					}
				}
				for ; dst == c && marked.Load() && len(part) > 0 && err == nil; part = part[1:] {
					time.Sleep(time.Second) // this is the fault
					_, err = dst.Write(part[:1])
				}
				if err == nil {
					_, err = dst.Write(part)
				}
				if err != nil {
					return
				}
			}
		})
	}
}

// cut forwards n bytes of what is sent, and then resets both ends, in the middle of a request.
func (l *line) cut(n int64, between func()) serve {
	return func(c net.Conn) {
		server, ok := l.dial(c)
		if !ok {
			return
		}
		l.both(c, server, func(dst, src net.Conn) {
			if dst == c {
				_, _ = io.Copy(dst, src)
				return
			}
			if copied, _ := io.CopyN(dst, src, n); copied == n {
				l.met.Add(1)
				if between != nil {
					between()
				}
				reset(server)
				reset(c)
			}
		})
	}
}

// answer answers every request itself, as an S3 server does: status, code and message of an error, as XML.
func (l *line) answer(status int, code string, headers ...string) serve {
	body := fmt.Sprintf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%[1]s</Message><RequestId>4442587FB7D0A2F9</RequestId></Error>", code)
	return func(c net.Conn) {
		for r := bufio.NewReader(c); ; {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if req.Header.Get("Expect") != "" {
				_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			l.met.Add(1)
			res := http.Response{
				StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Request: req, Header: http.Header{"Content-Type": {"application/xml"}},
				ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader([]byte(body))),
			}
			for i := 0; i < len(headers); i += 2 {
				res.Header.Set(headers[i], headers[i+1])
			}
			if err := res.Write(c); err != nil {
				return
			}
		}
	}
}

// secure speaks TLS with the certificate and does next to what is inside.
func (l *line) secure(cert tls.Certificate, next serve) serve {
	return func(c net.Conn) {
		inner := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
		if err := inner.HandshakeContext(context.Background()); err != nil {
			l.met.Add(1)
			return
		}
		next(inner)
	}
}
