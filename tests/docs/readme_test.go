// SPDX-License-Identifier: Apache-2.0

// Package docs holds the README of every component to its configuration: each key stands there,
// with its true default, and no key stands there that does not exist.
package docs

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"

	"github.com/qpoint-io/otelcol-qpoint/exporter/pulseexporter"
	"github.com/qpoint-io/otelcol-qpoint/exporter/qpoints3exporter"
	"github.com/qpoint-io/otelcol-qpoint/extension/localclickhouseextension"
	"github.com/qpoint-io/otelcol-qpoint/extension/locals3extension"
	"github.com/qpoint-io/otelcol-qpoint/extension/pulseapiextension"
	"github.com/qpoint-io/otelcol-qpoint/extension/qpointeraseextension"
	"github.com/qpoint-io/otelcol-qpoint/processor/anonymizeprocessor"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/qtappayloadreceiver"
)

func TestReadmes(t *testing.T) {
	for _, c := range []struct {
		dir, heading string // the table of keys is the first one after the heading
		factory      component.Factory
	}{
		{"processor/anonymizeprocessor", "## Configuration", anonymizeprocessor.NewFactory()},
		{"exporter/pulseexporter", "## Configuration", pulseexporter.NewFactory()},
		{"exporter/qpoints3exporter", "## Configuration", qpoints3exporter.NewFactory()},
		{"extension/localclickhouseextension", "## Configuration", localclickhouseextension.NewFactory()},
		{"extension/locals3extension", "# Local S3", locals3extension.NewFactory()},
		{"extension/pulseapiextension", "## Configuration", pulseapiextension.NewFactory()},
		{"extension/qpointeraseextension", "# Erase extension", qpointeraseextension.NewFactory()},
		{"receiver/qtapreceiver", "### `qtap`", qtapreceiver.NewFactory()},
		{"receiver/qtapreceiver", "### `qtap_payload`", qtappayloadreceiver.NewFactory()},
	} {
		t.Run(c.factory.Type().String(), func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("../..", c.dir, "README.md"))
			require.NoError(t, err)
			_, section, ok := strings.Cut(string(text), "\n"+c.heading+"\n")
			if !ok {
				section, ok = strings.CutPrefix(string(text), c.heading)
			}
			require.True(t, ok, "no heading %q", c.heading)
			keys := rows(section)
			require.NotEmpty(t, keys)
			compare(t, c.factory, keys)
		})
	}
}

// Every link from one page of the tree to another leads somewhere.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)
	var found int
	require.NoError(t, filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == "node_modules" || e.Name() == "_build" || e.Name() == ".git" || e.Name() == "data") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(m[1], "://") {
				found++
				_, err := os.Stat(filepath.Join(filepath.Dir(path), m[1]))
				assert.NoError(t, err, "link in %s", path)
			}
		}
		return nil
	}))
	require.NotZero(t, found)
}

// shared are keys that a README describes by a link to the collector component that has them.
func shared(key string) bool {
	for _, prefix := range []string{"sending_queue::", "retry_on_failure::"} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	// pulse_api says in a sentence that the rest is that of a collector HTTP server.
	return slices.Contains([]string{
		"transport", "read_header_timeout", "write_timeout", "keepalive",
	}, strings.Split(key, "::")[0])
}

func compare(t *testing.T, factory component.Factory, rows map[string]string) {
	conf := confmap.New()
	require.NoError(t, conf.Marshal(factory.CreateDefaultConfig()))
	keys := flatten("", conf.ToStringMap())
	for key, value := range keys {
		if shared(key) {
			continue
		}
		written, ok := rows[key]
		for group := key; !ok && strings.Contains(group, "::"); { // a row may describe a whole group
			group = group[:strings.LastIndex(group, "::")]
			_, ok = rows[group]
		}
		if value == nil && !ok { // a group that is off by default, described by its keys
			for row := range rows {
				ok = ok || strings.HasPrefix(row, key+"::")
			}
		}
		assert.True(t, ok, "`%s` (default %v) is not in the table of keys", key, value)
		// What is unset in the struct is decided later: its test is the component's own.
		if text := normal(fmt.Sprint(value)); written != "" && text != "" {
			assert.Equal(t, text, normal(written), "default of `%s`", key)
		}
	}
	for key := range rows {
		// A nil changes nothing, but a key that does not exist is refused.
		var value any
		parts := strings.Split(key, "::")
		for _, part := range slices.Backward(parts) {
			if list, ok := strings.CutSuffix(part, "[]"); ok { // a key of each of a list
				part, value = list, []any{value}
			}
			value = map[string]any{part: value}
		}
		err := confmap.NewFromStringMap(value.(map[string]any)).Unmarshal(factory.CreateDefaultConfig())
		assert.NoError(t, err, "`%s` is in the table of keys", key)
	}
}

// normal writes equal values equally: 720h and 720h0m0s, "" and none.
func normal(value string) string {
	if d, err := time.ParseDuration(value); err == nil {
		return d.String()
	}
	if value == `""` || value == "<nil>" || value == "map[]" || value == "{}" {
		return ""
	}
	return strings.ReplaceAll(value, ", ", " ") // lists
}

func flatten(prefix string, values map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range values {
		if sub, ok := value.(map[string]any); ok && len(sub) > 0 {
			maps.Copy(out, flatten(prefix+key+"::", sub))
			continue
		}
		out[prefix+key] = value
	}
	return out
}

var (
	quoted  = regexp.MustCompile("`([^`]+)`")
	oneCode = regexp.MustCompile("^`([^`]+)`$")
)

// rows returns the keys of the first table of keys and their defaults: "" where the cell holds words.
func rows(text string) map[string]string {
	out := map[string]string{}
	inTable := false
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 4 {
			if inTable {
				break
			}
			continue
		}
		first, second := strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2])
		if strings.EqualFold(first, "key") {
			inTable = true
			continue
		}
		if !inTable {
			continue
		}
		value := ""
		if m := oneCode.FindStringSubmatch(second); m != nil {
			value = m[1]
		}
		for _, m := range quoted.FindAllStringSubmatch(first, -1) {
			out[strings.ReplaceAll(m[1], ".", "::")] = value
		}
	}
	return out
}
