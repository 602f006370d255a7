// SPDX-License-Identifier: Apache-2.0

// Package privacy holds what is true of the whole project, so that sensitive data stays where it belongs.
package privacy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const (
	module = "github.com/qpoint-io/otelcol-qpoint"
	root   = "../.."
)

// linked returns every package that the given one links, itself too.
func linked(t *testing.T, pkg string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "./"+pkg)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	deps := strings.Fields(string(out))
	require.Contains(t, deps, module+"/"+pkg, "the list is real")
	return deps
}

func below(pkg, folder string) bool {
	return pkg == strings.TrimSuffix(folder, "/") || strings.HasPrefix(pkg, strings.TrimSuffix(folder, "/")+"/")
}

// Ways to payloads and to secrets of TLS.
var (
	readers = []string{module + "/internal/archive", module + "/internal/objectstore", module + "/exporter/qpoints3exporter", "filippo.io/age"}
	clients = []string{"github.com/aws/aws-sdk-go-v2/service", "github.com/aws/aws-sdk-go-v2/feature", "github.com/minio", "github.com/versity"}
	capture = []string{module + "/receiver", module + "/bpf", "github.com/cilium/ebpf"}
	engine  = []string{"github.com/ebitengine/purego"}
)

// TestIsolation: what handles metadata has no code to read a payload, or a bucket, or a TLS secret with.
func TestIsolation(t *testing.T) {
	all := [][]string{readers, clients, capture, engine}
	for pkg, forbidden := range map[string][][]string{
		"exporter/pulseexporter":                      all,
		"internal/pulsestore":                         all,
		"internal/pulsestore/filter":                  all,
		"extension/pulseapiextension":                 all,
		"extension/pulsetokensextension":              all,
		"internal/identity":                           all,
		"internal/objectstore/s3settings":             all,
		"processor/anonymizeprocessor":                all,
		"internal/detect":                             all,
		"extension/privacyguardextension":             all,
		"extension/localclickhouseextension":          {readers, clients, capture}, // it loads the engine
		"exporter/qpoints3exporter":                   {capture, engine, {module + "/internal/pulsestore"}},
		"receiver/qtapreceiver":                       {readers, clients, engine, {module + "/internal/pulsestore"}},
		"extension/locals3extension":                  {capture, engine, {module + "/internal/archive", module + "/internal/pulsestore"}},
		"exporter/qpoints3exporter/qpoints3connector": {capture, engine, {module + "/internal/pulsestore"}},
		"receiver/qtapreceiver/qtappayloadreceiver":   {readers, clients, engine, {module + "/internal/pulsestore"}},
	} {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			for _, dep := range linked(t, pkg) {
				if dep == module+"/internal/objectstore/s3settings" {
					continue // types without a client, as its own row says
				}
				for _, folders := range forbidden {
					for _, folder := range folders {
						require.False(t, below(dep, folder), "%s links %s", pkg, dep)
					}
				}
			}
		})
	}
}

// TestNoComponentImportsAnother: they meet in the collector, by interfaces, and nowhere else.
func TestNoComponentImportsAnother(t *testing.T) {
	var components []string
	for _, kind := range []string{"receiver", "processor", "exporter", "connector", "extension"} {
		found, err := filepath.Glob(filepath.Join(root, kind, "*"))
		require.NoError(t, err)
		for _, dir := range found {
			components = append(components, kind+"/"+filepath.Base(dir))
		}
	}
	require.Greater(t, len(components), 8)
	for _, pkg := range components {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			for _, dep := range linked(t, pkg) {
				for _, other := range components {
					require.False(t, other != pkg && below(dep, module+"/"+other), "%s links %s", pkg, dep)
				}
			}
		})
	}
}

// TestPulseHasNoWordForPayloads: the code behind `anonymize` does not so much as name an attribute that holds a part of a payload.
func TestPulseHasNoWordForPayloads(t *testing.T) {
	forbidden := payloadNames(t)
	files := 0
	for _, pkg := range []string{"exporter/pulseexporter", "internal/pulsestore", "extension/pulseapiextension", "extension/pulsetokensextension", "extension/localclickhouseextension"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, pkg), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files++
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && x.Name == "semantic" {
						require.NotContains(t, forbidden, n.Sel.Name, "%s", path)
					}
				case *ast.BasicLit:
					for _, value := range forbidden {
						require.False(t, strings.HasPrefix(value, "qpoint.") && n.Value == `"`+value+`"`, "%s has %s", path, n.Value)
					}
				}
				return true
			})
			return nil
		}))
	}
	require.Greater(t, files, 40)
}

// payloadNames are the constants of internal/semantic that name a payload, or a part of it, and their values: those
// that are not on the allow-list of `anonymize`, for they begin with Payload or Message, or are the event itself.
func payloadNames(t *testing.T) map[string]string {
	t.Helper()
	allowed := map[string]bool{}
	classes, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "internal/semantic/class.go"), nil, 0)
	require.NoError(t, err)
	ast.Inspect(classes, func(n ast.Node) bool {
		if pair, ok := n.(*ast.KeyValueExpr); ok {
			if key, ok := pair.Key.(*ast.Ident); ok {
				allowed[key.Name] = true
			}
		}
		return true
	})
	names := map[string]string{}
	words, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "internal/semantic/semantic.go"), nil, 0)
	require.NoError(t, err)
	ast.Inspect(words, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != len(spec.Names) {
			return true
		}
		for i, name := range spec.Names {
			value, ok := spec.Values[i].(*ast.BasicLit)
			if ok && !allowed[name.Name] && (strings.HasPrefix(name.Name, "PayloadRe") || strings.HasPrefix(name.Name, "Message") || name.Name == "PayloadWebSocketMessages" || name.Name == "EventPayload") {
				names[name.Name] = strings.Trim(value.Value, `"`)
			}
		}
		return true
	})
	require.Contains(t, names, "EventPayload")
	require.Contains(t, names, "PayloadRequestBody")
	require.Greater(t, len(names), 20)
	return names
}
