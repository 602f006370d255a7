// SPDX-License-Identifier: Apache-2.0

// Command quicpeer is a QUIC server that sends back what it is sent, or a client of it, for tests.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"time"

	"golang.org/x/net/quic"
)

var (
	listen = flag.String("listen", "", "serve here")
	cert   = flag.String("cert", "", "certificate")
	key    = flag.String("key", "", "its key")
	retry  = flag.Bool("retry", false, "ask clients to prove their address")
	bytes  = flag.Int64("bytes", 1000, "send so many, and take them back")
)

func main() {
	flag.Parse()
	c := &quic.Config{RequireAddressValidation: *retry, TLSConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{"echo", "h3"}, ServerName: "peer.lab.test"}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if *listen != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		check(err)
		c.TLSConfig.Certificates = []tls.Certificate{pair}
		e, err := quic.Listen("udp", *listen, c)
		check(err)
		fmt.Println("ready")
		for {
			conn, err := e.Accept(ctx)
			check(err)
			go serve(ctx, conn)
		}
	}
	e, err := quic.Listen("udp", "127.0.0.1:0", nil)
	check(err)
	conn, err := e.Dial(ctx, "udp", flag.Arg(0), c)
	check(err)
	s, err := conn.NewStream(ctx)
	check(err)
	go func() {
		_, err := io.CopyN(s, zeros{}, *bytes)
		check(err)
		s.CloseWrite()
	}()
	n, err := io.Copy(io.Discard, s)
	check(err)
	check(e.Close(ctx))
	fmt.Println(n)
}

func serve(ctx context.Context, conn *quic.Conn) {
	for {
		s, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			_, err := io.Copy(s, s)
			if err == nil {
				s.CloseWrite()
			}
		}()
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func check(err error) {
	if err != nil && !errors.Is(err, io.EOF) {
		log.Fatal(err)
	}
}
