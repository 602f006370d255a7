// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

// schedule is a load with a rate: request n is due at its time whatever became of those before it, and its latency
// counts from then. A server that stands still for a moment is charged all that were due meanwhile (wrk, which
// waits for each response before it asks again, would leave them out: coordinated omission).
type schedule struct {
	url         *url.URL
	rate        float64 // per second, of all connections
	connections int
	fresh       bool // each request has a connection of its own
	warm        time.Duration
	duration    time.Duration
}

// latency are quantiles in microseconds.
type latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// outcome is what a load came to.
type outcome struct {
	Requests uint64  `json:"requests"`
	Errors   uint64  `json:"errors"`
	Seconds  float64 `json:"seconds"`
	// Latency counts from when a request was due, Service from when it was sent.
	Latency *latency `json:"latency_us,omitempty"`
	Service *latency `json:"service_us,omitempty"`
}

// loadCommand is the process that makes such a load. It writes a line when its connections are open and warm, begins
// when it reads one, writes the outcome, and holds the connections until its input ends.
func loadCommand(ctx context.Context, args []string) error {
	var s schedule
	var to string
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.StringVar(&to, "url", "", "what to ask for")
	f.Float64Var(&s.rate, "rate", 0, "requests per second")
	f.IntVar(&s.connections, "connections", 1, "connections, or with -fresh: at most so many at a time")
	f.BoolVar(&s.fresh, "fresh", false, "a new connection for each request")
	f.DurationVar(&s.warm, "warm", time.Second, "load before")
	f.DurationVar(&s.duration, "duration", time.Second, "load")
	if err := f.Parse(args); err != nil {
		return err
	}
	var err error
	if s.url, err = url.Parse(to); err != nil {
		return err
	}
	in := bufio.NewReader(os.Stdin)
	l, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	if s.warm > 0 {
		if _, err := l.run(ctx, s.warm); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	o, err := l.run(ctx, s.duration)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(o); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// loader is a schedule with its connections.
type loader struct {
	schedule
	request []byte
	conns   []*talk
}

// talk is one connection, "" of it when each request has its own.
type talk struct {
	c net.Conn
	r *bufio.Reader
}

func (s schedule) open(ctx context.Context) (*loader, error) {
	if s.rate <= 0 || s.connections < 1 {
		return nil, errors.New("a rate and at least one connection are needed")
	}
	l := &loader{schedule: s, conns: make([]*talk, s.connections)}
	l.request = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\n\r\n", s.url.RequestURI(), s.url.Host)
	if s.fresh {
		return l, nil
	}
	var wg sync.WaitGroup
	errs := make([]error, 32)
	for part := range errs {
		wg.Go(func() {
			for i := part; i < len(l.conns) && errs[part] == nil; i += len(errs) {
				l.conns[i], errs[part] = s.dial(ctx)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *loader) close() {
	for _, t := range l.conns {
		if t != nil {
			t.c.Close()
		}
	}
}

func (s schedule) dial(ctx context.Context) (*talk, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	c, err := d.DialContext(ctx, "tcp", s.url.Host)
	if err != nil {
		return nil, err
	}
	if s.url.Scheme == "https" {
		// The certificate is the bench's own; no session is resumed, as there is no cache.
		t := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
		if err := t.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, err
		}
		c = t
	}
	return &talk{c: c, r: bufio.NewReaderSize(c, 8<<10)}, nil
}

// ask sends one request and reads its response.
func (t *talk) ask(request []byte) error {
	if err := t.c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := t.c.Write(request); err != nil {
		return err
	}
	length := -1
	for first := true; ; first = false {
		line, err := t.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
			return fmt.Errorf("answered %.40q", line)
		}
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("a response without Content-Length")
	}
	_, err := t.r.Discard(length)
	return err
}

// run makes the load for d. Worker i of n does the requests i, i+n, i+2n, …
func (l *loader) run(ctx context.Context, d time.Duration) (outcome, error) {
	total := int(l.rate * d.Seconds())
	due, sent := make([]float64, total), make([]float64, total)
	failed := make([]bool, total)
	gap := float64(time.Second) / l.rate
	workers := len(l.conns)
	began := time.Now()
	var wg sync.WaitGroup
	for w := range min(workers, total) {
		wg.Go(func() {
			for i := w; i < total && ctx.Err() == nil; i += workers {
				at := began.Add(time.Duration(float64(i) * gap))
				if wait := time.Until(at); wait > 0 {
					time.Sleep(wait)
				}
				now := time.Now()
				failed[i] = l.once(ctx, w) != nil
				end := time.Now()
				due[i], sent[i] = micros(end.Sub(at)), micros(end.Sub(now))
			}
		})
	}
	wg.Wait()
	o := outcome{Seconds: time.Since(began).Seconds()}
	if err := ctx.Err(); err != nil {
		return o, err
	}
	// What failed has no latency: it is counted, and the report names the number.
	good := 0
	for i := range total {
		if failed[i] {
			o.Errors++
			continue
		}
		due[good], sent[good] = due[i], sent[i]
		good++
	}
	o.Requests = uint64(good)
	o.Latency, o.Service = quantiles(due[:good]), quantiles(sent[:good])
	return o, nil
}

// once is one request of a worker. A connection that failed is replaced before the worker's next request.
func (l *loader) once(ctx context.Context, w int) error {
	t := l.conns[w]
	if t == nil {
		var err error
		if t, err = l.dial(ctx); err != nil {
			return err
		}
		l.conns[w] = t
	}
	err := t.ask(l.request)
	if err != nil || l.fresh {
		t.c.Close()
		l.conns[w] = nil
	}
	return err
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// quantiles sorts v; nil when it is empty. A quantile is a value that was seen.
func quantiles(v []float64) *latency {
	if len(v) == 0 {
		return nil
	}
	slices.Sort(v)
	q := func(p float64) float64 { return v[max(0, int(math.Ceil(p*float64(len(v))))-1)] }
	return &latency{P50: q(0.5), P90: q(0.9), P99: q(0.99), P999: q(0.999), Max: v[len(v)-1]}
}
