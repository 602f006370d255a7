// SPDX-License-Identifier: Apache-2.0

// Package docs holds what is written to what is: the README of every component to its configuration (each key stands there,
// with its true default, and no key that does not exist), and the pages of docs/ to commands, links, metrics and keys. Pages that are
// made from others are made by `make docs`.
package docs

import (
	"fmt"
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
	"github.com/qpoint-io/otelcol-qpoint/extension/filestorageextension"
	"github.com/qpoint-io/otelcol-qpoint/extension/localclickhouseextension"
	"github.com/qpoint-io/otelcol-qpoint/extension/locals3extension"
	"github.com/qpoint-io/otelcol-qpoint/extension/privacyguardextension"
	"github.com/qpoint-io/otelcol-qpoint/extension/pulseapiextension"
	"github.com/qpoint-io/otelcol-qpoint/extension/pulsetokensextension"
	"github.com/qpoint-io/otelcol-qpoint/extension/qpointeraseextension"
	"github.com/qpoint-io/otelcol-qpoint/processor/anonymizeprocessor"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/qtappayloadreceiver"
)

// described is a component, and where its README has its keys.
type described struct {
	kind, dir, heading string            // the table of keys is the first one after the heading; none: it has no keys
	nested             map[string]string // further tables of keys, by the head of their first column: what the keys are below
	factory            component.Factory
}

var components = []described{
	{"receiver", "receiver/qtapreceiver", "### `qtap`", map[string]string{"Key of a rule": "rules[]::"}, qtapreceiver.NewFactory()},
	{"receiver", "receiver/qtapreceiver", "### `qtap_payload`", nil, qtappayloadreceiver.NewFactory()},
	{"processor", "processor/anonymizeprocessor", "## Configuration", nil, anonymizeprocessor.NewFactory()},
	{"exporter", "exporter/pulseexporter", "## Configuration", nil, pulseexporter.NewFactory()},
	{"exporter and connector", "exporter/qpoints3exporter", "## Configuration", nil, qpoints3exporter.NewFactory()},
	{"extension", "extension/pulseapiextension", "## Configuration", nil, pulseapiextension.NewFactory()},
	{"extension", "extension/pulsetokensextension", "## Configuration", nil, pulsetokensextension.NewFactory()},
	{"extension", "extension/privacyguardextension", "", nil, privacyguardextension.NewFactory()},
	{"extension", "extension/localclickhouseextension", "## Configuration", nil, localclickhouseextension.NewFactory()},
	{"extension", "extension/locals3extension", "# Local S3", nil, locals3extension.NewFactory()},
	{"extension", "extension/qpointeraseextension", "# Erase extension", nil, qpointeraseextension.NewFactory()},
	{"extension", "extension/filestorageextension", "# File storage", nil, filestorageextension.NewFactory()},
}

// readme returns the component's README from its heading on.
func (c *described) readme(t *testing.T) string {
	t.Helper()
	text := "\n" + read(t, c.dir+"/README.md")
	_, section, ok := strings.Cut(text, "\n"+c.heading)
	require.True(t, ok, "no heading %q", c.heading)
	return section
}

func TestReadmes(t *testing.T) {
	for _, c := range components {
		if c.heading == "" {
			continue
		}
		t.Run(c.factory.Type().String(), func(t *testing.T) {
			keys := defaults(table(c.readme(t), "Key"))
			require.NotEmpty(t, keys)
			compare(t, c.factory, keys)
		})
	}
}

// read returns a file of the tree.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", path))
	require.NoError(t, err)
	return string(text)
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
		key = strings.ReplaceAll(key, "<name>", "name") // of a map
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

// row is a line of a table of keys.
type row struct {
	keys                  []string
	defaultCell, meanings string
}

// table returns the first table whose first column has this head.
func table(text, head string) (out []row) {
	inTable := false
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 4 {
			if inTable {
				break
			}
			continue
		}
		first := strings.TrimSpace(cells[1])
		if strings.EqualFold(first, head) {
			inTable = true
			continue
		}
		if !inTable || !strings.Contains(first, "`") {
			continue
		}
		r := row{defaultCell: strings.TrimSpace(cells[2]), meanings: strings.TrimSpace(strings.Join(cells[3:len(cells)-1], "|"))}
		for _, m := range quoted.FindAllStringSubmatch(first, -1) {
			r.keys = append(r.keys, m[1])
		}
		out = append(out, r)
	}
	return out
}

// defaults are the values in the second column by key: "" where it holds words.
func defaults(rows []row) map[string]string {
	out := map[string]string{}
	for _, r := range rows {
		value := ""
		if m := oneCode.FindStringSubmatch(r.defaultCell); m != nil {
			value = m[1]
		}
		for _, key := range r.keys {
			out[key] = value
		}
	}
	return out
}
