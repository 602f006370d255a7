// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package faults breaks what the built distribution depends on, and the distribution itself, and then counts: every id that
// was sent is in ClickHouse and in the bucket, once, or was counted as dropped with its reason.
package faults

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/tests/rig"
)

// outage is how long a store stays away in tests where that takes time. 0 is the short form: until the fault was met.
var outage = flag.Duration("outage", 0, "how long each outage lasts, beyond the moment at which it was met")

// patience is how long anything may take that must happen. Nothing is asserted to be fast.
const patience = 90 * time.Second

func TestMain(m *testing.M) { testkit.Main(m) }

// collector is one life of the binary.
type collector struct {
	cmd     *exec.Cmd
	log     rig.Buffer
	metrics string
	ended   chan struct{} // closed when the process is gone
}

// launch starts the binary with a config of testdata; it is ended with the test. The first args are put before the
// binary's own, so that they may be a program that starts it.
func launch(t *testing.T, in *rig.Cgroup, before []string, configs, env []string) *collector {
	t.Helper()
	port := rig.FreePort(t)
	c := &collector{metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", port), ended: make(chan struct{})}
	args := append(slices.Clone(before), rig.Binary(t))
	for _, config := range configs {
		args = append(args, "--config", config)
	}
	c.cmd = in.Command(context.Background(), args[0], args[1:]...)
	c.cmd.Env = append(append(os.Environ(), env...), "FAULTS_METRICS="+strconv.Itoa(port))
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	require.NoError(t, c.cmd.Start())
	go func() {
		defer close(c.ended)
		_ = c.cmd.Wait()
	}()
	t.Cleanup(func() {
		c.stop()
		if t.Failed() {
			t.Logf("collector:\n%s", rig.Tail(c.log.String(), 60))
		}
	})
	return c
}

// ready waits until the collector works.
func (c *collector) ready(t *testing.T) *collector {
	t.Helper()
	require.Eventually(t, func() bool { return c.over() || strings.Contains(c.log.String(), "Everything is ready") }, patience, 20*time.Millisecond)
	require.False(t, c.over(), "the collector did not start:\n%s", &c.log)
	return c
}

// over reports whether the process is gone.
func (c *collector) over() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// stop ends the collector as a user would, with SIGTERM, and returns its exit code.
func (c *collector) stop() int {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(patience, func() { _ = c.cmd.Process.Kill() })
	defer timer.Stop()
	<-c.ended
	return c.cmd.ProcessState.ExitCode()
}

// kill ends the collector with SIGKILL.
func (c *collector) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, c.cmd.Process.Kill())
	<-c.ended
}

// total adds up one of the collector's own metrics, over the samples whose labels have the given pairs.
func (c *collector) total(t *testing.T, name string, labels ...string) (sum float64) {
	t.Helper()
next:
	for _, s := range rig.Scrape(t, c.metrics) {
		if s.Name != name && s.Name != name+"_total" {
			continue
		}
		for i := 0; i < len(labels); i += 2 {
			if s.Labels[labels[i]] != labels[i+1] {
				continue next
			}
		}
		sum += s.Value
	}
	return sum
}

// stores is the far side: a real S3 server and a real ClickHouse in a collector of their own.
type stores struct {
	*collector
	data, s3, key, secret string
}

var credential = regexp.MustCompile(`(?m)^aws_(?:access_key_id|secret_access_key)\s*=\s*(\S+)$`)

// startStores starts the far side; it is ended with the test. Data of environments of their own can share it.
func startStores(t *testing.T) *stores {
	t.Helper()
	return startStoresIn(t, t.TempDir())
}

func startStoresIn(t *testing.T, data string) *stores {
	t.Helper()
	s := &stores{data: data, s3: fmt.Sprintf("127.0.0.1:%d", rig.FreePort(t))}
	s.collector = launch(t, rig.NewCgroup(t), nil, []string{"testdata/stores.yaml"},
		[]string{"FAULTS_DATA=" + s.data, "FAULTS_S3=" + s.s3, "FAULTS_OTLP=" + strconv.Itoa(rig.FreePort(t))}).ready(t)
	keys, err := os.ReadFile(filepath.Join(s.data, "s3", "credentials"))
	require.NoError(t, err)
	found := credential.FindAllSubmatch(keys, -1)
	require.Len(t, found, 2)
	s.key, s.secret = string(found[0][1]), string(found[1][1])
	return s
}

func (s *stores) dialS3(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", s.s3)
}

func (s *stores) dialClickHouse(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", filepath.Join(s.data, "clickhouse", "clickhouse.sock"))
}

// ask sends a statement to ClickHouse past every line, and returns its answer, a row a line.
func ask(dial func(context.Context) (net.Conn, error), statement string) ([]string, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	res, err := (&http.Client{Transport: transport, Timeout: patience}).Post("http://clickhouse/", "text/plain", strings.NewReader(statement))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, text)
	}
	return strings.Fields(string(text)), err
}

// spans returns how many rows ClickHouse has of each span of the environment, as readers see them.
func (s *stores) spans(environment string) (map[string]int, error) {
	rows, err := ask(s.dialClickHouse, "SELECT concat(lower(hex(span_id)), '=', toString(count())) FROM qpoint.requests FINAL WHERE environment = '"+environment+"' GROUP BY trace_id, span_id FORMAT TSV")
	found := map[string]int{}
	for _, row := range rows {
		span, n, _ := strings.Cut(row, "=")
		count, _ := strconv.Atoi(n)
		found[span] += count
	}
	return found, err
}

// payload is one exchange in the bucket.
type payload struct {
	span string
	id   string // that was sent
	body string // of the response
	// incomplete is set when the exchange was not seen to its end.
	incomplete bool
}

// payloads reads every object of the environment, and all that is in them.
func (s *stores) payloads(ctx context.Context, environment string) (all []payload, err error) {
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String("http://" + s.s3), Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s.key, s.secret, ""),
		HTTPClient:  &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	})
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: aws.String("qpoint"), Prefix: aws.String(environment + "/")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, object := range page.Contents {
			res, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("qpoint"), Key: object.Key})
			if err != nil {
				return nil, err
			}
			content, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil {
				return nil, err
			}
			in, err := unpack(content)
			if err != nil {
				return nil, fmt.Errorf("object %s: %w", *object.Key, err)
			}
			all = append(all, in...)
		}
	}
	return all, nil
}

func unpack(content []byte) (all []payload, err error) {
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return nil, err
	}
	for _, file := range archive.File {
		f, err := file.Open()
		if err != nil {
			return nil, err
		}
		var har struct {
			Log struct {
				Entries []struct {
					SpanID     string `json:"_spanId"`
					Incomplete string `json:"_incomplete"`
					Request    struct {
						URL string `json:"url"`
					} `json:"request"`
					Response struct {
						Content struct {
							Text string `json:"text"`
						} `json:"content"`
					} `json:"response"`
				} `json:"entries"`
			} `json:"log"`
		}
		err = json.NewDecoder(f).Decode(&har)
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file.Name, err)
		}
		for _, e := range har.Log.Entries {
			all = append(all, payload{e.SpanID, e.Request.URL[strings.LastIndexByte(e.Request.URL, '/')+1:], e.Response.Content.Text, e.Incomplete != ""})
		}
	}
	return all, nil
}

// host is what is watched, and how the collector that watches it is started.
type host struct {
	t           *testing.T
	cgroup      *rig.Cgroup
	environment string
	queue       string // folder
	before      []string
	configs     []string
	env         []string
	server      int // port of the watched server
	sent        int // ids 1 … sent
}

// unnamed are the characters that an environment's name has not.
var unnamed = regexp.MustCompile("[^a-z0-9]+")

// newHost starts a watched server. ClickHouse and the bucket are at the given URLs.
func newHost(t *testing.T, far *stores, clickhouse, bucket string, overlays ...string) *host {
	t.Helper()
	h := &host{
		t: t, cgroup: rig.NewCgroup(t), queue: filepath.Join(t.TempDir(), "queue"), configs: []string{"testdata/host.yaml"},
		environment: strings.Trim(unnamed.ReplaceAllString(strings.ToLower(t.Name()), "-"), "-"), server: rig.FreePort(t),
	}
	for _, overlay := range overlays {
		h.configs = append(h.configs, "yaml:"+overlay)
	}
	h.env = []string{
		"FAULTS_CGROUP=" + h.cgroup.Path, "FAULTS_ENVIRONMENT=" + h.environment, "FAULTS_CLICKHOUSE=" + clickhouse, "FAULTS_BUCKET=" + bucket,
		"FAULTS_ACCESS_KEY=" + far.key, "FAULTS_SECRET_KEY=" + far.secret,
	}
	work := t.TempDir()
	conf := fmt.Sprintf(`
daemon off; master_process off; pid %[1]s/nginx.pid; error_log %[1]s/error.log;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen 127.0.0.1:%[2]d; keepalive_requests 100000; location / { return 200 "this is $uri\n"; } }
}`, work, h.server)
	path := filepath.Join(work, "nginx.conf")
	require.NoError(t, os.WriteFile(path, []byte(conf), 0o600))
	h.cgroup.Start(t, "/usr/sbin/nginx", "-p", work, "-c", path)
	rig.WaitPort(t, h.server)
	return h
}

// start starts the collector, on the queue that the one before has left.
func (h *host) start() *collector {
	h.t.Helper()
	return h.launch().ready(h.t)
}

func (h *host) launch() *collector {
	h.t.Helper()
	return launch(h.t, h.cgroup, h.before, h.configs, append(h.env, "FAULTS_QUEUE="+h.queue))
}

// send sends n more ids, one request each, on one connection.
func (h *host) send(n int) {
	h.t.Helper()
	h.cgroup.Run(h.t, "curl", "-sS", "-o", "/dev/null", fmt.Sprintf("http://127.0.0.1:%d/id/[%d-%d]", h.server, h.sent+1, h.sent+n))
	h.sent += n
}

// taken waits until all that was sent has passed the receiver, and the queues have taken it: two spans an id, one of each
// end, and two payloads, but for what is missing. since is what this life of the collector did not see.
func (h *host) taken(c *collector, since int, less missing) {
	h.t.Helper()
	want := 2 * (h.sent - since)
	require.EventuallyWithT(h.t, func(col *assert.CollectT) {
		require.InDelta(col, want-less.rows, c.total(h.t, "otelcol_receiver_qtap_stage_out", "stage", "spans"), 0, "spans")
		require.InDelta(col, want-less.payloads, c.total(h.t, "otelcol_receiver_qtap_stage_out", "stage", "payloads"), 0, "payloads")
	}, patience, 50*time.Millisecond)
}

// missing is how many exchanges each store may lack, because they were counted as dropped.
type missing struct{ rows, payloads int }

// whole waits until both stores have what was sent, except what is missing, and asserts that they have nothing twice: two
// spans an id in ClickHouse, and the same two in the bucket, which can be read.
func (h *host) whole(far *stores, less missing) {
	h.t.Helper()
	var rows map[string]int
	var stored []payload
	require.EventuallyWithT(h.t, func(col *assert.CollectT) {
		var err error
		rows, err = far.spans(h.environment)
		require.NoError(col, err)
		require.Len(col, rows, 2*h.sent-less.rows, "spans in ClickHouse")
		stored, err = far.payloads(h.t.Context(), h.environment)
		require.NoError(col, err)
		require.Len(col, stored, 2*h.sent-less.payloads, "exchanges in the bucket")
	}, patience, 200*time.Millisecond)
	require.LessOrEqual(h.t, h.distinct(rows, stored), less.rows, "exchanges in the bucket without a row")
}

// distinct asserts that nothing is there twice and that what is there is what was sent, and returns how many exchanges of
// the bucket have no row.
func (h *host) distinct(rows map[string]int, stored []payload) (without int) {
	h.t.Helper()
	for span, n := range rows {
		require.Equal(h.t, 1, n, "rows of span %s", span)
	}
	spans, ids := map[string]bool{}, map[string]int{}
	for _, p := range stored {
		require.False(h.t, spans[p.span], "span %s is in the bucket twice", p.span)
		spans[p.span] = true
		if rows[p.span] == 0 {
			without++
		}
		id, err := strconv.Atoi(p.id)
		require.NoError(h.t, err)
		require.LessOrEqual(h.t, id, h.sent)
		// What was cut short is told to be, and has the beginning.
		require.True(h.t, p.body == "this is /id/"+p.id+"\n" || p.incomplete && strings.HasPrefix("this is /id/"+p.id+"\n", p.body), "%+v", p)
		ids[p.id]++
		require.LessOrEqual(h.t, ids[p.id], 2, "id %s has two ends", p.id)
	}
	return without
}

// endure keeps sending for as long as `-outage` says.
func (h *host) endure() {
	h.t.Helper()
	for end := time.Now().Add(*outage); time.Now().Before(end); {
		h.send(10)
		time.Sleep(min(5*time.Second, time.Until(end))) // the pace of the load in the long form
	}
}

// failed is how many spans exporterhelper says that it gave up: pushes, and offers that the queue did not take.
func (h *host) failed(c *collector) float64 {
	h.t.Helper()
	return c.total(h.t, "otelcol_exporter_send_failed_spans", "exporter", "pulse") + c.total(h.t, "otelcol_exporter_enqueue_failed_spans", "exporter", "pulse")
}

// dropped is how many exchanges qpoint_s3 gave up.
func (h *host) dropped(c *collector) float64 {
	h.t.Helper()
	return c.total(h.t, "otelcol_exporter_qpoint_s3_entries_dropped")
}

// idle waits until no queue has anything.
func (h *host) idle(c *collector) {
	h.t.Helper()
	require.Eventually(h.t, func() bool { return c.total(h.t, "otelcol_exporter_queue_size") == 0 }, patience, 50*time.Millisecond)
}

// books asserts the conservation identity from the receiver to the stores, by the collector's own metrics alone, once
// nothing is under way: what a stage took is what the next one got and what was counted as given up.
func (h *host) books(c *collector, less missing) {
	h.t.Helper()
	h.idle(c)
	require.EventuallyWithT(h.t, func(col *assert.CollectT) {
		at := func(name, stage string) float64 {
			return c.total(h.t, "otelcol_receiver_qtap_stage_"+name, "stage", stage)
		}
		for _, stage := range []string{"spans", "payloads", "payload_bytes", "segments", "logs"} {
			require.InDelta(col, at("in", stage), at("out", stage)+at("dropped", stage)+at("in_flight", stage), 0, "stage %s", stage)
		}
		require.InDelta(col, at("out", "spans"), c.total(h.t, "otelcol_exporter_pulse_rows", "table", "requests")+float64(less.rows), 0, "spans that pulse was given")
		require.InDelta(col, at("out", "payloads"), c.total(h.t, "otelcol_exporter_qpoint_s3_entries")+h.dropped(c), 0, "payloads that qpoint_s3 was given")
		require.InDelta(col, less.payloads, h.dropped(c), 0)
	}, patience, 100*time.Millisecond)
}
