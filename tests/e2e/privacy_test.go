// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// finding is what the tests read of one row of GET /api/v1/findings.
type finding struct {
	Kind     string `json:"kind"`
	Reason   string `json:"reason"`
	Message  string `json:"message"`
	Location string `json:"location"`
	Place    string `json:"place"`
	Role     string `json:"role"`
	Service  string `json:"service_name"`
	Server   string `json:"server_address"`
	Port     int    `json:"server_port"`
	Count    int    `json:"count"`
	TraceID  string `json:"trace_id"`
	SpanID   string `json:"span_id"`
}

func (c *collector) findings(t *testing.T, query string) []finding {
	t.Helper()
	var answer struct {
		Findings []finding `json:"findings"`
	}
	require.NoError(t, json.Unmarshal(c.get(t, "/api/v1/findings"+query), &answer))
	return answer.Findings
}

// someCard is the test number of a payment card, and someMail an address that nobody has.
const (
	someCard = "4111111111111111"
	someMail = "nobody.at.all@example.org"
)

// TestFindings sends sensitive data with a real client to a real server: who sent which kind where is known, in
// either protocol, and no value is anywhere in the answers.
func TestFindings(t *testing.T) {
	c := startCollector(t)
	python := startPython(t, c.cgroup)
	for _, scheme := range []string{"http", "https"} {
		c.cgroup.run(t, "curl", "-sS", "--cacert", python.cert, "-H", "X-Contact: "+someMail, "-H", "Content-Type: application/json",
			"-d", `{"order":{"cards":[{"number":"`+someCard+`"},{"number":"`+someCard+`"}],"`+someMail+`":1}}`, python.url(scheme, "/pay?to="+someMail))
	}
	var rows []finding
	has := func(f finding) bool {
		for _, r := range rows {
			if strings.HasPrefix(r.Service, "python3.") {
				r.Service = "python3"
			}
			r.Count, r.Server, r.Port, r.TraceID, r.SpanID = min(r.Count, f.Count), "", 0, "", ""
			if r == f {
				return true
			}
		}
		return false
	}
	for _, want := range []finding{
		{Kind: "card", Message: "request", Location: "json", Place: "order.cards[].number", Role: "client", Service: "curl", Count: 2},
		{Kind: "card", Message: "request", Location: "json", Place: "order.cards[].number", Role: "server", Service: "python3", Count: 2},
		{Kind: "email", Message: "request", Location: "header", Place: "x-contact", Role: "client", Service: "curl", Count: 1},
		{Kind: "email", Message: "request", Location: "query", Place: "to", Role: "client", Service: "curl", Count: 1},
		{Kind: "email", Message: "request", Location: "json", Place: "order", Role: "client", Service: "curl", Count: 1},
	} {
		require.Eventually(t, func() bool {
			rows = c.findings(t, "?limit=1000")
			return has(want)
		}, testkit.Patience, 100*time.Millisecond, "%+v is not in %+v", want, rows)
	}
	answer := string(c.get(t, "/api/v1/findings?limit=1000"))
	require.NotContains(t, answer, someCard)
	require.NotContains(t, answer, "nobody")
	only := c.findings(t, "?filter=kind:card+role:client+service:curl")
	require.NotEmpty(t, only)
	for _, f := range only {
		require.Equal(t, "card", f.Kind)
		require.NotEmpty(t, f.TraceID)
		// It leads to an exchange that has it.
		c.get(t, "/api/v1/requests/"+f.TraceID+"/"+f.SpanID)
	}
}

// TestEncryptedPayloads has payloads encrypted, the queue on disk and the log at its most talkative: whoever reads the bucket,
// the queue, the log or the metrics finds nothing of them, and whoever has the key reads one exchange with the tools that
// everybody has.
func TestEncryptedPayloads(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	data := t.TempDir()
	queue := filepath.Join(data, "queue")
	keys := filepath.Join(t.TempDir(), "keys")
	core := t.TempDir()
	c := &collector{cgroup: newCgroup(t), data: data}
	apiPort, s3Port, metricsPort := freePort(t), freePort(t), freePort(t)
	c.api, c.s3, c.metrics = "http://127.0.0.1:"+itoa(apiPort), "127.0.0.1:"+itoa(s3Port), "http://127.0.0.1:"+itoa(metricsPort)+"/metrics"
	args := demoArgs(c, apiPort, s3Port, metricsPort, []string{
		"connectors::qpoint_s3::encryption::age_recipients: [" + id.Recipient().String() + "]",
		"connectors::qpoint_s3::sending_queue::storage: file_storage/payload",
		"extensions::file_storage/payload: {directory: " + queue + ", create_directory: true}",
		"service::extensions: [file_storage/payload, privacy_guard, local_clickhouse, local_s3, qpoint_erase, pulse_api]",
		"service::telemetry::logs::level: debug",
		"receivers::qtap_payload::redact::headers: [x-private]",
	})
	// A core file would be made here, if one were made.
	c.cmd = c.cgroup.command(context.Background(), "sh", append([]string{"-c", `ulimit -c unlimited; cd "$0" && exec "$@"`, core, binary(t)}, args...)...)
	c.cmd.Env = append(os.Environ(), "QPOINT_DATA_DIR="+c.data)
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.log
	require.NoError(t, c.cmd.Start())
	t.Cleanup(func() {
		c.stop()
		if t.Failed() {
			t.Logf("collector:\n%s", tail(c.log.String(), 60))
		}
	})
	c.ready(t)
	c.login(t)

	info, err := os.Stat(queue)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), "what `file_storage` makes 0750 is mended")
	require.NoError(t, filepath.WalkDir(queue, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			info, err := e.Info()
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), path)
		}
		return err
	}))

	python := startPython(t, c.cgroup)
	inHeader, inBody, inQuery, inPrivate := secretOf(t), secretOf(t), secretOf(t), secretOf(t)
	since := time.Now()
	t.Setenv("SSLKEYLOGFILE", keys)
	c.cgroup.run(t, "curl", "-sS", "--cacert", python.cert, "-H", "X-Api-Key: "+inHeader, "-H", "X-Private: "+inPrivate,
		"-d", `{"secret":"`+inBody+`"}`, python.url("https", "/a?token="+inQuery))
	var rows []request
	require.Eventually(t, func() bool {
		rows = c.requests(t, since)
		return len(rows) >= 2
	}, testkit.Patience, 50*time.Millisecond)

	for _, row := range rows {
		entry := c.entry(t, row)
		head := 30 + le16(entry[26:]) + le16(entry[28:])
		require.Equal(t, row.SpanID+".har.gz.age", string(entry[30:head]))
		r, err := age.Decrypt(bytes.NewReader(entry[head:]), id)
		require.NoError(t, err)
		z, err := gzip.NewReader(r)
		require.NoError(t, err)
		har, err := io.ReadAll(z)
		require.NoError(t, err)
		for _, secret := range []string{inHeader, inBody, inQuery} {
			require.Contains(t, string(har), secret)
		}
		require.NotContains(t, string(har), inPrivate, "it was redacted before")
		require.Contains(t, string(har), `"reason":"header"`)
	}

	// The secrets of the very session, as the client itself wrote them.
	keylog, err := os.ReadFile(keys)
	require.NoError(t, err)
	secrets := [][]byte{}
	for line := range strings.Lines(string(keylog)) {
		if f := strings.Fields(line); len(f) == 3 {
			raw, err := hex.DecodeString(f[2])
			require.NoError(t, err)
			secrets = append(secrets, raw, []byte(f[2]), []byte(strings.ToUpper(f[2])), []byte(base64.StdEncoding.EncodeToString(raw)))
		}
	}
	require.NotEmpty(t, secrets)
	for _, s := range []string{inHeader, inBody, inQuery, inPrivate} {
		raw, err := hex.DecodeString(s)
		require.NoError(t, err)
		secrets = append(secrets, []byte(s), raw, []byte(base64.StdEncoding.EncodeToString([]byte(s)))[:40])
	}
	secrets = append(secrets, []byte(id.String()))
	clean := func(where string, data []byte) {
		for _, s := range secrets {
			require.False(t, bytes.Contains(data, s), "%s has a secret", where)
		}
	}
	clean("the metrics", c.metricsText(t))

	// Nobody else of the same user looks into the process, and it leaves no core file.
	status, err := os.ReadFile("/proc/" + itoa(c.cmd.Process.Pid) + "/status")
	require.NoError(t, err)
	require.Contains(t, string(status), "otelcol-qpoint")
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	require.NoError(t, err)
	if strings.HasPrefix(string(pattern), "core") {
		require.NotEmpty(t, coreFiles(t, crash(t, exec.Command("sleep", "60"))), "another process does leave one here")
		require.NoError(t, c.cmd.Process.Signal(syscall.SIGABRT))
		c.exits(t, 30*time.Second)
		require.Empty(t, coreFiles(t, core))
	} else {
		require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
		c.exits(t, 30*time.Second)
	}

	log := c.log.String()
	if i := strings.Index(log, "SIGABRT: abort"); i >= 0 {
		require.Contains(t, log[:i], "\tdebug\t", "the level is what was asked for")
	}
	clean("the log", []byte(log))
	files := 0
	require.NoError(t, filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if err == nil {
			clean(path, text)
		}
		return err
	}))
	require.NotZero(t, files, "bucket, queue and ClickHouse")
}

// crash starts a command with core files on and aborts it; it returns its folder.
func crash(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	dir := t.TempDir()
	cmd = exec.Command("sh", append([]string{"-c", `ulimit -c unlimited; cd "$0" && exec "$@"`, dir}, cmd.Args...)...)
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool {
		name, err := os.Readlink("/proc/" + itoa(cmd.Process.Pid) + "/exe")
		return err == nil && !strings.Contains(filepath.Base(name), "sh")
	}, testkit.Patience, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(unix.SIGABRT))
	_ = cmd.Wait()
	return dir
}

func coreFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "core*"))
	require.NoError(t, err)
	return files
}

func itoa(n int) string { return strconv.Itoa(n) }

// TestNoProfiler: no way leads into the memory of the process by HTTP.
func TestNoProfiler(t *testing.T) {
	program, err := os.ReadFile(binary(t))
	require.NoError(t, err)
	require.True(t, bytes.Contains(program, []byte("net/http.(*Server).Serve")), "names of functions are in the binary")
	require.False(t, bytes.Contains(program, []byte("net/http/pprof.Profile")))
}

// secretOf is a secret that exists once: 32 hex digits, as tokens and session ids look.
func secretOf(t *testing.T) string {
	t.Helper()
	b := make([]byte, 16)
	_, err := rand.Read(b)
	require.NoError(t, err)
	return hex.EncodeToString(b)
}
