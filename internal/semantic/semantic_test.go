// SPDX-License-Identifier: Apache-2.0

package semantic

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// constants returns the string constants of semantic.go by name.
func constants(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "semantic.go", nil, 0)
	require.NoError(t, err)
	all := map[string]string{}
	for _, d := range file.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok || gen.Tok != token.CONST {
			continue
		}
		for _, spec := range gen.Specs {
			v := spec.(*ast.ValueSpec)
			s, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			all[v.Names[0].Name] = s
		}
	}
	return all
}

// TestEveryKeyIsClassified makes whoever adds a key decide: on the allow-list with a class,
// or here among those that anonymize removes.
func TestEveryKeyIsClassified(t *testing.T) {
	t.Parallel()
	removed := map[string]string{
		"Anonymized": "stamped, never taken from the data", "Environment": "stamped, never taken from the data",
		"SegmentIndex": "payload path only", "SegmentCount": "payload path only",
		"PayloadWebSocketMessages": "payload path only", "PayloadRedactionPolicy": "payload path only", "PayloadRedactions": "payload path only", "PayloadSealed": "payload path only",
	}
	keys := map[string]bool{}
	for name, value := range constants(t) {
		switch {
		case !strings.Contains(value, "."), name == "SchemaURL", strings.HasPrefix(name, "Event"):
			continue // values of attributes, events
		case strings.HasPrefix(name, "PayloadRequest"), strings.HasPrefix(name, "PayloadResponse"), removed[name] != "":
			require.Equal(t, Removed, ClassOf(value), "%s must be removed", name)
		default:
			require.NotEqual(t, Removed, ClassOf(value), "%s has no class", name)
		}
		require.False(t, keys[value], "%s has two names", value)
		keys[value] = true
	}
	for _, k := range Keys() {
		require.True(t, keys[k], "%s is on the allow-list without a name", k)
	}
	require.Greater(t, len(Keys()), 50)
	require.Equal(t, Removed, ClassOf("http.request.header.authorization"))
	require.Equal(t, Removed, ClassOf(""))
}
