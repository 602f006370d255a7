// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// metric is one of the collector's own.
type metric struct{ name, unit, meaning string }

// metricsIn reads the metrics that the Go files below a folder make, from the source: a name that is whole, or a prefix and a table
// or calls of name, unit and description.
func metricsIn(t *testing.T, dir string) (out []metric) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		out = append(out, metricsOf(file)...)
		return nil
	}))
	return out
}

var metricName = regexp.MustCompile(`^otelcol_[a-z0-9_]+$`)

func metricsOf(file *ast.File) (out []metric) {
	prefix := ""
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		if sel, ok := call.Fun.(*ast.SelectorExpr); !ok || !strings.HasPrefix(sel.Sel.Name, "Int64") && !strings.HasPrefix(sel.Sel.Name, "Float64") {
			return true
		}
		if sum, ok := call.Args[0].(*ast.BinaryExpr); ok {
			prefix = text(sum.X)
			return true
		}
		if name := text(call.Args[0]); metricName.MatchString(name) {
			m := metric{name: name}
			for _, arg := range call.Args[1:] {
				if option, ok := arg.(*ast.CallExpr); ok && len(option.Args) == 1 {
					switch option.Fun.(*ast.SelectorExpr).Sel.Name {
					case "WithDescription":
						m.meaning = text(option.Args[0])
					case "WithUnit":
						m.unit = text(option.Args[0])
					}
				}
			}
			out = append(out, m)
		}
		return true
	})
	if prefix == "" {
		return out
	}
	ast.Inspect(file, func(n ast.Node) bool {
		var args []ast.Expr
		switch n := n.(type) {
		case *ast.CallExpr:
			args = n.Args
		case *ast.CompositeLit:
			args = n.Elts
		}
		if len(args) < 3 {
			return true
		}
		name, unit, meaning := text(args[len(args)-3]), text(args[len(args)-2]), text(args[len(args)-1])
		if name != "" && unit != "" && meaning != "" {
			out = append(out, metric{prefix + name, unit, meaning})
		}
		return true
	})
	return out
}

// text is the value of a string literal, "" of anything else.
func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, err := strconv.Unquote(lit.Value)
	if err != nil {
		panic(err)
	}
	return s
}

// ours are the metrics of this project, by name.
func ours(t *testing.T) (out []metric) {
	t.Helper()
	for _, dir := range []string{"receiver", "processor", "exporter", "extension"} {
		out = append(out, metricsIn(t, "../../"+dir)...)
	}
	slices.SortFunc(out, func(a, b metric) int { return strings.Compare(a.name, b.name) })
	return slices.Compact(out)
}

// reasons are why data is given up, and what to do, in the order of receiver/qtapreceiver/internal/coverage.
func reasons(t *testing.T) (out [][2]string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../receiver/qtapreceiver/internal/coverage/coverage.go", nil, 0)
	require.NoError(t, err)
	constants := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != len(spec.Names) {
			return true
		}
		for i, name := range spec.Names {
			constants[name.Name] = text(spec.Values[i])
			table, ok := spec.Values[i].(*ast.CompositeLit)
			if !ok || name.Name != "advice" {
				continue
			}
			for _, e := range table.Elts {
				pair := e.(*ast.KeyValueExpr)
				reason := text(pair.Key)
				if constant, ok := pair.Key.(*ast.Ident); ok {
					reason = constants[constant.Name]
				}
				out = append(out, [2]string{reason, text(pair.Value)})
			}
		}
		return true
	})
	require.NotEmpty(t, out)
	return out
}

// rule is an alert, in the form that Prometheus reads.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(t *testing.T) (out []rule) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	d := yaml.NewDecoder(bytes.NewReader([]byte(read(t, "distributions/otelcol-qpoint/prometheus/alerts.yaml"))))
	d.KnownFields(true)
	require.NoError(t, d.Decode(&file))
	for _, g := range file.Groups {
		require.NotEmpty(t, g.Name)
		out = append(out, g.Rules...)
	}
	require.NotEmpty(t, out)
	return out
}

// TestOperate makes the tables of docs/operate.md: metrics from the source that registers them, reasons from the table that Coverage shows,
// alerts from their file.
func TestOperate(t *testing.T) {
	tables := map[string]string{}
	var b strings.Builder
	b.WriteString("| Metric | Unit | Meaning |\n|---|---|---|\n")
	for _, m := range ours(t) {
		require.NotEmpty(t, m.meaning, m.name)
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.name, m.unit, m.meaning)
	}
	tables["metrics"] = b.String()
	b.Reset()
	b.WriteString("| Reason | |\n|---|---|\n")
	for _, r := range reasons(t) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", r[0], r[1])
	}
	tables["reasons"] = b.String()
	b.Reset()
	b.WriteString("| Alert | When | What to do |\n|---|---|---|\n")
	for _, r := range alerts(t) {
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", r.Alert, strings.ReplaceAll(r.Expr, "|", `\|`), r.Annotations["description"])
	}
	tables["alerts"] = b.String()
	page := read(t, "docs/operate.md")
	for name, table := range tables {
		begin, end := "<!-- "+name+": made by make docs -->\n", "<!-- /"+name+" -->"
		before, rest, ok := strings.Cut(page, begin)
		_, after, ok2 := strings.Cut(rest, end)
		require.True(t, ok && ok2, "no place for %s", name)
		page = before + begin + table + end + after
	}
	written(t, "docs/operate.md", page)
}

// TestAlerts: alerts ask for metrics, stages and reasons that there are.
func TestAlerts(t *testing.T) {
	known := map[string]bool{}
	for _, m := range ours(t) {
		known[m.name] = true
	}
	for _, module := range []string{"go.opentelemetry.io/collector/exporter/exporterhelper"} {
		dir, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", module).Output()
		require.NoError(t, err)
		for _, m := range metricsIn(t, strings.TrimSpace(string(dir))) {
			known[m.name] = true
		}
	}
	why := map[string]bool{}
	for _, r := range reasons(t) {
		why[r[0]] = true
	}
	names := map[string]bool{}
	for _, r := range alerts(t) {
		t.Run(r.Alert, func(t *testing.T) {
			require.False(t, names[r.Alert], "twice")
			names[r.Alert] = true
			require.Contains(t, []string{"warning", "critical"}, r.Labels["severity"])
			require.NotEmpty(t, r.Annotations["summary"])
			require.NotEmpty(t, r.Annotations["description"])
			if r.For != "" {
				_, err := time.ParseDuration(r.For)
				require.NoError(t, err)
			}
			for _, brackets := range []string{"()", "{}", "[]"} {
				require.Equal(t, strings.Count(r.Expr, brackets[:1]), strings.Count(r.Expr, brackets[1:]), r.Expr)
			}
			found := regexp.MustCompile(`otelcol_\w+`).FindAllString(r.Expr, -1)
			require.NotEmpty(t, found)
			for _, name := range found {
				assert.True(t, known[name], "no metric %s", name)
			}
			for _, m := range regexp.MustCompile(`stage_dropped\{[^}]*reason=~?"([^"]+)"`).FindAllStringSubmatch(r.Expr, -1) {
				for reason := range strings.SplitSeq(m[1], "|") {
					assert.True(t, why[reason], "no reason %s", reason)
				}
			}
		})
	}
}

// TestMetricsInProse: a metric that a page names exists.
func TestMetricsInProse(t *testing.T) {
	var known []string
	for _, m := range ours(t) {
		known = append(known, m.name)
	}
	for _, page := range pages(t) {
		for _, name := range regexp.MustCompile(`otelcol_(?:receiver|processor|exporter|extension)_(?:qtap|anonymize|pulse|qpoint|local)\w*`).FindAllString(read(t, page), -1) {
			assert.True(t, slices.ContainsFunc(known, func(k string) bool { return k == name || strings.HasPrefix(k, name) }), "%s names %s", page, name)
		}
	}
}
