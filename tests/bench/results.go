// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// results are the results file: everything that the report says is made of it.
type results struct {
	Time time.Time         `json:"time"`
	Host map[string]string `json:"host"`
	CPUs int               `json:"cpus"`
	// Settings are those that a run that goes on must share.
	Settings settings `json:"settings"`
	// Missing are ways that are not here, with the reason; Stopped is why not all rounds were made.
	Missing map[string]string `json:"missing,omitempty"`
	Stopped string            `json:"stopped,omitempty"`
	Samples []sample          `json:"samples"`

	path string
}

type settings struct {
	Quick       bool    `json:"quick"`
	Rounds      int     `json:"rounds"`
	Seconds     float64 `json:"seconds"`
	Connections int     `json:"connections"`
}

// openResults starts a results file, or goes on with it.
func openResults(c config) (*results, error) {
	r := &results{path: c.out}
	now := settings{Quick: c.quick, Rounds: c.rounds, Seconds: c.duration.Seconds(), Connections: c.connections}
	if c.resume {
		b, err := os.ReadFile(c.out)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if err == nil {
			if err := json.Unmarshal(b, r); err != nil {
				return nil, fmt.Errorf("%s: %w", c.out, err)
			}
			if r.Settings != now {
				return nil, fmt.Errorf("-resume: %s was made with %+v, not with %+v", c.out, r.Settings, now)
			}
			var good []sample // what failed is tried again
			for _, s := range r.Samples {
				if s.Error == "" {
					good = append(good, s)
				}
			}
			r.Samples = good
		}
	}
	r.Time, r.Settings, r.Host, r.CPUs, r.Stopped = time.Now().UTC().Truncate(time.Second), now, host(), runtime.NumCPU(), ""
	return r, nil
}

func (r *results) has(round int, m measurement) bool {
	for i := range r.Samples {
		if r.Samples[i].Round == round && r.Samples[i].measurement == m {
			return true
		}
	}
	return false
}

func (r *results) add(s sample) { r.Samples = append(r.Samples, s) }

// good are the samples that say something.
func (r *results) good() (out []sample) {
	for _, s := range r.Samples {
		if s.Error == "" {
			out = append(out, s)
		}
	}
	return out
}

// write replaces the file, which is whole at any time.
func (r *results) write() error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	next := r.path + ".next"
	if err := os.WriteFile(next, append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(next, r.path)
}

// host says what the figures were made on.
func host() map[string]string {
	h := map[string]string{"arch": runtime.GOARCH}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		h["kernel"] = strings.TrimSpace(string(b))
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				h["cpu"] = strings.TrimSpace(v)
				break
			}
		}
	}
	for name, args := range map[string][]string{"nginx": {"-v"}, "node": {"--version"}, "mitmdump": {"--version"}, "tshark": {"--version"}} {
		if b, err := exec.Command(name, args...).CombinedOutput(); err == nil {
			first, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
			h[name] = first
		}
	}
	h["go"] = runtime.Version()
	if b, err := exec.Command("openssl", "version").Output(); err == nil {
		h["openssl"] = strings.TrimSpace(string(b))
	}
	if libs, _ := filepath.Glob("/usr/lib/*/libssl.so.3"); len(libs) > 0 {
		h["libssl"] = libs[0]
	}
	return h
}

// client does not keep connections: they would be captured.
var client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
	DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
}}

// scrape reads the collector's own metrics: series (name and labels) to value.
func scrape(ctx context.Context, url string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, res.Status)
	}
	return parseMetrics(res.Body)
}

// parseMetrics reads the Prometheus text format, without the buckets of histograms.
func parseMetrics(r io.Reader) (map[string]float64, error) {
	m := map[string]float64{}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := sc.Text()
		if line == "" || line[0] == '#' || strings.Contains(line, "_bucket{") {
			continue
		}
		end := strings.LastIndexByte(line, '}') + 1 // label values may hold spaces
		i := strings.IndexByte(line[end:], ' ')
		if i < 0 {
			return nil, fmt.Errorf("metrics: cannot read %q", line)
		}
		value, _, _ := strings.Cut(strings.TrimSpace(line[end+i:]), " ") // a timestamp may follow
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("metrics: %q: %w", line, err)
		}
		m[line[:end+i]] = v
	}
	return m, sc.Err()
}
