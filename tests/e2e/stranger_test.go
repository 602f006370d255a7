// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stranger is somebody else's collector.
type stranger struct {
	grpc, http int
	cmd        *exec.Cmd
	log        lockedBuffer
}

func startStranger(t *testing.T) *stranger {
	t.Helper()
	s := &stranger{grpc: freePort(t), http: freePort(t)}
	config := fmt.Sprintf(`yaml:{receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:%d'}, http: {endpoint: '127.0.0.1:%d'}}}}, exporters: {debug: {verbosity: detailed}},
service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}, logs: {receivers: [otlp], exporters: [debug]}}, telemetry: {metrics: {level: none}}}}`, s.grpc, s.http)
	s.cmd = exec.CommandContext(context.Background(), binary(t), "--config", config)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	require.NoError(t, s.cmd.Start())
	t.Cleanup(func() { s.stop() })
	waitPort(t, s.grpc)
	return s
}

func (s *stranger) stop() []byte {
	if s.cmd.ProcessState == nil {
		stop(s.cmd, 10*time.Second)
	}
	return []byte(s.log.String())
}
