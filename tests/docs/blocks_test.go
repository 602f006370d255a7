// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// block is a fenced block of a page.
type block struct {
	page, language, text string
}

var fenced = regexp.MustCompile("(?ms)^( *)```([a-z]*)\n(.*?)^ *```$")

func blocks(t *testing.T, page string) (out []block) {
	t.Helper()
	for _, m := range fenced.FindAllStringSubmatch(read(t, page), -1) {
		lines := strings.Split(m[3], "\n")
		for i := range lines {
			lines[i] = strings.TrimPrefix(lines[i], m[1])
		}
		out = append(out, block{page, m[2], strings.Join(lines, "\n")})
	}
	return out
}

// guides are the pages whose commands have to work as they stand there.
func guides(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, page := range pages(t) {
		if filepath.Dir(page) == "docs" || filepath.Dir(page) == "." {
			out = append(out, page)
		}
	}
	return out
}

// withCommands are the guides, and the README of each component.
func withCommands(t *testing.T) []string {
	t.Helper()
	out := guides(t)
	for _, c := range components {
		if page := c.dir + "/README.md"; !slices.Contains(out, page) {
			out = append(out, page)
		}
	}
	return out
}

// elsewhere are the blocks of commands that this package does not run, by how they begin: who does (what a file has), or why nobody does.
var elsewhere = map[string]struct{ file, has, reason string }{
	"make run":                  {file: "tests/e2e/readme_test.go", has: "func TestReadmePage("},
	"curl https://example.com/": {file: "tests/e2e/readme_test.go", has: "func TestReadmePage("},
	"curl -s -H":                {file: "tests/e2e/readme_test.go", has: "func TestReadmePage("},
	`curl -H "Authorization: Bearer $(cat data/token)"`:                               {file: "tests/e2e/readme_test.go", has: "func TestReadmePage("},
	`curl -H "Authorization: Bearer $TOKEN" -G http://127.0.0.1:8686/api/v1/requests`: {file: "tests/e2e/readme_test.go", has: "func TestReadmePage("},
	`curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8686/api/v1/erase`:       {file: "tests/e2e/erase_test.go", has: "/api/v1/erase"},
	"tar --xattrs":             {file: "tests/e2e/readme_test.go", has: "func TestReadmePage("},
	"make deb rpm":             {file: "Makefile", has: "test-packages: packages-test deb rpm"},
	"setpriv --reuid":          {file: "tests/e2e/rights_test.go", has: "func TestLeastRights("},
	"cd web && npm ci":         {file: "Makefile", has: "cd extension/pulseapiextension/web && npm ci --ignore-scripts && npm run check && npm run build"},
	"make build agent chdb":    {reason: "it needs buildah and debootstrap, and downloads a Debian; the page says when it was run"},
	"kubectl create namespace": {reason: "no cluster runs where this is tested; TestHelmValues checks the values, tests/chart renders the chart"},
}

// TestCommands runs the blocks of commands: those of one page one after the other, in an empty folder.
func TestCommands(t *testing.T) {
	used := map[string]bool{}
	var ran int
	for _, page := range withCommands(t) {
		dir := t.TempDir()
		for _, b := range blocks(t, page) {
			if b.language != "sh" {
				continue
			}
			if key, ok := covered(b.text); ok {
				used[key] = true
				continue
			}
			ran++
			first, _, _ := strings.Cut(b.text, "\n")
			t.Run(page+": "+first, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", b.text)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "HOME="+dir)
				out, err := cmd.CombinedOutput()
				require.NoError(t, err, "%s\n%s", b.text, out)
			})
		}
	}
	for key, e := range elsewhere {
		assert.True(t, used[key], "no page has a block that begins with %q", key)
		if e.reason == "" {
			assert.Contains(t, read(t, e.file), e.has, "what runs %q", key)
		}
	}
	require.NotZero(t, ran)
}

func covered(text string) (string, bool) {
	for key := range elsewhere {
		if strings.HasPrefix(text, key) {
			return key, true
		}
	}
	return "", false
}

// TestBlocksHaveALanguage: a block without one would be run by nobody and checked by nobody.
func TestBlocksHaveALanguage(t *testing.T) {
	for _, page := range guides(t) {
		for _, b := range blocks(t, page) {
			assert.Contains(t, []string{"sh", "yaml", "json", "text", "go", "c", "sql"}, b.language, "%s:\n%s", page, b.text)
		}
	}
}

// targets are the targets of the Makefile.
func targets(t *testing.T) (out []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^([a-z0-9- ]+):`).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		out = append(out, strings.Fields(m[1])...)
	}
	return out
}

// TestMake: every target that a page names exists.
func TestMake(t *testing.T) {
	known := targets(t)
	for _, page := range pages(t) {
		for _, m := range regexp.MustCompile("(?m)(?:`|^)make ([a-z0-9][a-z0-9- ]*)").FindAllStringSubmatch(read(t, page), -1) {
			for _, name := range strings.Fields(m[1]) {
				assert.Contains(t, known, name, "%s: make %s", page, m[1])
			}
		}
	}
}

// TestHelmValues: what a page sets with --set is a value of the chart.
func TestHelmValues(t *testing.T) {
	var values map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "distributions/otelcol-qpoint/helm/otelcol-qpoint/values.yaml")), &values))
	var found int
	for _, page := range guides(t) {
		for _, m := range regexp.MustCompile(`--set ([A-Za-z0-9.]+)=`).FindAllStringSubmatch(read(t, page), -1) {
			found++
			var at any = values
			for _, part := range strings.Split(m[1], ".") {
				group, _ := at.(map[string]any)
				if !assert.Contains(t, group, part, "%s: --set %s", page, m[1]) {
					break
				}
				at = group[part]
			}
		}
	}
	require.NotZero(t, found)
}

// TestPaths: a file of the tree that a guide names in backticks exists.
func TestPaths(t *testing.T) {
	path := regexp.MustCompile("`((?:bpf|configs|distributions|docs|exporter|extension|internal|processor|receiver|scripts|tests|tools)/[A-Za-z0-9_./-]+)`")
	for _, page := range guides(t) {
		for _, m := range path.FindAllStringSubmatch(read(t, page), -1) {
			roots := []string{"", "receiver/qtapreceiver", "distributions/otelcol-qpoint"} // as the READMEs say it
			assert.True(t, slices.ContainsFunc(roots, func(root string) bool {
				_, err := os.Stat(filepath.Join("../..", root, m[1]))
				return err == nil
			}), "%s names %s", page, m[1])
		}
	}
}

// TestIssueForms: the forms for issues are read by the forge, ask for what a bug needs, and say what must not be pasted.
func TestIssueForms(t *testing.T) {
	files, err := filepath.Glob("../../.github/ISSUE_TEMPLATE/*.yml")
	require.NoError(t, err)
	var forms int
	for _, file := range files {
		name := filepath.Base(file)
		text := read(t, ".github/ISSUE_TEMPLATE/"+name)
		if name == "config.yml" {
			continue
		}
		forms++
		var form struct {
			Name        string   `yaml:"name"`
			Description string   `yaml:"description"`
			Labels      []string `yaml:"labels"`
			Body        []struct {
				Type        string          `yaml:"type"`
				ID          string          `yaml:"id"`
				Attributes  map[string]any  `yaml:"attributes"`
				Validations map[string]bool `yaml:"validations"`
			} `yaml:"body"`
		}
		d := yaml.NewDecoder(strings.NewReader(text))
		d.KnownFields(true)
		require.NoError(t, d.Decode(&form), name)
		assert.NotEmpty(t, form.Name, name)
		assert.NotEmpty(t, form.Description, name)
		ids := map[string]bool{}
		for _, field := range form.Body {
			assert.Contains(t, []string{"markdown", "textarea", "input", "dropdown", "checkboxes"}, field.Type, name)
			if field.Type == "markdown" {
				assert.NotEmpty(t, field.Attributes["value"], name)
				continue
			}
			assert.NotEmpty(t, field.Attributes["label"], name)
			assert.False(t, field.ID == "" || ids[field.ID], "%s: id %q", name, field.ID)
			ids[field.ID] = true
		}
		assert.Regexp(t, `(?i)never paste payloads|no payloads`, text, name)
		if name != "feature.yml" {
			assert.True(t, ids["doctor"] && ids["version"], name)
		}
	}
	require.Equal(t, 3, forms)
}
