// SPDX-License-Identifier: Apache-2.0

// Command load is the traffic of the tests of exactness and faults: an HTTP and HTTPS server, and clients of it that
// count what they do. It talks to loopback only, and says on standard output, as JSON, what it did.
//
//	load serve -cert cert.pem -key key.pem        until standard input ends
//	load send  -http A -https B -ca cert.pem      numbered requests at a rate
//	load storm -http A -connections 100000        connections that are opened and closed
//	load slow  -http A -connections 200           requests whose heads come byte by byte
//	load head  -bytes 1073741824                  a request whose head does not end, until standard input ends
//	load play  < conversations                    bytes, whatever they mean, between this process and another one
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	modes := map[string]func(context.Context, []string) (any, error){
		"serve": serve, "send": send, "storm": storm, "slow": slow, "head": head, "play": play, "other": other,
	}
	if len(args) == 0 || modes[args[0]] == nil {
		return errors.New("the first argument must be serve, send, storm, slow, head or play")
	}
	said, err := modes[args[0]](ctx, args[1:])
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return json.NewEncoder(os.Stdout).Encode(said)
}

// loopback refuses to send anything elsewhere.
func loopback(addresses ...string) error {
	for _, a := range addresses {
		host, _, err := net.SplitHostPort(a)
		if err != nil {
			return err
		}
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			return fmt.Errorf("%s is not on loopback", a)
		}
	}
	return nil
}
