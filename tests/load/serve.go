// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// sequence is the header that numbers requests, from 1.
const sequence = "X-Sequence"

// answer is the body of the response to a numbered request.
func answer(id string) string { return "this is " + id + strings.Repeat(" .", 40) }

// listening is what serve says first.
type listening struct {
	HTTP  string `json:"http"`
	HTTPS string `json:"https"`
	PID   int    `json:"pid"`
}

// serve answers every request with its number, until standard input ends.
func serve(ctx context.Context, args []string) (any, error) {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	cert := flags.String("cert", "", "certificate of localhost")
	key := flags.String("key", "", "its key")
	plainAt := flags.String("http", "127.0.0.1:0", "address")
	overAt := flags.String("https", "127.0.0.1:0", "address")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if err := loopback(*plainAt, *overAt); err != nil {
		return nil, err
	}
	plain, err := net.Listen("tcp", *plainAt)
	if err != nil {
		return nil, err
	}
	over, err := net.Listen("tcp", *overAt)
	if err != nil {
		return nil, err
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprint(w, answer(r.Header.Get(sequence)))
		}),
		// What the tests send is broken on purpose.
		ErrorLog:    log.New(io.Discard, "", 0),
		IdleTimeout: time.Hour,
	}
	if err := json.NewEncoder(os.Stdout).Encode(listening{plain.Addr().String(), over.Addr().String(), os.Getpid()}); err != nil {
		return nil, err
	}
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(plain) }()
	go func() { failed <- server.ServeTLS(over, *cert, *key) }()
	ended := make(chan struct{})
	go func() { // ends with standard input, or with the process
		defer close(ended)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	select {
	case err := <-failed:
		return nil, err
	case <-ended:
	case <-ctx.Done():
	}
	return struct{}{}, server.Close()
}
