// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var updateTypes = flag.Bool("update", false, "write web/src/lib/schema.ts")

// TestTypes: the page's types are those of openapi.yaml. With -update it writes them.
func TestTypes(t *testing.T) {
	text, err := os.ReadFile("openapi.yaml")
	require.NoError(t, err)
	var doc yaml.Node
	require.NoError(t, yaml.Unmarshal(text, &doc))
	root := doc.Content[0]
	var b strings.Builder
	b.WriteString("// Made from openapi.yaml by `go test -run TestTypes -update`. Do not edit.\n")
	each(at(root, "components", "schemas"), func(name string, schema *yaml.Node) {
		fmt.Fprintf(&b, "\nexport type %s = %s;\n", name, typeOf(schema, ""))
	})
	each(at(root, "paths"), func(_ string, path *yaml.Node) {
		each(path, func(_ string, op *yaml.Node) {
			answer := at(op, "responses", "200", "content", "application/json", "schema")
			if id := at(op, "operationId"); id != nil && answer != nil {
				fmt.Fprintf(&b, "\nexport type %sAnswer = %s;\n", strings.ToUpper(id.Value[:1])+id.Value[1:], typeOf(answer, ""))
			}
		})
	})
	const file = "web/src/lib/schema.ts"
	if *updateTypes {
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o644))
	}
	have, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, b.String(), string(have), "run go test -run TestTypes -update")
}

// at returns the node under keys, nil when there is none.
func at(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		var next *yaml.Node
		each(n, func(k string, v *yaml.Node) {
			if k == key {
				next = v
			}
		})
		n = next
	}
	return n
}

func each(n *yaml.Node, f func(key string, value *yaml.Node)) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		f(n.Content[i].Value, n.Content[i+1])
	}
}

// typeOf is the TypeScript type of what openapi.yaml uses of JSON Schema.
func typeOf(s *yaml.Node, indent string) string {
	if ref := at(s, "$ref"); ref != nil {
		return ref.Value[strings.LastIndexByte(ref.Value, '/')+1:]
	}
	if enum := at(s, "enum"); enum != nil {
		var all []string
		for _, v := range enum.Content {
			all = append(all, "'"+v.Value+"'")
		}
		return strings.Join(all, " | ")
	}
	if c := at(s, "const"); c != nil {
		return "'" + c.Value + "'"
	}
	if one := at(s, "oneOf"); one != nil {
		var all []string
		for _, v := range one.Content {
			all = append(all, typeOf(v, indent))
		}
		return strings.Join(all, " | ")
	}
	kind := at(s, "type")
	if kind == nil {
		return "unknown"
	}
	switch kind.Value {
	case "integer", "number":
		return "number"
	case "boolean", "string", "null":
		return kind.Value
	case "array":
		item := typeOf(at(s, "items"), indent)
		if strings.ContainsAny(item, " {") {
			return "Array<" + item + ">"
		}
		return item + "[]"
	}
	if values := at(s, "additionalProperties"); values != nil && values.Kind == yaml.MappingNode {
		return "Record<string, " + typeOf(values, indent) + ">"
	}
	required := map[string]bool{}
	if list := at(s, "required"); list != nil {
		for _, v := range list.Content {
			required[v.Value] = true
		}
	}
	var b strings.Builder
	b.WriteString("{\n")
	each(at(s, "properties"), func(name string, p *yaml.Node) {
		if d := at(p, "description"); d != nil {
			fmt.Fprintf(&b, "%s  /** %s */\n", indent, strings.Join(strings.Fields(d.Value), " "))
		}
		optional := "?"
		if required[name] {
			optional = ""
		}
		fmt.Fprintf(&b, "%s  %s%s: %s;\n", indent, name, optional, typeOf(p, indent+"  "))
	})
	return b.String() + indent + "}"
}
