// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// grpcRole makes the test binary a gRPC program: a process of its own, inside the cgroup.
const grpcRole = "QPOINT_E2E_GRPC"

func TestMain(m *testing.M) {
	if role := os.Getenv(grpcRole); role != "" {
		if err := grpcProgram(role, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func grpcProgram(role, addr string) error {
	if role == "server" {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		s := grpc.NewServer()
		healthpb.RegisterHealthServer(s, health.NewServer())
		return s.Serve(l)
	}
	cc, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer cc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	h := healthpb.NewHealthClient(cc)
	for range 10 {
		if _, err := h.Check(ctx, &healthpb.HealthCheckRequest{}); err != nil {
			return err
		}
	}
	if _, err := h.Check(ctx, &healthpb.HealthCheckRequest{Service: "none"}); err == nil {
		return fmt.Errorf("a service that is not there was found")
	}
	w, err := h.Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return err
	}
	_, err = w.Recv()
	return err
}

// TestCaptureGRPC drives grpc-go with grpc-go.
func TestCaptureGRPC(t *testing.T) {
	c := startCollector(t)
	self, err := os.Executable()
	require.NoError(t, err)
	port := freePort(t)
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	t.Setenv(grpcRole, "server")
	c.cgroup.start(t, self, addr)
	waitPort(t, port)
	since := time.Now()
	t.Setenv(grpcRole, "client")
	c.cgroup.run(t, self, addr)

	var checks, watches []request
	require.Eventually(t, func() bool {
		checks, watches = c.requestsAt(t, since, "/grpc.health.v1.Health/Check"), c.requestsAt(t, since, "/grpc.health.v1.Health/Watch")
		return len(checks) >= 22 && len(watches) >= 2
	}, testkit.Patience, 50*time.Millisecond, "both ends of twelve calls: %v", func() any { return c.requests(t, since) })
	require.Len(t, checks, 22)
	require.Len(t, watches, 2)
	traces := map[string]int{}
	errors := map[string]int{}
	for _, row := range checks {
		require.Equal(t, "POST", row.Method)
		require.Equal(t, "2", row.ProtocolVersion)
		require.Equal(t, 200, row.Status)
		traces[row.TraceID]++
		errors[row.Kind+" "+row.ErrorType]++
		entry := c.payload(t, row)
		require.NotEmpty(t, entry.requestBody(t))
		if row.ErrorType == "" && row.Kind == "client" {
			require.Contains(t, entry.Response.Trailers, nameValue{"grpc-status", "0"})
		}
	}
	require.Len(t, traces, 11)
	require.Equal(t, map[string]int{"client ": 10, "server ": 11, "client NOT_FOUND": 1}, errors, "NOT_FOUND is no error of a server")
	for _, row := range watches { // the client went away
		require.Contains(t, []string{"connection_closed", "connection_reset", "stream_cancelled"}, row.ErrorType)
	}
	c.requireConserved(t)
	require.Zero(t, c.stop().ExitCode(), "a clean shutdown")
}
