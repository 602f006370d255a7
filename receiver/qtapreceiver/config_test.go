// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/inspect"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

func load(t *testing.T, id string, cfg component.Config) error {
	t.Helper()
	conf, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	sub, err := conf.Sub(id)
	require.NoError(t, err)
	if err := sub.Unmarshal(cfg); err != nil {
		return err
	}
	return confmap.Validate(cfg)
}

func TestConfig(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(NewFactory().CreateDefaultConfig()))
	require.NoError(t, componenttest.CheckConfigStruct(NewPayloadFactory().CreateDefaultConfig()))

	rate, size := 0.25, 1024
	cfg := createDefaultConfig()
	require.NoError(t, load(t, "qtap", cfg))
	require.Equal(t, createDefaultConfig(), cfg)

	require.NoError(t, load(t, "qtap/all", cfg))
	require.Equal(t, &Config{
		CGroup: "/sys/fs/cgroup/system.slice", Level: LevelHeaders, MaxLevel: LevelFull, Instrumented: InstrumentedSuppress,
		Ports:      PortsConfig{Include: []uint16{80, 443}, Exclude: []uint16{9200}},
		Directions: []string{DirectionEgress}, ConnectionInterval: 10 * time.Second, CoverageInterval: time.Minute, RingSizeMiB: 16,
		TLS: TLSConfig{DenyProcesses: []string{}, KeyLogFiles: []string{"/run/keylogs/*.log"}, RestartState: RestartStateConfig{Directory: "/sys/fs/bpf/qpoint", TTL: time.Minute}},
		Rules: []rules.Config{
			{Match: `like(server.address, "*.internal.example.com")`, Level: rules.LevelNone},
			{Match: "http.response.status_code >= 500", SampleRate: &rate, MaxBodySize: &size, MaxPerSecond: 10},
		},
	}, cfg)

	p := createDefaultPayloadConfig()
	require.NoError(t, load(t, "qtap_payload", p))
	require.NoError(t, load(t, "qtap_payload/all", p))
	require.Equal(t, &PayloadConfig{
		Receiver: component.MustNewIDWithName("qtap", "all"), Unguarded: true, MaxBodySize: 1 << 20,
		Segment:  SegmentConfig{MaxAge: time.Second, MaxBytes: 1 << 20, MaxEntries: 10},
		Findings: FindingsConfig{CPU: 0.1, MaxBodySize: 1 << 16},
		Redact:   inspect.RedactConfig{Headers: []string{"x-private"}, Fields: []string{"password"}, JSONPaths: []string{"$..ssn"}, Detectors: []string{"card"}},
	}, p)
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	err := load(t, "qtap/bad", createDefaultConfig())
	for _, key := range []string{
		"`level` \"deep\"", "`cgroup` \"relative\"", "`ports::include` has 0", "port 80 is in both", "`directions` has \"sideways\"",
		"`connection_interval` 1ms", "`coverage_interval` 1s", "`ring_size_mib` 3", "`tls::deny_processes` has \"/usr/sbin/sshd\"",
		"`tls::restart_state::directory` \"bpf\" must be an absolute path", "`tls::restart_state::ttl` 1ms",
		"`tls::keylog_files` has \"keys.log\"", "`tls::keylog_files` has \"/run/[\"",
	} {
		require.ErrorContains(t, err, key)
	}
	cfg := createDefaultConfig()
	cfg.MaxLevel, cfg.Instrumented = LevelHeaders, "ignore"
	require.ErrorContains(t, cfg.Validate(), "`max_level` headers is below `level` full")
	require.ErrorContains(t, cfg.Validate(), "`instrumented` \"ignore\"")
	cfg.MaxLevel = "deep"
	require.ErrorContains(t, cfg.Validate(), "`max_level` \"deep\"")
	err = load(t, "qtap/rules", createDefaultConfig())
	require.ErrorContains(t, err, "`rules` and `rules_file` are both set")
	require.ErrorContains(t, err, "need `level` or `max_level` headers or full")
	require.ErrorContains(t, load(t, "qtap/rule", createDefaultConfig()), "rule 1 of `rules`: `match`: unknown name")
	require.ErrorContains(t, load(t, "qtap/none", createDefaultConfig()), "`directions` must name")
	require.ErrorContains(t, load(t, "qtap/typo", createDefaultConfig()), "levle")
	err = load(t, "qtap_payload/bad", createDefaultPayloadConfig())
	for _, key := range []string{"`receiver` \"otlp\"", "`max_body_size` 16777217", "`segment::max_age` 1ms", "`segment::max_bytes` 1", "`segment::max_entries` 0"} {
		require.ErrorContains(t, err, key)
	}
}
