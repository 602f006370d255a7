// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// storm opens connections and closes them at once: every second one by a reset, every tenth after a request.
func storm(ctx context.Context, args []string) (any, error) {
	flags := flag.NewFlagSet("storm", flag.ContinueOnError)
	at := flags.String("http", "", "address")
	count := flags.Int("connections", 5000, "connections in all")
	atOnce := flags.Int("at-once", 64, "of them at the same time")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if err := loopback(*at); err != nil {
		return nil, err
	}
	var next, opened, asked, failed atomic.Int64
	var all sync.WaitGroup
	for range *atOnce {
		all.Go(func() {
			for n := next.Add(1); n <= int64(*count) && ctx.Err() == nil; n = next.Add(1) {
				conn, err := net.DialTimeout("tcp", *at, time.Minute)
				if err != nil {
					failed.Add(1)
					continue
				}
				opened.Add(1)
				if n%10 == 0 {
					asked.Add(1)
					_, _ = io.WriteString(conn, "GET /storm HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
					_, _ = io.Copy(io.Discard, conn)
				}
				if n%2 == 1 {
					_ = conn.(*net.TCPConn).SetLinger(0)
				}
				conn.Close()
			}
		})
	}
	all.Wait()
	return map[string]int64{"pid": int64(os.Getpid()), "opened": opened.Load(), "asked": asked.Load(), "failed": failed.Load()}, ctx.Err()
}

// slow sends heads byte by byte on many connections (Slowloris), and leaves all of them unfinished.
func slow(ctx context.Context, args []string) (any, error) {
	flags := flag.NewFlagSet("slow", flag.ContinueOnError)
	at := flags.String("http", "", "address")
	count := flags.Int("connections", 200, "connections")
	size := flags.Int("bytes", 400, "bytes of each head")
	every := flags.Duration("every", 20*time.Millisecond, "between two bytes of a connection")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if err := loopback(*at); err != nil {
		return nil, err
	}
	text := append([]byte("GET /slow HTTP/1.1\r\nHost: localhost\r\nX-Slow: "), bytes.Repeat([]byte("s"), *size)...)[:*size]
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range *count {
		conn, err := net.DialTimeout("tcp", *at, time.Minute)
		if err != nil {
			return nil, err
		}
		conns = append(conns, conn)
	}
	pace := time.NewTicker(*every)
	defer pace.Stop()
	written := 0
	for i := range text {
		for _, c := range conns {
			n, err := c.Write(text[i : i+1])
			written += n
			if err != nil {
				return nil, err
			}
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return map[string]int{"pid": os.Getpid(), "connections": len(conns), "bytes": written}, nil
}

// head sends a head that does not end to a server that reads on whatever comes. It says so when all is read, and closes the connection when
// standard input ends.
func head(ctx context.Context, args []string) (any, error) {
	flags := flag.NewFlagSet("head", flag.ContinueOnError)
	size := flags.Int64("bytes", 32<<20, "bytes of it")
	one := flags.Bool("one-line", false, "in one field line, not in many")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	client, err := net.DialTimeout("tcp4", l.Addr().String(), patience)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		return nil, err
	}
	defer server.Close()
	stop := context.AfterFunc(ctx, func() { client.Close(); server.Close() })
	defer stop()
	text := []byte("GET /head HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
	piece := bytes.Repeat([]byte("v"), 32<<10)
	if !*one {
		piece = bytes.Repeat([]byte("value\r\nX-Again: "), 2<<10)
	}
	count := max(0, *size-int64(len(text))) / int64(len(piece))
	total := int64(len(text)) + count*int64(len(piece))
	read := make(chan error, 1)
	go func() { // ends with the connection
		_, err := io.CopyN(io.Discard, server, total)
		read <- err
	}()
	_, err = client.Write(text)
	for ; err == nil && count > 0; count-- {
		_, err = client.Write(piece)
	}
	if err != nil {
		server.Close()
	}
	if err = errors.Join(err, <-read); err != nil {
		return nil, err
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]int64{"written": total}); err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return struct{}{}, err
}
