// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// serveCommand is the Go server that is watched: net/http, HTTP/1.1, bodies from memory.
func serveCommand(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	dir := f.String("dir", "", "folder of the site")
	plain := f.String("plain", "", "address")
	over := f.String("tls", "", "address for TLS")
	if err := f.Parse(args); err != nil {
		return err
	}
	mux := http.NewServeMux()
	for _, name := range []string{"file", "big"} {
		body, err := os.ReadFile(filepath.Join(*dir, name))
		if err != nil {
			return err
		}
		length := strconv.Itoa(len(body))
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Content-Length", length)
			_, _ = w.Write(body)
		})
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(*dir, "cert.pem"), filepath.Join(*dir, "key.pem"))
	if err != nil {
		return err
	}
	conf := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}}
	one, err := net.Listen("tcp", *plain)
	if err != nil {
		return err
	}
	two, err := tls.Listen("tcp", *over, conf)
	if err != nil {
		return errors.Join(err, one.Close())
	}
	s := &http.Server{Handler: mux}
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, l := range []net.Listener{one, two} {
		wg.Go(func() { errs[i] = s.Serve(l) })
	}
	<-ctx.Done()
	err = s.Close()
	wg.Wait()
	for _, e := range errs {
		if !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}
