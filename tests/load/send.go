// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// sender sends numbered requests at a rate. Request n is due n/rate after the beginning, whatever became of
// those before: a server that is slow meets a backlog, not fewer requests.
type sender struct {
	plain, over string
	path        string
	tls         *tls.Config
	rate        float64
	last        uint64 // numbers are 1 to last
	fresh       uint64 // every so many requests have a connection of their own; 0: none

	next                atomic.Uint64
	answered, dialled   atomic.Uint64
	failed              atomic.Uint64
	mu                  sync.Mutex
	ledger              *bufio.Writer
	firstErr            error
	began               time.Time
	slowest, secureSent atomic.Uint64
}

// sent is what send says.
type sent struct {
	// First and Last are the numbers of the first and last request that was sent: all between were.
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	// Answered have their own response. Failed do not, and Error says why of the first.
	Answered uint64 `json:"answered"`
	Failed   uint64 `json:"failed"`
	Error    string `json:"error,omitempty"`
	// Secure are those that went over HTTPS, Connections all that were opened.
	Secure      uint64  `json:"secure"`
	Connections uint64  `json:"connections"`
	Seconds     float64 `json:"seconds"`
	// Rate is in answered requests per second, Slowest the longest time from a request's due time to its response, in seconds.
	Rate    float64 `json:"rate"`
	Slowest float64 `json:"slowest_seconds"`
	PID     int     `json:"pid"`
}

func send(ctx context.Context, args []string) (any, error) {
	flags := flag.NewFlagSet("send", flag.ContinueOnError)
	var s sender
	var ca string
	var connections int
	var ledger string
	var duration time.Duration
	var first uint64
	flags.StringVar(&s.plain, "http", "", "address")
	flags.StringVar(&s.over, "https", "", "address; empty: HTTP only")
	flags.StringVar(&ca, "ca", "", "certificate of the server")
	flags.Float64Var(&s.rate, "rate", 100, "requests per second")
	flags.DurationVar(&duration, "duration", 10*time.Second, "how long")
	flags.StringVar(&s.path, "path", "/numbered", "path that is asked for")
	flags.Uint64Var(&first, "first", 1, "number of the first request; 0: requests are not numbered")
	flags.Uint64Var(&s.fresh, "fresh", 20, "every so many requests have a connection of their own; 0: none")
	flags.StringVar(&ledger, "ledger", "", "write the number and the client's port of every HTTPS request to this file")
	flags.IntVar(&connections, "connections", 32, "keep-alive connections; every second of them is HTTPS")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if err := loopback(s.plain); err != nil {
		return nil, err
	}
	if s.over != "" {
		if err := loopback(s.over); err != nil {
			return nil, err
		}
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		s.tls = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost", NextProtos: []string{"http/1.1"}}
		s.tls.RootCAs.AppendCertsFromPEM(pem)
	}
	if ledger != "" {
		f, err := os.Create(ledger)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		s.ledger = bufio.NewWriter(f)
	}
	count := uint64(s.rate * duration.Seconds())
	numbered := first > 0
	first = max(first, 1)
	s.next.Store(first)
	s.last = first + count - 1
	s.began = time.Now()
	var all sync.WaitGroup
	for i := range connections {
		all.Go(func() { s.work(ctx, first, numbered, i%2 == 1 && s.over != "") })
	}
	all.Wait()
	took := time.Since(s.began).Seconds()
	if s.ledger != nil {
		if err := s.ledger.Flush(); err != nil {
			return nil, err
		}
	}
	out := sent{
		First: first, Last: min(s.next.Load()-1, s.last), Answered: s.answered.Load(), Failed: s.failed.Load(), Secure: s.secureSent.Load(),
		Connections: s.dialled.Load(), Seconds: took, Rate: float64(s.answered.Load()) / took,
		Slowest: time.Duration(s.slowest.Load()).Seconds(), PID: os.Getpid(),
	}
	if s.firstErr != nil {
		out.Error = s.firstErr.Error()
	}
	return out, nil
}

// line is one connection of a client.
type line struct {
	net.Conn
	r *bufio.Reader
}

func (s *sender) dial(ctx context.Context, secure bool) (*line, error) {
	s.dialled.Add(1)
	dialer := &net.Dialer{Timeout: time.Minute}
	var conn net.Conn
	var err error
	if secure {
		conn, err = (&tls.Dialer{NetDialer: dialer, Config: s.tls}).DialContext(ctx, "tcp", s.over)
	} else {
		conn, err = dialer.DialContext(ctx, "tcp", s.plain)
	}
	if err != nil {
		return nil, err
	}
	return &line{conn, bufio.NewReader(conn)}, nil
}

// work is one client: it takes the next number, waits until it is due, asks, and reads the answer.
func (s *sender) work(ctx context.Context, first uint64, numbered, secure bool) {
	var kept *line
	defer func() {
		if kept != nil {
			kept.Close()
		}
	}()
	for {
		if ctx.Err() != nil {
			return
		}
		n := s.next.Add(1) - 1
		if n > s.last {
			return
		}
		due := s.began.Add(time.Duration(float64(n-first) / s.rate * float64(time.Second)))
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		fresh := s.fresh > 0 && n%s.fresh == 0
		err := func() (err error) {
			conn := kept
			if fresh || conn == nil {
				if conn, err = s.dial(ctx, secure); err != nil {
					return err
				}
			}
			if fresh {
				defer conn.Close()
			} else {
				kept = conn
			}
			if secure && s.ledger != nil {
				s.mu.Lock()
				fmt.Fprintln(s.ledger, n, conn.LocalAddr().(*net.TCPAddr).Port)
				s.mu.Unlock()
			}
			return conn.ask(s.path, n, numbered, fresh)
		}()
		if secure {
			s.secureSent.Add(1)
		}
		if took := uint64(max(time.Since(due), 0)); took > s.slowest.Load() {
			s.slowest.Store(took) // nearly: two at once may lose the larger
		}
		if err == nil {
			s.answered.Add(1)
			continue
		}
		s.failed.Add(1)
		s.mu.Lock()
		if s.firstErr == nil {
			s.firstErr = fmt.Errorf("request %d: %w", n, err)
		}
		s.mu.Unlock()
		if !fresh && kept != nil {
			kept.Close()
			kept = nil
		}
	}
}

// ask sends request n and reads its response, which must be its own.
func (l *line) ask(path string, n uint64, numbered, last bool) error {
	id, extra := "", ""
	if numbered {
		id = strconv.FormatUint(n, 10)
		extra = sequence + ": " + id + "\r\n"
	}
	if last {
		extra += "Connection: close\r\n"
	}
	if err := l.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return err
	}
	if _, err := io.WriteString(l, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\nAccept: text/plain\r\n"+extra+"\r\n"); err != nil {
		return err
	}
	res, err := http.ReadResponse(l.r, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || string(body) != answer(id) {
		return errors.New("the response is another one's")
	}
	return nil
}
