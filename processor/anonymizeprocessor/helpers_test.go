// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

// defaults is the policy without any configuration.
var defaults = func() *policy {
	p, err := newPolicy(createDefaultConfig().(*Config))
	must(err)
	return p
}()

// testConfig is the default configuration with an environment and changes.
func testConfig(environment string, change ...func(*Config)) *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.Environment = environment
	for _, f := range change {
		f(cfg)
	}
	return cfg
}

func cleanPath(s string) (string, bool) { return defaults.path(s, false) }

func cleanURL(s string) (clean, path string, ok bool) {
	clean, path, _, ok = defaults.url(s)
	return clean, path, ok
}

func validHost(s string) bool { return hostForm(s) && !defaults.secret(s) }

func validName(s string) bool {
	clean, ok := defaults.label(s)
	return ok && clean == s
}

func validID(key, s string) bool { return defaults.validID(key, s) }

func cleanDistinguishedName(s string) string { return defaults.distinguishedName(s) }
