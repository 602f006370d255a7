// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command contrib compares `anonymize` with the redaction processor of opentelemetry-collector-contrib on the same spans:
// values that stay are searched for the same kinds of sensitive data by both. See ../README.md.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/processor/redactionprocessor"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/processor/anonymizeprocessor"
	"github.com/qpoint-io/otelcol-qpoint/tests/privacy/corpus"
)

// patterns are what users of the redaction processor write down for the kinds that `anonymize` knows: with them it
// masks every value of the corpus here that `anonymize` masks. Regular expressions have no checksums, so they mask more.
var patterns = []string{
	`\b(?:4\d{3}|5[1-5]\d{2}|2[2-7]\d{2}|6(?:011|4[4-9]\d|5\d{2}|2\d{2}))[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}(?:[ -]?\d{3})?\b|\b3[47]\d{2}[ -]?\d{6}[ -]?\d{5}\b|\b3(?:0[0-5]|[68]\d)\d[ -]?\d{6}[ -]?\d{4}\b|\b35(?:2[89]|[3-8]\d)[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}\b`,
	`\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b`,
	`[A-Za-z0-9._+-]+(?:@|%40)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+`,
	`\+\d[\d ()-]{7,17}\d|\(\d{3}\) ?\d{3}-\d{4}|\b(?:1-)?\d{3}[-.]\d{3}[-.]\d{4}\b|\b0[1-9](?: \d{2}){4}\b`,
	`\b\d{3}-\d{2}-\d{4}\b|\b\d{3}-\d{3}-\d{3}\b|\b\d{3} \d{3} \d{4}\b`,
	`\b[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b|\b[A-Z]{6}\d{2}[A-Z]\d{2}[A-Z]\d{3}[A-Z]\b|\b\d{8}-?[A-Z]\b|\b[XYZST]\d{7}[A-Z]\b`,
	`\b[12] ?\d{2} ?\d{2} ?\d{2} ?\d{3} ?\d{3} ?\d{2}\b|\b\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}\b|\b\d{6}[-+/A]\d{3}[0-9A-Y]\b|\b(?:19)?\d{6}-\d{4}\b|\b756\.\d{4}\.\d{4}\.\d{2}\b|\b\d{3}\.\d{3}\.\d{3}-\d{2}\b|\b\d{17}[\dX]\b|\b\d{13}\b|\b\d{11}\b`,
	`\bey[JA][A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*`,
	`\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b`,
	`\bAIza[A-Za-z0-9_-]{35}`,
	`\b(?:ghp|gho|ghu|ghs)_[A-Za-z0-9]{36}\b|\bgithub_pat_[A-Za-z0-9_]{82}\b|\bnpm_[A-Za-z0-9]{36}\b`,
	`\bglpat-[A-Za-z0-9_.-]{20,}`,
	`\bxox[bpars]-[A-Za-z0-9-]{24,}`,
	`\b(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}`,
	`\bsk-(?:proj-|ant-|svcacct-|admin-)?[A-Za-z0-9_-]{32,}`,
	`\bhf_[A-Za-z0-9]{34,37}\b`,
	`\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}`,
	`\bdop_v1_[a-f0-9]{64}\b`,
	`-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*-----END [A-Z ]*PRIVATE KEY-----`,
	`\b[A-Za-z0-9+/_-]{20,512}={0,2}`,
}

const (
	ours   = "anonymize"
	theirs = "redaction"
	joined = "redaction, one pattern"
	key    = "process.executable.path" // of the class of names: both keep it and search its value
)

type sample struct {
	Who   string  `json:"who"`
	Round int     `json:"round"`
	MBps  float64 `json:"mb_per_cpu_second"`
	Load  float64 `json:"load_average"`
}

type report struct {
	Host    string             `json:"host"`
	Time    string             `json:"time"`
	Bytes   int                `json:"bytes_of_values"`
	Values  int                `json:"sensitive_values"`
	Missed  map[string]int     `json:"values_not_masked"`
	Median  map[string]float64 `json:"median_mb_per_cpu_second"`
	Ratio   map[string]float64 `json:"median_ratio"`
	Samples []sample           `json:"samples"`
}

func main() {
	rounds := flag.Int("rounds", 9, "rounds; each measures all, in random order")
	n := flag.Int("spans", 4000, "spans in the input")
	out := flag.String("out", "", "file for the figures, as JSON")
	flag.Parse()
	if err := run(*rounds, *n, *out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// input makes spans of which each has one value: prose, and in every fourth a sensitive value.
func input(n int) (ptrace.Traces, []string, int) {
	rnd := rand.New(rand.NewPCG(1, 2))
	pool := corpus.Make(1, 40*n)
	var sensitive []string
	for _, s := range pool {
		v := s.Value()
		// What both can find without a name that announces it, in the characters and the length that names may have.
		if s.Kind == "" || s.Kind == "secret" || len(v) > 180 || strings.ContainsAny(v, "\n%=\"") || !s.Alone {
			continue
		}
		switch s.Form {
		case "britain, national", "digits", "NL BSN", "PL PESEL", "PT NIF", "TR", "BR CPF":
			continue
		}
		sensitive = append(sensitive, v)
	}
	words := strings.Fields("alpha order invoice status created the customer shipped from warehouse page total retry queue message worker region zone north latency window cache result checkout")
	td := ptrace.NewTraces()
	spans := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	bytes := 0
	var planted []string
	for i := range n {
		var parts []string
		for size := 0; size < 60; {
			w := words[rnd.IntN(len(words))]
			if rnd.IntN(6) == 0 {
				w = fmt.Sprint(rnd.IntN(10000))
			}
			parts = append(parts, w)
			size += len(w) + 1
		}
		if i%4 == 0 {
			v := sensitive[rnd.IntN(len(sensitive))]
			planted = append(planted, v)
			parts = append(parts, "at", v)
		}
		text := strings.Join(parts, " ")
		if len(text) > 256 {
			text = text[len(text)-256:]
			text = text[strings.IndexByte(text, ' ')+1:]
		}
		bytes += len(text)
		spans.AppendEmpty().Attributes().PutStr(key, text)
	}
	return td, planted, bytes
}

func build(who string, sink *consumertest.TracesSink) (processor.Traces, error) {
	ctx := context.Background()
	if who == ours {
		f := anonymizeprocessor.NewFactory()
		return f.CreateTraces(ctx, processortest.NewNopSettings(f.Type()), f.CreateDefaultConfig(), sink)
	}
	f := redactionprocessor.NewFactory()
	cfg := f.CreateDefaultConfig().(*redactionprocessor.Config)
	cfg.AllowAllKeys = true
	cfg.Summary = "silent"
	cfg.BlockedValues = patterns
	if who == joined {
		cfg.BlockedValues = []string{strings.Join(patterns, "|")}
	}
	return f.CreateTraces(ctx, processortest.NewNopSettings(f.Type()), cfg, sink)
}

func cpu() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func run(rounds, n int, out string) error {
	ctx := context.Background()
	td, planted, bytes := input(n)
	r := report{Time: time.Now().UTC().Format(time.RFC3339), Bytes: bytes, Values: len(planted), Missed: map[string]int{}, Median: map[string]float64{}, Ratio: map[string]float64{}}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err == nil {
		r.Host = unix.ByteSliceToString(uts.Machine[:]) + " " + unix.ByteSliceToString(uts.Release[:])
	}
	order := []string{ours, theirs, joined}
	for round := range rounds {
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, who := range order {
			sink := new(consumertest.TracesSink)
			p, err := build(who, sink)
			if err != nil {
				return err
			}
			if err = p.Start(ctx, componenttest.NewNopHost()); err != nil {
				return err
			}
			// As often as it takes for half a second: a short measurement is noise.
			var spent time.Duration
			passes := 0
			for spent < 500*time.Millisecond {
				clone := ptrace.NewTraces()
				td.CopyTo(clone)
				start := cpu()
				if err = p.ConsumeTraces(ctx, clone); err != nil {
					return err
				}
				spent += cpu() - start
				passes++
			}
			if round == 0 {
				r.Missed[who] = missed(sink.AllTraces()[0], planted)
			}
			if err = p.Shutdown(ctx); err != nil {
				return err
			}
			s := sample{Who: who, Round: round, MBps: float64(bytes) * float64(passes) / 1e6 / spent.Seconds()}
			if text, err := os.ReadFile("/proc/loadavg"); err == nil {
				_, _ = fmt.Sscan(string(text), &s.Load)
			}
			r.Samples = append(r.Samples, s)
		}
	}
	by := map[string]map[int]float64{ours: {}, theirs: {}, joined: {}}
	for _, s := range r.Samples {
		by[s.Who][s.Round] = s.MBps
	}
	fmt.Printf("%d spans, %d bytes of values, %d of them sensitive\n\n| | MB per CPU second (median) | range | not masked | anonymize is faster by |\n|---|---|---|---|---|\n", n, bytes, len(planted))
	for _, who := range []string{ours, theirs, joined} {
		var all, ratios []float64
		for round, v := range by[who] {
			all = append(all, v)
			ratios = append(ratios, by[ours][round]/v)
		}
		slices.Sort(all)
		slices.Sort(ratios)
		r.Median[who], r.Ratio[who] = all[len(all)/2], ratios[len(ratios)/2]
		fmt.Printf("| %s | %.2f | %.2f–%.2f | %d of %d | %.1f× (%.1f–%.1f) |\n", who, r.Median[who], all[0], all[len(all)-1], r.Missed[who], len(planted), r.Ratio[who], ratios[0], ratios[len(ratios)-1])
	}
	if out == "" {
		return nil
	}
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(b, '\n'), 0o644)
}

// missed counts planted values that are still there, in the attribute that held them.
func missed(td ptrace.Traces, planted []string) int {
	n := 0
	spans := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
	for i, v := range planted {
		if text, ok := spans.At(4 * i).Attributes().Get(key); ok && strings.Contains(text.Str(), v) {
			n++
		}
	}
	return n
}
