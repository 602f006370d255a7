// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
)

// sections are where a collector's configuration has components.
var sections = []string{"receivers", "processors", "exporters", "connectors", "extensions"}

// variable is a ${env:…} as a page writes it.
var variable = regexp.MustCompile(`\$\{env:[A-Z0-9_]+(?::-([^}]*))?\}`)

// expand gives every variable its default, or a value that is as good as any.
func expand(text string) string {
	return variable.ReplaceAllStringFunc(text, func(m string) string {
		if sub := variable.FindStringSubmatch(m); strings.Contains(m, ":-") {
			return sub[1]
		}
		if strings.Contains(m, "SHA256") {
			return strings.Repeat("a", 64)
		}
		return strings.Repeat("a", 32)
	})
}

func factoryOf(name string) component.Factory {
	var id component.ID
	if id.UnmarshalText([]byte(name)) != nil {
		return nil
	}
	i := slices.IndexFunc(components, func(c described) bool { return c.factory.Type() == id.Type() })
	if i < 0 {
		return nil
	}
	return components[i].factory
}

// checkComponents reads the configuration of each component of ours, and validates it. It returns how many there were.
func checkComponents(t *testing.T, where string, section map[string]any) (found int) {
	t.Helper()
	for name, value := range section {
		factory := factoryOf(name)
		if factory == nil {
			continue
		}
		found++
		keys, ok := value.(map[string]any)
		if !assert.True(t, ok || value == nil, "%s: `%s` is no map", where, name) {
			continue
		}
		conf := factory.CreateDefaultConfig()
		if assert.NoError(t, confmap.NewFromStringMap(keys).Unmarshal(conf), "%s: `%s`", where, name) && !slices.Contains(incomplete, where+" "+name) {
			if v, ok := conf.(interface{ Validate() error }); ok {
				assert.NoError(t, v.Validate(), "%s: `%s`", where, name)
			}
		}
	}
	return found
}

// incomplete are examples that show a part of what their component needs.
var incomplete = []string{
	"extension/qpointeraseextension/README.md pulse_api",
}

// TestExamples: every block of YAML on every page is read by the factories of the components in it, which refuse keys that do not exist
// and values that are wrong; pipelines name components that are there.
func TestExamples(t *testing.T) {
	var found int
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			if b.language != "yaml" {
				continue
			}
			retrieved, err := confmap.NewRetrievedFromYAML([]byte(expand(b.text)))
			require.NoError(t, err, "%s:\n%s", page, b.text)
			conf, err := retrieved.AsConf()
			require.NoError(t, err, "%s:\n%s", page, b.text)
			top := conf.ToStringMap()
			found += checkComponents(t, page, top) // a block that begins with a component
			for _, section := range sections {
				if group, ok := top[section].(map[string]any); ok {
					found += checkComponents(t, page, group)
				}
			}
		}
	}
	require.NotZero(t, found)
}

// TestShippedConfigs does the same with the configurations that are shipped.
func TestShippedConfigs(t *testing.T) {
	files, err := filepath.Glob("../../distributions/otelcol-qpoint/configs/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		path := strings.TrimPrefix(file, "../../")
		retrieved, err := confmap.NewRetrievedFromYAML([]byte(expand(read(t, path))))
		require.NoError(t, err, path)
		conf, err := retrieved.AsConf()
		require.NoError(t, err, path)
		for _, section := range sections {
			if group, ok := conf.ToStringMap()[section].(map[string]any); ok {
				checkComponents(t, path, group)
			}
		}
	}
}

// TestKeysInProse: what a page writes as `a::b` is a key of a component.
func TestKeysInProse(t *testing.T) {
	known := map[string]bool{}
	for _, c := range components {
		for _, k := range keysOf(c.factory) {
			for name := k.name; name != ""; {
				known[name] = true
				_, name, _ = strings.Cut(name, "::") // the group may be left out
			}
		}
	}
	written := regexp.MustCompile("`(?:[a-z0-9_/]+\\.)?([a-z][a-z0-9_]*(?:::[a-z][a-z0-9_<>]*)+)(?:: [^`]*)?`")
	var found int
	for _, page := range pages(t) {
		for _, m := range written.FindAllStringSubmatch(fence.ReplaceAllString(read(t, page), ""), -1) {
			name := m[1]
			for _, prefix := range notOurs {
				if strings.HasPrefix(name, prefix) {
					name = ""
				}
			}
			if name == "" {
				continue
			}
			// `qpoint_s3::bucket`, and `exporters::qpoint_s3::bucket`.
			for _, section := range sections {
				name = strings.TrimPrefix(name, section+"::")
			}
			first, rest, _ := strings.Cut(name, "::")
			if factoryOf(first) != nil {
				name = rest
			}
			found++
			assert.True(t, known[name] || known[strings.ReplaceAll(name, "[]", "")], "%s: `%s` is no key", page, m[1])
		}
	}
	require.NotZero(t, found)
}

// notOurs are prefixes of what belongs to the collector itself.
var notOurs = []string{"service::"}
