// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// chat answers each message with as many as it says, and fails when told to.
var chat = grpc.ServiceDesc{
	ServiceName: "qpoint.test.Chat",
	HandlerType: (*any)(nil),
	Streams: []grpc.StreamDesc{{StreamName: "Talk", ClientStreams: true, ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
		for {
			var m wrapperspb.UInt32Value
			if err := s.RecvMsg(&m); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if m.Value == 99 {
				return status.Error(codes.DataLoss, "as told")
			}
			for range m.Value {
				if err := s.SendMsg(wrapperspb.String(strings.Repeat("r", 3000))); err != nil {
					return err
				}
			}
		}
	}}},
}

type health struct {
	healthpb.UnimplementedHealthServer
}

func (health) Check(_ context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if r.Service != "" {
		return nil, status.Error(codes.NotFound, "none")
	}
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
}

func (health) Watch(_ *healthpb.HealthCheckRequest, s healthpb.Health_WatchServer) error {
	_ = s.Send(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING})
	<-s.Context().Done()
	return nil
}

func TestGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	srv.RegisterService(&chat, nil)
	healthpb.RegisterHealthServer(srv, health{})
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(l) })
	defer wg.Wait()
	defer srv.Stop()
	r := record(t, l.Addr().String(), nil)
	cc, err := grpc.NewClient("passthrough:///"+r.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	h := healthpb.NewHealthClient(cc)
	if _, err := h.Check(ctx, &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Check(ctx, &healthpb.HealthCheckRequest{}, grpc.UseCompressor(gzip.Name)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Check(ctx, &healthpb.HealthCheckRequest{Service: "x"}); status.Code(err) != codes.NotFound {
		t.Fatal(err)
	}
	if err := cc.Invoke(ctx, "/no.Such/Thing", &wrapperspb.StringValue{}, &wrapperspb.StringValue{}); status.Code(err) != codes.Unimplemented {
		t.Fatal(err)
	}
	watchCtx, stop := context.WithCancel(ctx)
	w, err := h.Watch(watchCtx, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Recv(); err != nil {
		t.Fatal(err)
	}
	stop()
	talk := func(ns ...uint32) int {
		s, err := cc.NewStream(ctx, &chat.Streams[0], "/qpoint.test.Chat/Talk")
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for _, n := range ns {
			if err := s.SendMsg(wrapperspb.UInt32(n)); err != nil {
				t.Fatal(err)
			}
		}
		_ = s.CloseSend()
		for {
			var m wrapperspb.StringValue
			if s.RecvMsg(&m) != nil {
				return got
			}
			got++
		}
	}
	if n := talk(1, 0, 40, 3); n != 44 {
		t.Fatal(n)
	}
	talk(2, 99)
	time.Sleep(50 * time.Millisecond) // let what follows the last status pass
	cc.Close()
	xs := r.done(t)
	want := map[string]int{
		"/grpc.health.v1.Health/Check [1 1] 0 ":                2,
		"/grpc.health.v1.Health/Check [1 0] 5 ":                1,
		"/no.Such/Thing [1 0] 12 ":                             1,
		"/grpc.health.v1.Health/Watch [1 1]  stream_cancelled": 1,
		"/qpoint.test.Chat/Talk [4 44] 0 ":                     1,
		"/qpoint.test.Chat/Talk [2 2] 15 ":                     1,
	}
	got := map[string]int{}
	for _, x := range xs {
		if x.RPC == nil || x.Response == nil {
			t.Fatalf("%+v", x)
		}
		code := x.Response.Get("grpc-status")
		for _, h := range x.Response.Trailers {
			if h.Name == "grpc-status" {
				code = h.Value
			}
		}
		if code == "12" { // the server may answer, and reset the stream, before the message
			x.RPC.RequestMessages = 1
		}
		got[fmt.Sprintf("%s [%d %d] %s %s", x.Request.Target, x.RPC.RequestMessages, x.RPC.ResponseMessages, code, x.Incomplete)]++
	}
	for k, n := range want {
		if got[k] != n {
			t.Errorf("%q: %d, want %d", k, got[k], n)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}
