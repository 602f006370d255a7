// SPDX-License-Identifier: Apache-2.0

// Command gopeer is an HTTP server or client of net/http whose payloads say which connection and
// which process they belong to: the truth of the attribution tests.
package main

import (
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

var (
	listen   = flag.String("listen", "", "serve here")
	cert     = flag.String("cert", "", "certificate")
	key      = flag.String("key", "", "its key")
	h2       = flag.Bool("h2", false, "speak HTTP/2, by prior knowledge when it is in the clear")
	upgrade  = flag.Bool("upgrade", false, "let HTTP/1 be upgraded to HTTP/2 in the clear")
	conns    = flag.Int("conns", 1, "connections")
	streams  = flag.Int("streams", 1, "requests at a time on each of them")
	requests = flag.Int("requests", 1, "requests of each stream")
	pause    = flag.Duration("pause", 0, "between two requests of a stream")
	nat      = flag.Bool("nat", false, "the server sees another port")
	atOnce   = flag.Int("at-once", 1<<20, "connections at a time")
)

func main() {
	flag.Parse()
	if *listen != "" {
		serve()
	}
	ask(flag.Arg(0))
}

// protocols is HTTP/2 or HTTP/1, never the choice.
func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(!*h2)
	p.SetHTTP2(*h2)
	p.SetUnencryptedHTTP2(*h2)
	return p
}

// marker is the beginning of every payload; padding of a length that depends on seq follows.
func marker(seq, port, pid int) []byte {
	b := fmt.Appendf(nil, "seq=%07d port=%05d pid=%07d\n", seq, port, pid)
	return append(b, bytes.Repeat([]byte{'x'}, seq*7919%1999)...)
}

func port(addr string) (n int) {
	_, p, err := net.SplitHostPort(addr)
	check(err)
	_, err = fmt.Sscan(p, &n)
	check(err)
	return n
}

func serve() {
	s := http.Server{Addr: *listen, Protocols: protocols(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var seq, from, pid int
		b, err := io.ReadAll(r.Body)
		check(err)
		if len(b) > 0 {
			_, err = fmt.Sscanf(string(b), "seq=%d port=%d pid=%d", &seq, &from, &pid)
			check(err)
		}
		_, err = w.Write(marker(seq, port(r.RemoteAddr), os.Getpid()))
		check(err)
	})}
	if *upgrade {
		s.Protocols, s.Handler = nil, h2c.NewHandler(s.Handler, &http2.Server{})
	}
	if *cert != "" {
		check(s.ListenAndServeTLS(*cert, *key))
	}
	check(s.ListenAndServe())
}

// body is a request's payload, made when the connection that carries it is known.
type body struct {
	seq   int
	local chan int
	r     *bytes.Reader
}

func (b *body) Read(p []byte) (int, error) {
	if b.r == nil {
		b.r = bytes.NewReader(marker(b.seq, <-b.local, os.Getpid()))
	}
	return b.r.Read(p)
}

func ask(url string) {
	var wg sync.WaitGroup
	room := make(chan bool, *atOnce)
	for c := range *conns {
		room <- true
		var streaming sync.WaitGroup
		t := &http.Transport{
			Protocols: protocols(), MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // a test's own server
		}
		for s := range *streams {
			streaming.Go(func() {
				for n := range *requests {
					one(t, url, (c**streams+s)**requests+n)
					time.Sleep(*pause)
				}
			})
		}
		wg.Go(func() {
			streaming.Wait()
			t.CloseIdleConnections()
			<-room
		})
	}
	wg.Wait()
}

func one(t *http.Transport, url string, seq int) {
	b := &body{seq: seq, local: make(chan int, 1)}
	var local int
	req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("%s/%d", url, seq), b)
	check(err)
	req.ContentLength = int64(len(marker(seq, 0, 0)))
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		local = port(i.Conn.LocalAddr().String())
		b.local <- local
	}}))
	resp, err := t.RoundTrip(req)
	check(err)
	got, err := io.ReadAll(resp.Body)
	check(err)
	check(resp.Body.Close())
	if *nat {
		local, _ = strconv.Atoi(string(got[17:22]))
	}
	if want := fmt.Appendf(nil, "seq=%07d port=%05d ", seq, local); !bytes.HasPrefix(got, want) {
		log.Fatalf("answer %.40q to %q", got, want)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
