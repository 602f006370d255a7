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
		"anonymize/policy":            {environment: "default"},
		"anonymize/kind":              {fails: "`modes` has no kind \"credit_card\": use one of card, iban, email"},
		"anonymize/mode":              {fails: "`modes::card` must be one of mask, drop, hmac, keep, got \"hash\""},
		"anonymize/no_keys":           {fails: "`modes::email` is hmac, but there are no `hmac_keys`: add one"},
		"anonymize/addresses":         {fails: "`addresses` must be one of keep, truncate, hmac, got \"cut\""},
		"anonymize/zone":              {fails: "`domains[0]::zone` must be a domain such as `corp.example.com`, got \"*.corp\""},
		"anonymize/zone_twice":        {fails: "`domains[1]::zone` repeats \"corp.example.com\""},
		"anonymize/zone_mode":         {fails: "`domains[0]::mode` must be one of keep, registrable, hmac, got \"mask\""},
		"anonymize/key_id":            {fails: "`hmac_keys[0]::id` must be 1 to 16 characters of a-z and 0-9, got \"2026-a\""},
		"anonymize/key_twice":         {fails: "`hmac_keys[1]::id` repeats \"a\""},
		"anonymize/key_short":         {fails: "`hmac_keys[0]::key` has 5 bytes: 32 is the least"},
		"anonymize/key_none":          {fails: "`hmac_keys[0]` has neither `key` nor `key_file`"},
		"anonymize/key_both":          {fails: "`hmac_keys[0]` has both `key` and `key_file`"},
		"anonymize/words":             {fails: "`path_words` must be 1 to 10000, got 0"},
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
	require.Error(t, testConfig(strings.Repeat("a", 64)).Validate())
	require.NoError(t, testConfig(strings.Repeat("a", 63)).Validate())
}

func TestLifecycle(t *testing.T) {
	f := NewFactory()
	require.Equal(t, "anonymize", f.Type().String())
	cfg := testConfig("lifecycle")
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
	a, b := policyHash(testConfig("a")), policyHash(testConfig("b"))
	require.Regexp(t, "^[0-9a-f]{16}$", a)
	require.NotEqual(t, a, b)
	require.Equal(t, a, policyHash(testConfig("a")), "maps must not shuffle it")
}
