// SPDX-License-Identifier: Apache-2.0

//go:build linux

package exactness

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// program builds tests/load, once.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(Root, "_build", "load")
	mine := fmt.Sprintf("%s.%d", path, os.Getpid())
	cmd := exec.Command("go", "build", "-o", mine, "./tests/load")
	cmd.Dir = Root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build tests/load: %w: %s", err, out)
	}
	// Renamed when whole: another test may be starting it.
	return path, os.Rename(mine, path)
})

// Traffic is a server that runs in a cgroup, and clients of it.
type Traffic struct {
	Cgroup      *Cgroup
	HTTP, HTTPS string // addresses
	PID         int    // of the server

	load, cert string
}

// Serve starts tests/load's server in the cgroup. It is ended with the test.
func Serve(t testing.TB, in *Cgroup) *Traffic {
	t.Helper()
	load, err := program()
	require.NoError(t, err)
	cert, key := certificate(t)
	cmd := in.Command(context.Background(), load, "serve", "-cert", cert, "-key", key)
	stdin, err := cmd.StdinPipe() // the server's life
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var stderr lockedBuffer
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		stop(cmd, Patience)
	})
	said, err := bufio.NewReader(stdout).ReadBytes('\n')
	require.NoError(t, err, "%s", &stderr)
	tr := &Traffic{Cgroup: in, load: load, cert: cert}
	require.NoError(t, json.Unmarshal(said, &struct {
		HTTP  *string `json:"http"`
		HTTPS *string `json:"https"`
		PID   *int    `json:"pid"`
	}{&tr.HTTP, &tr.HTTPS, &tr.PID}))
	return tr
}

// Sent is what `load send` says.
type Sent struct {
	First       uint64  `json:"first"`
	Last        uint64  `json:"last"`
	Answered    uint64  `json:"answered"`
	Failed      uint64  `json:"failed"`
	Error       string  `json:"error,omitempty"`
	Secure      uint64  `json:"secure"`
	Connections uint64  `json:"connections"`
	Seconds     float64 `json:"seconds"`
	Rate        float64 `json:"rate"`
	Slowest     float64 `json:"slowest_seconds"`
	PID         int     `json:"pid"`

	ledger string // file with the number and the client's port of every HTTPS request
}

// Load is what is sent.
type Load struct {
	Rate     float64
	Duration time.Duration
	// First is the number of the first request; 0: they are not numbered.
	First uint64
	// Path is asked for; empty is /numbered.
	Path string
	// Plain leaves out HTTPS.
	Plain bool
	// Connections are the keep-alive connections; every second is HTTPS. 0 is 32.
	Connections int
	// Fresh makes every so many requests have a connection of their own; 0 is every 20th.
	Fresh uint64
}

// Sending is a load that is under way.
type Sending struct {
	ledger string
	cmd    *exec.Cmd
	out    bytes.Buffer
	stderr bytes.Buffer
}

// Begin begins to send from within the cgroup.
func (tr *Traffic) Begin(t testing.TB, l Load) *Sending {
	t.Helper()
	if l.Connections == 0 {
		l.Connections = 32
	}
	if l.Fresh == 0 {
		l.Fresh = 20
	}
	if l.Path == "" {
		l.Path = "/numbered"
	}
	args := []string{
		"send", "-path", l.Path, "-http", tr.HTTP, "-rate", fmt.Sprint(l.Rate), "-duration", l.Duration.String(), "-first", strconv.FormatUint(l.First, 10),
		"-connections", strconv.Itoa(l.Connections), "-fresh", strconv.FormatUint(l.Fresh, 10),
	}
	ledger := filepath.Join(t.TempDir(), "ledger")
	if !l.Plain {
		args = append(args, "-ledger", ledger)
		args = append(args, "-https", tr.HTTPS, "-ca", tr.cert)
	}
	s := &Sending{ledger: ledger, cmd: tr.Cgroup.Command(context.Background(), tr.load, args...)}
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.stderr
	require.NoError(t, s.cmd.Start())
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			stop(s.cmd, Patience)
		}
	})
	return s
}

// Wait waits until all is sent. Every request must have had its response.
func (s *Sending) Wait(t testing.TB) Sent {
	t.Helper()
	require.NoError(t, s.cmd.Wait(), "%s", &s.stderr)
	var sent Sent
	require.NoError(t, json.Unmarshal(s.out.Bytes(), &sent))
	sent.ledger = s.ledger
	require.Zero(t, sent.Failed, "%s", sent.Error)
	require.Equal(t, sent.Last-sent.First+1, sent.Answered)
	return sent
}

// End ends a load before its time. Whatever it sent had its response.
func (s *Sending) End(t testing.TB) Sent {
	t.Helper()
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	return s.Wait(t)
}

// Program is the path of tests/load.
func (tr *Traffic) Program() string { return tr.load }

// Send sends, and waits until all is sent.
func (tr *Traffic) Send(t testing.TB, l Load) Sent {
	t.Helper()
	return tr.Begin(t, l).Wait(t)
}

// Do runs another mode of tests/load in the cgroup, and returns what it says.
func (tr *Traffic) Do(t testing.TB, within time.Duration, stdin []byte, args ...string) map[string]int64 {
	t.Helper()
	return Do(t, tr.Cgroup, within, stdin, args...)
}

// Do runs tests/load in the cgroup, and returns what it says.
func Do(t testing.TB, in *Cgroup, within time.Duration, stdin []byte, args ...string) (said map[string]int64) {
	t.Helper()
	load, err := program()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(in.Run(t, within, stdin, load, args...), &said))
	return said
}

// Warm makes requests until the collector has read encrypted ones, too: the first handshake of a program that nobody
// has used before may come before its probe.
func (tr *Traffic) Warm(t testing.TB, c *Collector) {
	t.Helper()
	require.Eventually(t, func() bool {
		tr.Send(t, Load{Rate: 40, Duration: 100 * time.Millisecond, Path: "/warm", Connections: 4, Fresh: 1})
		return c.Number(t, "SELECT count() FROM qpoint.requests WHERE path = '/warm' AND scheme = 'https'") > 0
	}, Patience, 200*time.Millisecond, "nothing that is encrypted is read")
}

// Quiet waits until all that was sent before is where it belongs.
func (tr *Traffic) Quiet(t testing.TB, c *Collector) {
	t.Helper()
	const barrier = "SELECT count() FROM qpoint.requests WHERE path = '/barrier'"
	// The engine takes events in their order: when it has read this, it has read all before. A ring that a fault has
	// filled may lose it, so it is sent again.
	require.Eventually(t, func() bool {
		had := c.Number(t, barrier)
		tr.Send(t, Load{Rate: 1, Duration: time.Second, Path: "/barrier", Connections: 1, Fresh: 1, Plain: true})
		for range 100 {
			if c.Number(t, barrier) >= had+2 {
				return true
			}
			time.Sleep(100 * time.Millisecond)
		}
		return false
	}, Patience, 100*time.Millisecond, "a request is not captured")
	require.Eventually(t, func() bool {
		b := c.Books(t)
		return b.Stages["spans"].InFlight+b.Stages["payloads"].InFlight == 0 &&
			float64(c.Number(t, rows)-c.rows) == b.Stages["spans"].Out-b.Failed["pulse/spans"] &&
			float64(c.Number(t, receipts)-c.receipts) == b.Stages["payloads"].Out-b.Failed["qpoint_s3/log_records"]
	}, Patience, 200*time.Millisecond, "what was sent before is still on its way")
}

const (
	rows     = "SELECT count() FROM qpoint.requests"
	receipts = "SELECT count() FROM qpoint.payload_entries"
)

// certificate writes a key and a certificate for localhost, and returns their paths.
func certificate(t testing.TB) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	return cert, key
}
