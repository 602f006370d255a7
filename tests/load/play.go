// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// conversation is one line of play's input: what the two ends of a connection say, in this order.
type conversation struct {
	Name string `json:"name"`
	Says []struct {
		Client bool   `json:"client"`
		Data   []byte `json:"data"`
	} `json:"says"`
	Reset bool `json:"reset"`
	// Port is the server's; 0 is any. Datagrams makes it UDP.
	Port      int  `json:"port"`
	Datagrams bool `json:"datagrams"`
}

// play plays conversations, one after the other: both ends are its own, and each waits until it has what the other
// said. So every byte is on the wire, in order, whatever it means.
func play(ctx context.Context, args []string) (any, error) {
	flags := flag.NewFlagSet("play", flag.ContinueOnError)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	in := bufio.NewReader(os.Stdin)
	dec := json.NewDecoder(in)
	played, size := 0, 0
	for ctx.Err() == nil {
		var c conversation
		if err := dec.Decode(&c); errors.Is(err, io.EOF) {
			return map[string]int{"played": played, "bytes": size}, nil
		} else if err != nil {
			return nil, err
		}
		n, err := c.play()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		played++
		size += n
	}
	return nil, ctx.Err()
}

func (c *conversation) play() (size int, err error) {
	ends, err := c.connect()
	if err != nil {
		return 0, err
	}
	defer ends[0].Close()
	defer ends[1].Close()
	for _, s := range c.Says {
		from, to := ends[0], ends[1]
		if s.Client {
			from, to = to, from
		}
		for data := s.Data; len(data) > 0; {
			piece := data[:min(len(data), 32<<10)] // less than what a socket takes without a reader
			data = data[len(piece):]
			deadline := time.Now().Add(time.Minute)
			if err := errors.Join(from.SetDeadline(deadline), to.SetDeadline(deadline)); err != nil {
				return size, err
			}
			if _, err := from.Write(piece); err != nil {
				return size, err
			}
			n, err := io.ReadFull(to, make([]byte, len(piece)))
			size += n
			if err != nil {
				return size, err
			}
		}
	}
	if tcp, ok := ends[1].(*net.TCPConn); ok && c.Reset {
		return size, tcp.SetLinger(0)
	}
	return size, nil
}

// connect returns the server's end and the client's.
func (c *conversation) connect() (ends [2]net.Conn, err error) {
	if c.Datagrams {
		s, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: c.Port})
		if err != nil {
			return ends, err
		}
		client, err := net.DialUDP("udp4", nil, s.LocalAddr().(*net.UDPAddr))
		if err != nil {
			s.Close()
			return ends, err
		}
		return [2]net.Conn{&answering{UDPConn: s, to: client.LocalAddr()}, client}, nil
	}
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: c.Port})
	if err != nil {
		return ends, err
	}
	defer l.Close()
	client, err := net.DialTimeout("tcp4", l.Addr().String(), time.Minute)
	if err != nil {
		return ends, err
	}
	if err := l.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		client.Close()
		return ends, err
	}
	server, err := l.Accept()
	if err != nil {
		client.Close()
		return ends, err
	}
	return [2]net.Conn{server, client}, nil
}

// answering is the server's end of datagrams: it knows whom it answers.
type answering struct {
	*net.UDPConn
	to net.Addr
}

func (a *answering) Write(b []byte) (int, error) { return a.WriteTo(b, a.to) }
