// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"time"
)

// conversation is one line of play's input: what the two ends of a connection say, in this order.
type conversation struct {
	Name string `json:"name"`
	Says []say  `json:"says"`
	// Reset makes the client leave with a reset.
	Reset bool `json:"reset"`
	// Port is the server's; 0 is any. Datagrams makes it UDP, Secure TLS.
	Port      int  `json:"port"`
	Datagrams bool `json:"datagrams"`
	Secure    bool `json:"secure"`
}

type say struct {
	Client bool   `json:"client"`
	Data   []byte `json:"data"`
}

// What the ends tell each other beside the connection, each as JSON: the server where it listens, the client its own address, and the
// server in the end how many bytes it has seen.
type (
	listens struct {
		At   string `json:"at"`
		Cert []byte `json:"cert"` // DER, where it is TLS
	}
	dialled struct {
		From string `json:"from"`
	}
	ended struct {
		Bytes int    `json:"bytes"`
		Error string `json:"error,omitempty"`
	}
)

// patience is how long one end waits for the other.
const patience = 2 * time.Minute

// played is what play says.
type played struct {
	Played int `json:"played"`
	Bytes  int `json:"bytes"` // that the server has sent or received
	Client int `json:"client_pid"`
	Server int `json:"server_pid"`
}

// play plays conversations, one after the other, between two processes: this one is the client, and the server is another one of the same
// program, which it starts. Each waits until it has what the other said. So every byte is on the wire, in order, whatever it means.
func play(ctx context.Context, args []string) (any, error) {
	if err := flag.NewFlagSet("play", flag.ContinueOnError).Parse(args); err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	server := exec.CommandContext(ctx, program, "other")
	server.Stderr = os.Stderr
	in, err := server.StdinPipe() // its life
	if err != nil {
		return nil, err
	}
	out, err := server.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := server.Start(); err != nil {
		return nil, err
	}
	said := played{Client: os.Getpid(), Server: server.Process.Pid}
	err = func() error {
		todo, tell, hear := json.NewDecoder(os.Stdin), json.NewEncoder(in), json.NewDecoder(out)
		for {
			var c conversation
			if err := todo.Decode(&c); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			n, err := c.ask(ctx, tell, hear)
			if err != nil {
				return fmt.Errorf("%s: %w", c.Name, err)
			}
			said.Played++
			said.Bytes += n
		}
	}()
	in.Close()
	return said, errors.Join(err, server.Wait())
}

// ask is the client of a conversation.
func (c *conversation) ask(ctx context.Context, tell *json.Encoder, hear *json.Decoder) (size int, err error) {
	if err := tell.Encode(c); err != nil {
		return 0, err
	}
	var at listens
	if err := hear.Decode(&at); err != nil {
		return 0, err
	}
	network := "tcp4"
	if c.Datagrams {
		network = "udp4"
	}
	dialer := net.Dialer{Timeout: patience}
	raw, err := dialer.DialContext(ctx, network, at.At)
	if err != nil {
		return 0, err
	}
	defer raw.Close()
	if err := tell.Encode(dialled{raw.LocalAddr().String()}); err != nil {
		return 0, err
	}
	conn := raw
	if c.Secure {
		cert, err := x509.ParseCertificate(at.Cert)
		if err != nil {
			return 0, err
		}
		config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
		config.RootCAs.AddCert(cert)
		conn = tls.Client(raw, config)
	}
	mine := c.speak(conn, true)
	var theirs ended
	if err := errors.Join(mine, hear.Decode(&theirs)); err != nil {
		return 0, err
	}
	if theirs.Error != "" {
		return 0, fmt.Errorf("the server: %s", theirs.Error)
	}
	if tcp, ok := raw.(*net.TCPConn); ok && c.Reset {
		return theirs.Bytes, tcp.SetLinger(0)
	}
	return theirs.Bytes, conn.Close()
}

// other is the server of conversations, until standard input ends.
func other(context.Context, []string) (any, error) {
	todo, tell := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	cert, err := selfSigned()
	if err != nil {
		return nil, err
	}
	var open []net.Conn // until the client has left
	for {
		var c conversation
		err := todo.Decode(&c)
		for _, conn := range open {
			conn.Close()
		}
		open = nil
		if errors.Is(err, io.EOF) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		raw, err := c.accept(todo, tell, cert.Certificate[0])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		open = append(open, raw)
		conn := raw
		if c.Secure {
			conn = tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}})
		}
		said := ended{}
		for _, s := range c.Says {
			said.Bytes += len(s.Data)
		}
		if err := c.speak(conn, false); err != nil {
			said.Error = err.Error()
		}
		if err := tell.Encode(said); err != nil {
			return nil, err
		}
	}
}

// accept waits for the client.
func (c *conversation) accept(todo *json.Decoder, tell *json.Encoder, cert []byte) (net.Conn, error) {
	loop := net.IPv4(127, 0, 0, 1)
	if c.Datagrams {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loop, Port: c.Port})
		if err != nil {
			return nil, err
		}
		var client dialled
		err = errors.Join(tell.Encode(listens{At: conn.LocalAddr().String()}), todo.Decode(&client))
		to, errAddr := net.ResolveUDPAddr("udp4", client.From)
		if err := errors.Join(err, errAddr); err != nil {
			conn.Close()
			return nil, err
		}
		return answering{conn, to}, nil
	}
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: loop, Port: c.Port})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	var client dialled
	if err := errors.Join(tell.Encode(listens{l.Addr().String(), cert}), todo.Decode(&client), l.SetDeadline(time.Now().Add(patience))); err != nil {
		return nil, err
	}
	return l.Accept()
}

// speak says what this end has to say, and reads what the other has.
func (c *conversation) speak(conn net.Conn, client bool) error {
	for _, s := range c.Says {
		for data := s.Data; len(data) > 0; {
			piece := data[:min(len(data), 8<<10)] // a datagram
			data = data[len(piece):]
			if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
				return err
			}
			var err error
			if s.Client == client {
				_, err = conn.Write(piece)
			} else {
				_, err = io.ReadFull(conn, make([]byte, len(piece)))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// answering is the server's end of datagrams: it knows whom it answers.
type answering struct {
	*net.UDPConn
	to net.Addr
}

func (a answering) Write(b []byte) (int, error) { return a.WriteTo(b, a.to) }

// selfSigned makes a certificate for localhost.
func selfSigned() (tls.Certificate, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, err
}
