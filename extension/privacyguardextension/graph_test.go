// SPDX-License-Identifier: Apache-2.0

package privacyguardextension

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
)

func conf(t *testing.T, yaml string) *confmap.Conf {
	t.Helper()
	r, err := confmap.NewRetrievedFromYAML([]byte(strings.ReplaceAll(yaml, "\t", "  ")))
	require.NoError(t, err)
	c, err := r.AsConf()
	require.NoError(t, err)
	return c
}

func check(t *testing.T, yaml string) error {
	t.Helper()
	g, err := parse(conf(t, yaml))
	require.NoError(t, err)
	return g.check()
}

const usual = `
service:
	pipelines:
		traces: {receivers: [qtap], processors: [memory_limiter, k8sattributes, anonymize, filter/health, batch], exporters: [pulse, otlp_http]}
		logs: {receivers: [qtap], processors: [anonymize], exporters: [pulse]}
		logs/payload: {receivers: [qtap_payload], processors: [memory_limiter], exporters: [qpoint_s3]}
`

// safeGraphs and unsafeGraphs are judged here, and started in a real collector in TestRealCollectorStarts….
var safeGraphs = map[string]string{
	"usual":        usual,
	"no pipelines": `service: {}`,
	"named instances": `
service:
	pipelines:
		logs/payload: {receivers: [qtap_payload/a, qtap_payload/b], exporters: [qpoint_s3/eu, qpoint_s3/us]}
		traces: {receivers: [qtap/a], processors: [anonymize/strict], exporters: [otlp_grpc]}`,
	"foreign receivers are none of its business": `
service:
	pipelines:
		traces: {receivers: [otlp], exporters: [debug]}
		logs: {receivers: [filelog], processors: [transform], exporters: [otlp_http]}`,
	"receipts, anonymized": `
connectors: {qpoint_s3: }
service:
	pipelines:
		logs/payload: {receivers: [qtap_payload], exporters: [qpoint_s3]}
		logs/receipts: {receivers: [qpoint_s3], processors: [anonymize], exporters: [pulse]}`,
	"any processor on the payload path": `
service:
	pipelines:
		logs: {receivers: [qtap_payload], processors: [transform, k8sattributes], exporters: [qpoint_s3]}`,
	"anonymized, then forwarded to another pipeline": `
connectors: {forward: }
service:
	pipelines:
		traces/in: {receivers: [qtap], processors: [anonymize], exporters: [forward]}
		traces/out: {receivers: [forward], processors: [probabilistic_sampler], exporters: [pulse, debug]}`,
	"forwarded, then anonymized": `
connectors: {forward: }
service:
	pipelines:
		traces/in: {receivers: [qtap], processors: [k8sattributes], exporters: [forward]}
		traces/out: {receivers: [forward], processors: [anonymize, tail_sampling], exporters: [pulse]}`,
	"anonymized again after a processor that may add values": `
service:
	pipelines:
		traces: {receivers: [qtap], processors: [anonymize, transform, anonymize/again], exporters: [pulse]}`,
	"metrics of anonymized spans": `
connectors: {spanmetrics: }
service:
	pipelines:
		traces: {receivers: [qtap], processors: [anonymize], exporters: [pulse, spanmetrics]}
		metrics: {receivers: [spanmetrics], processors: [batch], exporters: [prometheus]}`,
	"fan-out that is clean on every way": `
connectors: {routing: , forward/a: , forward/b: }
service:
	pipelines:
		logs/in: {receivers: [qtap], exporters: [forward/a, forward/b]}
		logs/a: {receivers: [forward/a], processors: [anonymize/a], exporters: [routing]}
		logs/b: {receivers: [forward/b], processors: [anonymize/b], exporters: [routing]}
		logs/c: {receivers: [routing], exporters: [pulse]}
		logs/d: {receivers: [routing], processors: [filter], exporters: [debug]}`,
	"a receiver that starts others, of other people": `
receivers: {receiver_creator: {receivers: {redis: {rule: "true"}}}}
service:
	pipelines:
		metrics: {receivers: [receiver_creator], exporters: [otlp_http]}`,
	"a tap of what is not ours": `
service:
	pipelines:
		traces: {receivers: [otlp], processors: [remotetap], exporters: [otlp_http]}`,
	"extensions beside the graph": `
service:
	extensions: [zpages, pprof, file_storage, oauth2client]
	pipelines:
		traces: {receivers: [qtap], processors: [anonymize], exporters: [otlp_http]}
		logs: {receivers: [qtap_payload], exporters: [qpoint_s3]}`,
	"payloads and receipts to two buckets": `
connectors: {qpoint_s3/eu: , qpoint_s3/us: }
service:
	pipelines:
		logs/payload: {receivers: [qtap_payload], exporters: [qpoint_s3/eu, qpoint_s3/us]}
		logs/receipts: {receivers: [qtap, qpoint_s3/eu, qpoint_s3/us], processors: [memory_limiter, anonymize], exporters: [pulse, otlp_grpc]}`,
	"receiver and object store as connector-like names": `
connectors: {forward/qtap: }
service:
	pipelines:
		logs: {receivers: [otlp], exporters: [forward/qtap]}
		logs/2: {receivers: [forward/qtap], exporters: [debug]}`,
}

func TestSafeGraphs(t *testing.T) {
	t.Parallel()
	for name, yaml := range safeGraphs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, check(t, yaml))
		})
	}
}

type unsafeGraph struct {
	yaml string
	want []string // one per path, in order: a part of the line
}

var unsafeGraphs = map[string]unsafeGraph{
	"payloads to debug": {`
service:
	pipelines:
		logs/x: {receivers: [qtap_payload], exporters: [debug]}`,
		[]string{"receiver qtap_payload -> pipeline logs/x -> exporter debug: payloads may leave through `qpoint_s3` only: remove `debug` from `service::pipelines::logs/x::exporters`"}},
	"payloads to the bucket and elsewhere": {`
service:
	pipelines:
		logs: {receivers: [otlp, qtap_payload/a], processors: [batch], exporters: [qpoint_s3, otlp_http, file]}`,
		[]string{"receiver qtap_payload/a -> pipeline logs -> exporter otlp_http", "receiver qtap_payload/a -> pipeline logs -> exporter file"}},
	"anonymize does not make payloads exportable": {`
service:
	pipelines:
		logs: {receivers: [qtap_payload], processors: [anonymize], exporters: [pulse]}`,
		[]string{"receiver qtap_payload -> pipeline logs -> exporter pulse"}},
	"a second pipeline with payloads": {usual + `
		logs/debug: {receivers: [qtap_payload], exporters: [debug]}`,
		[]string{"receiver qtap_payload -> pipeline logs/debug -> exporter debug"}},
	"one pipeline for both kinds": {`
service:
	pipelines:
		logs: {receivers: [qtap, qtap_payload], exporters: [qpoint_s3]}`,
		[]string{"receiver qtap -> pipeline logs -> exporter qpoint_s3: nothing on it is `anonymize`"}},
	"payloads into a connector, even if it leads to the bucket": {`
connectors: {forward: }
service:
	pipelines:
		logs: {receivers: [qtap_payload], exporters: [forward]}
		logs/out: {receivers: [forward], exporters: [qpoint_s3]}`,
		[]string{"receiver qtap_payload -> pipeline logs -> connector forward: payloads must not enter this connector"}},
	"receipts without anonymize": {`
connectors: {qpoint_s3: }
service:
	pipelines:
		logs: {receivers: [qtap_payload], exporters: [qpoint_s3]}
		logs/out: {receivers: [qpoint_s3], exporters: [debug]}`,
		[]string{"receiver qtap_payload -> pipeline logs -> connector qpoint_s3 -> pipeline logs/out -> exporter debug: receipts of `qpoint_s3` are metadata, and nothing on this path is `anonymize`"}},
	"an exporter named like the bucket": {`
service:
	pipelines:
		logs: {receivers: [qtap_payload], exporters: [otlp_http/qpoint_s3]}`,
		[]string{"-> exporter otlp_http/qpoint_s3"}},
	"metadata without anonymize": {`
service:
	pipelines:
		traces: {receivers: [qtap], processors: [batch], exporters: [pulse]}`,
		[]string{"receiver qtap -> pipeline traces -> exporter pulse: nothing on it is `anonymize`: put `anonymize` into `service::pipelines::traces::processors`"}},
	"one of two pipelines without anonymize": {`
service:
	pipelines:
		traces: {receivers: [qtap], processors: [anonymize], exporters: [pulse]}
		traces/raw: {receivers: [qtap], exporters: [otlp_grpc/vendor]}`,
		[]string{"receiver qtap -> pipeline traces/raw -> exporter otlp_grpc/vendor"}},
	"a processor that is only named anonymize": {`
service:
	pipelines:
		traces: {receivers: [qtap], processors: [transform/anonymize], exporters: [pulse]}`,
		[]string{"receiver qtap -> pipeline traces -> exporter pulse"}},
	"values added after anonymize": {`
service:
	pipelines:
		traces: {receivers: [qtap], processors: [anonymize, batch, transform], exporters: [pulse]}`,
		[]string{"receiver qtap -> pipeline traces -> processor anonymize -> processor transform -> exporter pulse: `transform` comes after `anonymize` and may add values"}},
	"an unknown processor after anonymize": {`
service:
	pipelines:
		logs: {receivers: [qtap], processors: [anonymize, acme_enricher], exporters: [pulse]}`,
		[]string{"`acme_enricher` comes after `anonymize`"}},
	"forwarded without anonymize": {`
connectors: {forward: }
service:
	pipelines:
		traces/in: {receivers: [qtap], exporters: [forward]}
		traces/out: {receivers: [forward], exporters: [debug]}`,
		[]string{"receiver qtap -> pipeline traces/in -> connector forward -> pipeline traces/out -> exporter debug"}},
	"forwarded past the anonymized way": {`
connectors: {forward: }
service:
	pipelines:
		traces/in: {receivers: [qtap], exporters: [forward]}
		traces/a: {receivers: [forward], processors: [anonymize], exporters: [pulse]}
		traces/b: {receivers: [forward], processors: [filter], exporters: [pulse]}`,
		[]string{"receiver qtap -> pipeline traces/in -> connector forward -> pipeline traces/b -> exporter pulse"}},
	"made unclean behind a connector": {`
connectors: {forward: }
service:
	pipelines:
		traces/in: {receivers: [qtap], processors: [anonymize], exporters: [forward]}
		traces/out: {receivers: [forward], processors: [attributes], exporters: [pulse]}`,
		[]string{"receiver qtap -> pipeline traces/in -> processor anonymize -> connector forward -> pipeline traces/out -> processor attributes -> exporter pulse"}},
	"metrics of raw spans": {`
connectors: {spanmetrics: }
service:
	pipelines:
		traces: {receivers: [qtap], exporters: [spanmetrics]}
		metrics: {receivers: [spanmetrics], exporters: [prometheus]}`,
		[]string{"receiver qtap -> pipeline traces -> connector spanmetrics -> pipeline metrics -> exporter prometheus"}},
	"an unknown connector after anonymize": {`
connectors: {acme: }
service:
	pipelines:
		traces: {receivers: [qtap], processors: [anonymize], exporters: [acme]}
		logs: {receivers: [acme], exporters: [debug]}`,
		[]string{"connector `acme` comes after `anonymize`"}},
	"clean and raw ways meet in one pipeline": {`
connectors: {forward/clean: , forward/raw: }
service:
	pipelines:
		logs/1: {receivers: [qtap], processors: [anonymize], exporters: [forward/clean]}
		logs/2: {receivers: [qtap], exporters: [forward/raw]}
		logs/3: {receivers: [forward/clean, forward/raw], exporters: [pulse]}`,
		[]string{"receiver qtap -> pipeline logs/2 -> connector forward/raw -> pipeline logs/3 -> exporter pulse"}},
	"clean and raw ways of one walk meet": {`
connectors: {forward/a: , forward/b: , forward/c: }
service:
	pipelines:
		logs/1: {receivers: [qtap], exporters: [forward/a, forward/b]}
		logs/2: {receivers: [forward/a], processors: [anonymize], exporters: [forward/c]}
		logs/3: {receivers: [forward/b], exporters: [forward/c]}
		logs/4: {receivers: [forward/c], exporters: [pulse]}`,
		[]string{"receiver qtap -> pipeline logs/1 -> connector forward/b -> pipeline logs/3 -> connector forward/c -> pipeline logs/4 -> exporter pulse"}},
	"a cycle of connectors ends": {`
connectors: {forward/a: , forward/b: }
service:
	pipelines:
		logs/1: {receivers: [qtap, forward/b], exporters: [forward/a]}
		logs/2: {receivers: [forward/a], exporters: [forward/b, debug]}`,
		[]string{"receiver qtap -> pipeline logs/1 -> connector forward/a -> pipeline logs/2 -> exporter debug"}},
	"a receiver that starts others, of payloads": {`
receivers: {receiver_creator: {receivers: {qtap_payload/x: {rule: "true", config: {unguarded: true}}}}}
service:
	pipelines:
		logs: {receivers: [receiver_creator], exporters: [debug]}`,
		[]string{"receiver receiver_creator -> pipeline logs: it would start `qtap_payload/x` where its pipelines cannot be told: name `qtap_payload/x` in `service::pipelines::logs::receivers` instead"}},
	"a receiver that starts others, even before anonymize": {`
receivers: {receiver_creator/hosts: {watch_observers: [host_observer], receivers: {qtap: {rule: "true"}}}}
service:
	pipelines:
		traces: {receivers: [receiver_creator/hosts], processors: [anonymize], exporters: [pulse]}`,
		[]string{"receiver receiver_creator/hosts -> pipeline traces: it would start `qtap`"}},
	"a tap of payloads": {`
service:
	pipelines:
		logs: {receivers: [qtap_payload], processors: [memory_limiter, remotetap], exporters: [qpoint_s3]}`,
		[]string{"receiver qtap_payload -> pipeline logs -> processor remotetap: it shows what passes to others: remove `remotetap` from `service::pipelines::logs::processors`"}},
	"a tap before anonymize": {`
service:
	pipelines:
		traces: {receivers: [qtap], processors: [remotetap/x, anonymize], exporters: [pulse]}`,
		[]string{"receiver qtap -> pipeline traces -> processor remotetap/x: it shows"}},
	"a tap behind a connector, before anonymize": {`
connectors: {forward: }
service:
	pipelines:
		traces/in: {receivers: [qtap], exporters: [forward]}
		traces/out: {receivers: [forward], processors: [remotetap, anonymize], exporters: [pulse]}`,
		[]string{"receiver qtap -> pipeline traces/in -> connector forward -> pipeline traces/out -> processor remotetap: it shows"}},
	"a fan-out of three, one of them raw": {`
connectors: {forward/a: , forward/b: , forward/c: }
service:
	pipelines:
		logs/in: {receivers: [qtap], exporters: [forward/a, forward/b, forward/c]}
		logs/a: {receivers: [forward/a], processors: [anonymize], exporters: [pulse]}
		logs/b: {receivers: [forward/b], processors: [anonymize], exporters: [debug]}
		logs/c: {receivers: [forward/c], processors: [batch], exporters: [otlp_http]}`,
		[]string{"receiver qtap -> pipeline logs/in -> connector forward/c -> pipeline logs/c -> exporter otlp_http: nothing on it is `anonymize`"}},
	"a chain of four connectors": {`
connectors: {forward/1: , forward/2: , forward/3: , forward/4: }
service:
	pipelines:
		logs/0: {receivers: [qtap], exporters: [forward/1]}
		logs/1: {receivers: [forward/1], exporters: [forward/2]}
		logs/2: {receivers: [forward/2], exporters: [forward/3]}
		logs/3: {receivers: [forward/3], exporters: [forward/4]}
		logs/4: {receivers: [forward/4], exporters: [debug]}`,
		[]string{"connector forward/3 -> pipeline logs/3 -> connector forward/4 -> pipeline logs/4 -> exporter debug"}},
	"receipts forwarded past anonymize": {`
connectors: {qpoint_s3: , forward: }
service:
	pipelines:
		logs/payload: {receivers: [qtap_payload], exporters: [qpoint_s3]}
		logs/receipts: {receivers: [qpoint_s3], exporters: [forward]}
		logs/out: {receivers: [forward], exporters: [otlp_grpc]}`,
		[]string{"receiver qtap_payload -> pipeline logs/payload -> connector qpoint_s3 -> pipeline logs/receipts -> connector forward -> pipeline logs/out -> exporter otlp_grpc"}},
	"payloads counted by a connector beside the bucket": {`
connectors: {count: }
service:
	pipelines:
		logs: {receivers: [qtap_payload], exporters: [qpoint_s3, count]}
		metrics: {receivers: [count], exporters: [prometheus]}`,
		[]string{"receiver qtap_payload -> pipeline logs -> connector count: payloads must not enter this connector"}},
	"an exporter that an extension serves is an exporter": {`
service:
	extensions: [jaeger_storage]
	pipelines:
		traces: {receivers: [qtap], exporters: [jaeger_storage_exporter]}`,
		[]string{"receiver qtap -> pipeline traces -> exporter jaeger_storage_exporter"}},
	"spaces in ids are the collector's to read": {`
service:
	pipelines:
		"logs/ x": {receivers: [" qtap_payload / a "], exporters: [debug]}`,
		[]string{"receiver qtap_payload/a -> pipeline logs/x -> exporter debug"}},
}

func TestUnsafeGraphs(t *testing.T) {
	t.Parallel()
	for name, tc := range unsafeGraphs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := check(t, tc.yaml)
			require.Error(t, err)
			lines := strings.Split(err.Error(), "\n")
			require.Len(t, lines, len(tc.want), err.Error())
			for i, want := range tc.want {
				require.Contains(t, lines[i], want)
			}
		})
	}
}

func TestUnreadableGraph(t *testing.T) {
	t.Parallel()
	for name, yaml := range map[string]string{
		"pipelines are a list": `service: {pipelines: [logs]}`,
		"unknown signal":       `service: {pipelines: {smells: {receivers: [qtap], exporters: [debug]}}}`,
		"receivers are a map":  `service: {pipelines: {logs: {receivers: {qtap: }, exporters: [debug]}}}`,
		"bad id":               `service: {pipelines: {logs: {receivers: ["/"], exporters: [debug]}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(conf(t, yaml))
			require.Error(t, err)
		})
	}
}
