// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// skipped are folders whose pages are not ours.
var skipped = []string{"node_modules", "_build", ".git", "data", "artifacts"}

// pages returns the paths of all pages of the tree, from its root.
func pages(t *testing.T) (out []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && slices.Contains(skipped, e.Name()) {
			return filepath.SkipDir
		}
		if filepath.Ext(path) == ".md" {
			path, err = filepath.Rel("../..", path)
			out = append(out, path)
		}
		return err
	}))
	require.NotEmpty(t, out)
	return out
}

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fence    = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	linkText = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	unslug   = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors are the names that a page's headings have on a forge: lower case, no punctuation, hyphens for spaces.
func anchors(text string) (out []string) {
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		name := linkText.ReplaceAllString(m[1], "$1")
		out = append(out, strings.ReplaceAll(unslug.ReplaceAllString(strings.ToLower(name), ""), " ", "-"))
	}
	return out
}

// TestLinks: every link from one page of the tree to another leads somewhere, to the heading if it names one.
func TestLinks(t *testing.T) {
	var found int
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(read(t, page), ""), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			found++
			path, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(filepath.Join("../..", target)); !assert.NoError(t, err, "link in %s", page) {
				continue
			}
			if anchor != "" {
				assert.Contains(t, anchors(read(t, target)), anchor, "link %s in %s", m[1], page)
			}
		}
	}
	require.NotZero(t, found)
}
