// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/qpoint-io/otelcol-qpoint/internal/privacy"
	"github.com/qpoint-io/otelcol-qpoint/processor/anonymizeprocessor/internal/metadata"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))
	all, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	for id, want := range map[string]struct {
		environment, fails string
	}{
		"anonymize":                   {environment: "default"},
		"anonymize/empty_environment": {fails: "`environment`"},
		"anonymize/production":        {environment: "eu-production-1"},
		"anonymize/bad_environment":   {fails: "`environment` must be 1 to 63 characters of a-z, 0-9 and `-`, got \"Production!\""},
		"anonymize/from_client":       {},
		"anonymize/both":              {fails: "exclude each other"},
		"anonymize/unknown_key":       {fails: "invalid keys: allow"},
	} {
		sub, err := all.Sub(id)
		require.NoError(t, err)
		cfg := createDefaultConfig()
		if err = sub.Unmarshal(cfg); err == nil {
			err = confmap.Validate(cfg)
		}
		if want.fails != "" {
			require.ErrorContains(t, err, want.fails, id)
			continue
		}
		require.NoError(t, err, id)
		require.Equal(t, want.environment, cfg.(*Config).environment())
	}
	require.Error(t, (&Config{Environment: strings.Repeat("a", 64)}).Validate())
	require.NoError(t, (&Config{Environment: strings.Repeat("a", 63)}).Validate())
}

func TestLifecycle(t *testing.T) {
	f := NewFactory()
	require.Equal(t, "anonymize", f.Type().String())
	cfg := &Config{Environment: "lifecycle"}
	hash := policyHash(cfg)
	for name, create := range map[string]func() (component.Component, bool){
		"traces": func() (component.Component, bool) {
			p, err := f.CreateTraces(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop())
			require.NoError(t, err)
			return p, p.Capabilities().MutatesData
		},
		"logs": func() (component.Component, bool) {
			p, err := f.CreateLogs(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop())
			require.NoError(t, err)
			return p, p.Capabilities().MutatesData
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, mutates := create()
			require.True(t, mutates)
			require.NoError(t, p.Shutdown(t.Context()), "shutdown without start")
			require.False(t, privacy.PolicyRegistered(hash))

			for range 2 {
				p, _ = create()
				require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
				require.True(t, privacy.PolicyRegistered(hash))
				require.NoError(t, p.Shutdown(t.Context()))
				require.False(t, privacy.PolicyRegistered(hash))
			}
		})
	}
	_, err := f.CreateMetrics(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop())
	require.Error(t, err, "metrics must not pass")
}

func TestPolicyHash(t *testing.T) {
	t.Parallel()
	a, b := policyHash(&Config{Environment: "a"}), policyHash(&Config{Environment: "b"})
	require.Regexp(t, "^[0-9a-f]{16}$", a)
	require.NotEqual(t, a, b)
	require.Equal(t, a, policyHash(&Config{Environment: "a"}), "maps must not shuffle it")
}
