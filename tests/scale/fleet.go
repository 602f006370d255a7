// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding/gzip"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/tests/fill"
)

// agent is a virtual one: a gRPC connection of its own, with TLS and a token of its own, and the rows of one host.
type agent struct {
	conn   *grpc.ClientConn
	random *rand.Rand
	rows   []pulsestore.Request
	frames []*frame
	next   int
}

// bearer is the token of an agent.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (bearer) RequireTransportSecurity() bool { return true }

// raw hands bytes that are protobuf already to gRPC, and takes them.
type raw struct{}

// Marshal implements encoding.Codec.
func (raw) Marshal(v any) ([]byte, error) { return v.([]byte), nil }

// Unmarshal implements encoding.Codec.
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

// Name implements encoding.Codec.
func (raw) Name() string { return "proto" }

// hosts returns the rows of n hosts, of fleets that are filled with different seeds, about perHost of each.
func hosts(n, perHost int) ([][]pulsestore.Request, error) {
	var out [][]pulsestore.Request
	for seed := uint64(1); len(out) < n; seed++ {
		to := time.Now()
		const fleet = 12 // hosts of one fleet
		rows, err := fill.Requests(fleet*perHost, fill.Options{Seed: seed, From: to.Add(-time.Minute), To: to})
		if err != nil {
			return nil, err
		}
		of := map[string]int{} // by host, so that the order is that of the rows
		for _, r := range rows {
			i, ok := of[r.HostID]
			if !ok {
				i = len(out)
				of[r.HostID] = i
				out = append(out, nil)
			}
			out[i] = append(out[i], r)
		}
	}
	return out[:n], nil
}

// dial connects agents to the gateway, and returns when all are connected. Those that there were stay.
func (g *gateway) dial(ctx context.Context, agents []*agent, n int, rows [][]pulsestore.Request) ([]*agent, error) {
	pem, err := os.ReadFile(g.cert)
	if err != nil {
		return agents, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	first := len(agents)
	for i := first; i < n; i++ {
		conn, err := grpc.NewClient(fmt.Sprintf("dns:///localhost:%d", g.grpc),
			grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "localhost"})),
			grpc.WithPerRPCCredentials(bearer(token(i))),
			grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.UseCompressor(gzip.Name))) // as otlp_grpc does by default
		if err != nil {
			return agents, err
		}
		conn.Connect()
		agents = append(agents, &agent{conn: conn, random: rand.New(rand.NewPCG(uint64(i), 3)), rows: rows[i%len(rows)]})
	}
	for _, a := range agents[first:] {
		for state := a.conn.GetState(); state != connectivity.Ready; state = a.conn.GetState() {
			if !a.conn.WaitForStateChange(ctx, state) {
				return agents, fmt.Errorf("connect an agent: %w", ctx.Err())
			}
		}
	}
	return agents, nil
}

func hangUp(agents []*agent) (err error) {
	for _, a := range agents {
		err = errors.Join(err, a.conn.Close())
	}
	return err
}

// prepare makes the agent's requests of so many rows each.
func (a *agent) prepare(rows, frames int) error {
	a.frames, a.next = nil, 0
	for k := range frames {
		var part []pulsestore.Request
		for i := range rows {
			part = append(part, a.rows[(k*rows+i)%len(a.rows)])
		}
		f, err := newFrame(fill.Traces(part, "agent"))
		if err != nil {
			return err
		}
		a.frames = append(a.frames, f)
	}
	return nil
}

// message is the agent's next request. It is for one goroutine; send is for any.
func (a *agent) message(now time.Time) (body []byte, rows int) {
	f := a.frames[a.next%len(a.frames)]
	a.next++
	return f.render(a.random, now), len(f.spans)
}

// send exports a request. An error is what a sender would try again for; refused are rows that the gateway took and did not keep.
func (a *agent) send(ctx context.Context, body []byte) (refused int64, err error) {
	var answer []byte
	if err := a.conn.Invoke(ctx, "/opentelemetry.proto.collector.trace.v1.TraceService/Export", body, &answer); err != nil {
		return 0, err
	}
	r := ptraceotlp.NewExportResponse()
	if err := r.UnmarshalProto(answer); err != nil {
		return 0, err
	}
	return r.PartialSuccess().RejectedSpans(), nil
}
