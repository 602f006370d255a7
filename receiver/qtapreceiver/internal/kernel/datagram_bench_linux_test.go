// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
)

// echo sends datagrams to itself and back, as many as it is told, and prints the nanoseconds that one took.
const echo = `
import socket, sys, time
port, size = int(sys.argv[1]), int(sys.argv[2])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.7.7.7", port))
c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); c.connect(("127.7.7.7", port))
b = b"\x12\x34\x01\x00" + b"x" * (size - 4)
for line in sys.stdin:
    n = int(line); t = time.perf_counter_ns()
    for _ in range(n): c.send(b); s.recv(2048)
    print((time.perf_counter_ns() - t) // n, flush=True)
`

// BenchmarkDatagrams sends datagrams over loopback, in turns without the capture and with it. It reports how
// long the programs run for each, out and in together, by the kernel's own statistics, and what a datagram takes.
func BenchmarkDatagrams(b *testing.B) {
	for name, c := range map[string]struct{ port, size int }{
		"other/64B": {9999, 64}, "other/1400B": {9999, 1400}, "dns/64B": {53, 64},
	} {
		b.Run(name, func(b *testing.B) {
			dir := newCgroup(b)
			cmd := commandIn(b, dir, "python3", "-c", echo, fmt.Sprint(c.port), fmt.Sprint(c.size))
			stdin, err := cmd.StdinPipe()
			require.NoError(b, err)
			stdout, err := cmd.StdoutPipe()
			require.NoError(b, err)
			require.NoError(b, cmd.Start())
			defer func() { _ = cmd.Wait() }()
			defer stdin.Close()
			send := func(n int) (ns int) {
				_, err := fmt.Fprintln(stdin, n)
				require.NoError(b, err)
				_, err = fmt.Fscan(stdout, &ns)
				require.NoError(b, err)
				return ns
			}
			send(1000)
			const rounds, each = 7, 20_000
			var without, with, udp, tcp []float64
			for range rounds {
				without = append(without, float64(send(each)))
				run := func() {
					capture, err := Open(Config{CgroupPath: dir, Level: LevelFull, RingBytes: 64 << 20})
					require.NoError(b, err)
					defer func() { require.NoError(b, capture.Close()) }()
					require.NotNil(b, capture.datagrams)
					ctx, cancel := context.WithCancel(context.Background())
					done := make(chan error, 1)
					go func() { done <- capture.Run(ctx, newRecorder()) }()
					defer func() { cancel(); require.NoError(b, <-done) }()
					with = append(with, float64(send(each)))
					// Counting costs as well: it is on for the programs' own time only.
					stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
					require.NoError(b, err)
					defer stats.Close()
					send(each)
					runtime := func(coll *ebpf.Collection, names ...string) (ns float64) {
						for _, p := range names {
							s, err := coll.Programs[p].Stats()
							require.NoError(b, err)
							require.GreaterOrEqual(b, s.RunCount, uint64(each))
							ns += float64(s.Runtime) / float64(s.RunCount)
						}
						return ns
					}
					udp = append(udp, runtime(capture.datagrams.coll, bpf.DatagramProgDatagramOut, bpf.DatagramProgDatagramIn))
					tcp = append(tcp, runtime(capture.coll, bpf.CaptureProgPacketEgress, bpf.CaptureProgPacketIngress))
				}
				run()
			}
			median := func(v []float64) float64 { slices.Sort(v); return v[len(v)/2] }
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(udp), "ns-in-udp-programs")
			b.ReportMetric(median(tcp), "ns-in-tcp-programs")
			b.ReportMetric(median(without), "ns-without")
			b.ReportMetric(median(with), "ns-with")
		})
	}
}
