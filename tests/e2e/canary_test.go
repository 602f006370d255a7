// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/tests/privacy/canary"
)

var (
	measured   = flag.Bool("measured", false, "hold listing to 2 s and payloads to 4 s: for a machine that does nothing else")
	canaries   = flag.Int("canaries", 10_000, "how many canaries TestCanaries plants")
	canarySeed = flag.Uint64("canary-seed", 0, "what TestCanaries makes its canaries of; 0: another each time")
)

// ownNamespace marks a test process that has a network namespace of its own.
const ownNamespace = "QPOINT_E2E_NAMESPACE"

// TestCanaries is the proof that sensitive data stays where it belongs. It plants secrets that exist once in every place that
// traffic and processes have, lets two real processes say them to each other, and then reads everything that the collector wrote or
// sent but to the bucket: no secret is there in any form that package needle knows. And each that belongs into the bucket is there.
func TestCanaries(t *testing.T) {
	if inOwnNamespace(t, *canaries) {
		return
	}
	p := newProof(t)
	p.start(t,
		"service::extensions: "+demoExtensions(t, "file_storage"),
		"service::pipelines::traces::exporters: [pulse, debug, otlp_grpc/stranger, otlp_http/stranger, otlp_grpc/away]",
		"service::pipelines::logs::exporters: [pulse, debug, otlp_grpc/stranger, otlp_http/stranger, otlp_grpc/away]")
	stopTails := p.tails(t)
	p.drive(t)
	p.requireStored(t)
	p.requireConserved(t)
	p.walkAPI(t, p.read)
	for where, text := range stopTails() {
		p.read("live tail", where, text)
	}
	p.read("own metrics", p.metrics, p.metricsText(t))
	p.dump(t, p.read)
	p.readAll(t)
	for place, where := range p.leaks {
		t.Errorf("a canary of %s:\n%s", place, where)
	}
	p.requireMarked(t, "API", "MCP", "live tail", "table", "log", "a stranger's collector", "ClickHouse's folder", "queue on disk", "packets")
	p.report(t)
}

// TestCanariesAreFound is the proof of the proof: without guard and anonymize, the same search finds the same canaries wherever
// metadata and payloads then go.
func TestCanariesAreFound(t *testing.T) {
	if inOwnNamespace(t, 500) {
		return
	}
	p := newProof(t)
	p.start(t,
		"service::extensions: "+strings.Replace(demoExtensions(t, "file_storage"), "privacy_guard,", "", 1),
		"receivers::qtap_payload::unguarded: true",
		"service::pipelines::traces/raw: {receivers: [qtap], exporters: [debug, otlp_grpc/stranger, otlp_http/stranger, otlp_grpc/away]}",
		"service::pipelines::logs/raw: {receivers: [qtap, qtap_payload], exporters: [debug, otlp_grpc/stranger, otlp_http/stranger, otlp_grpc/away]}")
	p.drive(t)
	p.requireStored(t)
	p.readAll(t)
	for kind, share := range map[string]float64{"log": 0.6, "a stranger's collector": 0.6, "queue on disk": 0.8, "packets": 0.8} {
		require.Greater(t, float64(len(p.found[kind])), share*float64(p.expected), "canaries that were found in %s", kind)
		t.Logf("%d of %d canaries are in %s", len(p.found[kind]), p.expected, kind)
	}
}

// inOwnNamespace runs the test in a process with a network namespace of its own, with a default route to nowhere: what the collector
// sends to anyone at all is seen, and nobody else's packets are. It returns false in that process.
func inOwnNamespace(t *testing.T, canaries int) bool {
	t.Helper()
	if os.Getenv(ownNamespace) != "" {
		for _, args := range [][]string{
			{"link", "set", "lo", "up"}, {"link", "add", "nowhere", "arp", "off", "type", "veth", "peer", "name", "nobody"},
			{"addr", "add", "192.0.2.1/24", "dev", "nowhere"}, {"link", "set", "nobody", "up"},
			{"link", "set", "nowhere", "up"}, {"route", "add", "default", "dev", "nowhere"},
		} {
			out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput()
			require.NoError(t, err, "ip %v: %s", args, out)
		}
		return false
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1",
		"-canaries="+strconv.Itoa(canaries), "-canary-seed="+strconv.FormatUint(*canarySeed, 10))
	cmd.Env = append(os.Environ(), ownNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // the signal comes with the end of the thread
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
	require.Contains(t, string(out), "--- PASS: "+t.Name())
	return true
}

// demoExtensions is the list of extensions in the demo's config, and one more.
func demoExtensions(t *testing.T, more string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "distributions/otelcol-qpoint/configs/demo.yaml"))
	require.NoError(t, err)
	list := regexp.MustCompile(`(?m)^  extensions: \[(privacy_guard,.*)\]$`).FindSubmatch(text)
	require.NotNil(t, list)
	return "[" + string(list[1]) + ", " + more + "]"
}

// proof is one run: canaries, who says them, who may hear them, and what was found.
type proof struct {
	*collector
	*reader
	mint                    *canary.Mint
	environment, arguments  []string
	title                   string
	datagrams               []string
	plan                    []canary.Conversation
	cert, key               string
	nginx                   *server
	stranger                *stranger
	sniff                   *sniffer
	plain, secure, udp, dns int // ports of the processes that say the canaries
	expected                int // how many belong into the bucket
	stored                  map[int]bool
}

func newProof(t *testing.T) *proof {
	t.Helper()
	seed := *canarySeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-canary-seed=%d", seed)
	m := canary.New(seed)
	const environment, argument = "environment of a process", "argument of a process"
	p := &proof{
		mint:        m,
		environment: []string{"DATABASE_URL=postgres://app:" + m.Any(environment) + "@db/app", "API_TOKEN=" + m.Any(environment), "X" + m.Token(environment) + "=1"},
		arguments:   []string{"--password=" + m.Any(argument), "--" + m.Token(argument), m.Any(argument)},
		title:       m.Token("name of a process"),
		plain:       freePort(t), secure: freePort(t), udp: freePort(t), dns: freePort(t),
		stored: map[int]bool{},
	}
	for range 20 {
		p.datagrams = append(p.datagrams, m.Any("datagram"), m.Any("DNS answer"))
	}
	unit, path := m.ID("certificate"), m.Token("certificate")
	p.cert, p.key = certificate(t, func(c *x509.Certificate) {
		c.Subject.OrganizationalUnit = []string{unit}
		c.URIs = []*url.URL{{Scheme: "https", Host: "localhost", Path: "/" + path}}
	})
	p.plan = m.Plan(*canaries)
	return p
}

// start starts the collector with the demo's config, with a log at debug level, queues on disk, and exporters to somebody else's
// collector and to one that is never there.
func (p *proof) start(t *testing.T, overlays ...string) {
	t.Helper()
	p.stranger = startStranger(t)
	c := &collector{cgroup: newCgroup(t), data: t.TempDir()}
	p.collector = c
	p.nginx = startNginx(t, c.cgroup)
	apiPort, s3Port, metricsPort := freePort(t), freePort(t), freePort(t)
	c.api, c.s3, c.metrics = fmt.Sprintf("http://127.0.0.1:%d", apiPort), fmt.Sprintf("127.0.0.1:%d", s3Port), fmt.Sprintf("http://127.0.0.1:%d/metrics", metricsPort)
	// What goes to the bucket, and what the watched programs say to each other.
	p.sniff = startSniffer(t, s3Port, p.plain, p.secure, p.udp, p.dns, p.nginx.http, p.nginx.https, p.nginx.h2, p.nginx.h2c)
	c.begin(t, demoArgs(c, apiPort, s3Port, metricsPort, append([]string{
		"service::telemetry::logs::level: debug",
		"service::telemetry::logs::sampling: {enabled: false}", // every line is searched, not a sample
		"extensions::file_storage: {directory: " + c.data + "/queue, create_directory: true}",
		"exporters::debug: {verbosity: detailed, use_internal_logger: true}",
		"exporters::pulse::sending_queue::storage: file_storage",
		fmt.Sprintf("exporters::otlp_grpc/stranger: {endpoint: '127.0.0.1:%d', compression: none, tls: {insecure: true}, sending_queue: {storage: file_storage}}", p.stranger.grpc),
		fmt.Sprintf("exporters::otlp_http/stranger: {endpoint: 'http://127.0.0.1:%d', encoding: json, compression: gzip}", p.stranger.http),
		fmt.Sprintf("exporters::otlp_grpc/away: {endpoint: '127.0.0.1:%d', tls: {insecure: true}, sending_queue: {storage: file_storage}, retry_on_failure: {max_elapsed_time: 0s}}", freePort(t)),
	}, overlays...)))
	c.ready(t)
	c.login(t)
}

// drive lets everything be said, and then counts what belongs into the bucket.
func (p *proof) drive(t *testing.T) {
	t.Helper()
	p.hold(t)
	p.cgroup.run(t, "/usr/bin/python3", append([]string{"-c", canary.Datagrams, strconv.Itoa(p.udp), strconv.Itoa(p.dns)}, p.datagrams...)...)
	for scheme, how := range map[string]string{"http": "--http1.1", "https": "--http1.1", "h2": "--http2", "h2c": "--http2-prior-knowledge"} {
		const at = "curl and nginx"
		m := p.mint
		target := p.nginx.url(scheme, fmt.Sprintf("/proxied/%s/%s?token=%s", canary.Marker, m.ID(at), m.Any(at)))
		p.cgroup.run(t, "curl", "-sS", how, "-o", "/dev/null", "--cacert", p.nginx.cert, "-u", "alice:"+m.Any(at), "-A", m.Any(at), "-e", "http://localhost/"+m.Any(at),
			"-H", "X-Api-Key: "+m.Any(at), "-b", "session="+m.Any(at), "-F", "file=@/dev/null;filename="+m.Token(at), "-F", "password="+m.Any(at), target)
	}
	for _, place := range p.mint.Places {
		if canary.Apart[place] == "" {
			p.expected++
		}
	}
	p.reader = newReader(t, p.mint)
}

// hold lets two processes hold the conversations of the plan.
func (p *proof) hold(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(p.plan)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "plan.json")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	actor := func(role string) (*exec.Cmd, *lockedBuffer) {
		cmd := p.cgroup.command(ctx, "/usr/bin/python3",
			append([]string{"-c", canary.Actor, role, file, strconv.Itoa(p.plain), strconv.Itoa(p.secure), p.cert, p.key}, p.arguments...)...)
		cmd.Args[0] = p.title
		cmd.Env = append(os.Environ(), p.environment...)
		out := &lockedBuffer{}
		cmd.Stdout, cmd.Stderr = out, out
		require.NoError(t, cmd.Start())
		return cmd, out
	}
	server, said := actor("server")
	require.Eventually(t, func() bool { return strings.Contains(said.String(), "ready") }, testkit.Patience, 20*time.Millisecond, "%s", said)
	client, told := actor("client")
	require.NoError(t, client.Wait(), "client: %s\nserver: %s", told, said)
	require.NoError(t, server.Wait(), "server: %s", said)
}

// requireStored waits until every canary that belongs into the bucket is there.
func (p *proof) requireStored(t *testing.T) {
	t.Helper()
	missing := map[string]int{}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(time.Second) {
		p.readBucket(t, p.set, p.stored)
		clear(missing)
		for i, place := range p.mint.Places {
			if !p.stored[i] && canary.Apart[place] == "" {
				missing[place]++
			}
		}
		if len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) {
			require.Empty(t, missing, "canaries that are not in the bucket, by place")
		}
	}
}

// readAll stops the collector and reads what it left and what it sent.
func (p *proof) readAll(t *testing.T) {
	t.Helper()
	require.Zero(t, p.collector.stop().ExitCode())
	p.read("log", "standard error, at debug level", []byte(p.log.String()))
	p.read("log", "standard output", []byte(p.out.String()))
	p.read("a stranger's collector", "its log", p.stranger.stop())
	p.folder(t, "ClickHouse's folder", filepath.Join(p.data, "clickhouse"))
	p.folder(t, "queue on disk", filepath.Join(p.data, "queue"))
	for where, stream := range p.sniff.stop(t) {
		p.read("packets", where, stream)
	}
	p.wait()
}

// report says what was searched, and what became of the canaries that are no part of an object.
func (p *proof) report(t *testing.T) {
	t.Helper()
	counts, kept := map[string]int{}, map[string]int{}
	for i, place := range p.mint.Places {
		counts[place]++
		if p.stored[i] {
			kept[place]++
		}
	}
	t.Logf("%d canaries at %d places; all %d that belong into the bucket are there", len(p.mint.Secrets), len(counts), p.expected)
	for _, kind := range slices.Sorted(maps.Keys(p.bytes)) {
		t.Logf("searched: %d of %s, %.1f MB", p.places[kind], kind, float64(p.bytes[kind])/1e6)
	}
	for _, place := range slices.Sorted(maps.Keys(canary.Apart)) {
		t.Logf("apart: %d of %s (%s), %d of them in the bucket", counts[place], place, canary.Apart[place], kept[place])
	}
}
