// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"encoding"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
)

var update = flag.Bool("update", false, "write the pages that are made from others")

// written compares a page with what it should be, or writes it.
func written(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(filepath.Join("../..", path), []byte(want), 0o644))
		return
	}
	require.Equal(t, want, read(t, path), "%s is made from other files: make docs", path)
}

const module = "github.com/qpoint-io/otelcol-qpoint"

// key is one key of a configuration.
type key struct {
	name, kind string
	value      any    // its default; nil when there is none
	library    string // import path of the struct that has it, when that is not one of ours
}

// preset is the default as a page shows it.
func (k key) preset() string {
	if v := reflect.ValueOf(k.value); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return ""
	}
	text := fmt.Sprint(k.value)
	pointer := reflect.New(reflect.TypeOf(k.value)) // a type may write itself by its pointer only
	pointer.Elem().Set(reflect.ValueOf(k.value))
	if m, ok := pointer.Interface().(encoding.TextMarshaler); ok {
		if b, err := m.MarshalText(); err == nil {
			text = string(b)
		}
	}
	if text == "" || text == "[]" || text == "map[]" {
		return ""
	}
	return "`" + text + "`"
}

var unmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// walk lists the keys below a value, in the order of its struct.
func walk(name, library string, v reflect.Value, out *[]key) {
	leaf := func(kind string, value any) { *out = append(*out, key{name, kind, value, library}) }
	t := v.Type()
	if pointer := reflect.New(t); t.Kind() == reflect.Struct && pointer.MethodByName("GetOrInsertDefault").IsValid() { // configoptional.Optional
		pointer.Elem().Set(v)
		if off := !pointer.MethodByName("HasValue").Call(nil)[0].Bool(); off {
			leaf("group", "off")
		} else {
			leaf("group", "on")
		}
		walk(name, library, pointer.MethodByName("GetOrInsertDefault").Call(nil)[0].Elem(), out)
		return
	}
	switch {
	case t == reflect.TypeFor[component.ID]() || t == reflect.TypeFor[*component.ID]():
		leaf("id of a component", v.Interface())
		return
	case t == reflect.TypeFor[time.Duration]():
		leaf("duration", v.Interface())
		return
	case t == reflect.TypeFor[time.Time]():
		leaf("time", nil)
		return
	case t == reflect.TypeFor[configopaque.String]():
		leaf("secret", nil)
		return
	case reflect.PointerTo(t).Implements(unmarshaler):
		leaf("string", v.Interface())
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		elem := reflect.New(t.Elem()).Elem()
		if !v.IsNil() {
			elem = v.Elem()
		}
		before := len(*out)
		walk(name, library, elem, out)
		if v.IsNil() && len(*out) == before+1 && (*out)[before].name == name { // a scalar that may be absent
			(*out)[before].value = nil
		}
	case reflect.Struct:
		if name != "" && !slices.ContainsFunc(*out, func(k key) bool { return k.name == name }) {
			leaf("group", nil)
		}
		if pkg := t.PkgPath(); pkg != "" && !strings.HasPrefix(pkg, module) {
			library = pkg
		}
		for i := range t.NumField() {
			f := t.Field(i)
			tag, options, _ := strings.Cut(f.Tag.Get("mapstructure"), ",")
			switch {
			case !f.IsExported() && !f.Anonymous || tag == "-" || strings.Contains(options, "remain"):
			case strings.Contains(options, "squash"):
				walk(name, library, v.Field(i), out)
			case name == "":
				walk(tag, library, v.Field(i), out)
			default:
				walk(name+"::"+tag, library, v.Field(i), out)
			}
		}
	case reflect.Map, reflect.Slice:
		elem, of := t.Elem(), map[reflect.Kind]string{reflect.Map: "map", reflect.Slice: "list"}[t.Kind()]
		if elem.Kind() != reflect.Struct || reflect.PointerTo(elem).Implements(unmarshaler) {
			var one []key
			walk("", "", reflect.New(elem).Elem(), &one)
			leaf(of+" of "+plural(one[0].kind), v.Interface())
			return
		}
		leaf(of, nil)
		if name += "[]"; of == "map" {
			name = strings.TrimSuffix(name, "[]") + "::<name>"
		}
		walk(name, library, reflect.New(elem).Elem(), out)
	case reflect.Bool:
		leaf("bool", v.Interface())
	case reflect.String:
		leaf("string", v.Interface())
	case reflect.Float32, reflect.Float64:
		leaf("number", v.Interface())
	case reflect.Interface:
		leaf("any", nil)
	default:
		leaf("integer", v.Interface())
	}
}

func keysOf(factory component.Factory) (keys []key) {
	walk("", "", reflect.ValueOf(factory.CreateDefaultConfig()).Elem(), &keys)
	return keys
}

func plural(kind string) string {
	switch first, rest, more := strings.Cut(kind, " "); {
	case kind == "id of a component":
		return "ids of components"
	case more:
		return first + "s " + rest
	default:
		return kind + "s"
	}
}

// TestConfigure makes docs/configure.md: keys, types and the defaults of libraries from the structs, the rest from the README of each
// component, which TestReadmes holds to the structs. So each sentence is written once.
func TestConfigure(t *testing.T) {
	var page strings.Builder
	page.WriteString(`# Configure

<!-- Made by make docs from the configurations' structs and the README of each component: change those. -->

Every key of every component of this project. ` + "`segment::max_age`" + ` is the key ` + "`max_age`" + ` below ` + "`segment`" + `; ` + "`[]`" + ` stands for each entry of a list, ` + "`<name>`" + ` for the
name of each entry of a map. Whole configurations are in [configs](../distributions/otelcol-qpoint/configs); ` + "`otelcol-qpoint validate --config FILE`" + ` checks one
without starting it. Secrets are given as ` + "`${env:NAME}`" + `. Keys of components that are not of this project are on their own pages.

`)
	for _, c := range components {
		fmt.Fprintf(&page, "- [`%s`](#%s), %s\n", c.factory.Type(), c.factory.Type(), c.kind)
	}
	for _, c := range components {
		fmt.Fprintf(&page, "\n## `%s`\n\n", c.factory.Type())
		fmt.Fprintf(&page, "%s: [%s](../%s/README.md)\n", strings.ToUpper(c.kind[:1])+c.kind[1:], "what it does and how", c.dir)
		keys := keysOf(c.factory)
		if c.heading == "" {
			require.Empty(t, keys, "%s has keys now: name its table", c.factory.Type())
			page.WriteString("\nIt has no keys.\n")
			continue
		}
		meanings := map[string]row{}
		add := func(below string, rows []row) {
			require.NotEmpty(t, rows)
			for _, r := range rows {
				for _, name := range r.keys {
					meanings[below+name] = r
				}
			}
		}
		add("", table(c.readme(t), "Key"))
		for head, below := range c.nested {
			add(below, table(c.readme(t), head))
		}
		page.WriteString("\n| Key | Type | Default | |\n|---|---|---|---|\n")
		used := map[string]bool{}
		var foreign []key
		for _, k := range keys {
			r, ok := meanings[k.name]
			switch {
			case ok:
				used[k.name] = true
				assert.NotEmpty(t, r.meanings, "`%s` in the README of %s has no meaning", k.name, c.factory.Type())
				cell := func(text string) string { return relink(c.dir, text) }
				fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", k.name, k.kind, cell(r.defaultCell), cell(r.meanings))
			case k.kind == "group" && k.value == nil: // its keys say enough
			case k.library != "":
				foreign = append(foreign, k)
			case k.kind == "group" || k.kind == "list" || k.kind == "map":
			default:
				assert.Fail(t, "not in the README", "`%s` of %s", k.name, c.factory.Type())
			}
		}
		for name := range meanings {
			assert.True(t, used[name], "`%s` in the README of %s is no key", name, c.factory.Type())
		}
		if len(foreign) > 0 {
			page.WriteString("\n<details><summary>The keys that it has from the collector's libraries, which describe them</summary>\n\n| Key | Type | Default | Library |\n|---|---|---|---|\n")
			for _, k := range foreign {
				library, _, _ := strings.Cut(k.library, "/internal/")
				fmt.Fprintf(&page, "| `%s` | %s | %s | [%s](https://pkg.go.dev/%s) |\n", k.name, k.kind, k.preset(), filepath.Base(library), library)
			}
			page.WriteString("\n</details>\n")
		}
	}
	written(t, "docs/configure.md", page.String())
}

// relink makes links of a component's README hold in docs/.
func relink(dir, text string) string {
	return link.ReplaceAllStringFunc(text, func(m string) string {
		to := m[2 : len(m)-1]
		path, anchor, hasAnchor := strings.Cut(to, "#")
		if strings.Contains(to, "://") {
			return m
		}
		if path == "" {
			path = "README.md"
		}
		path, err := filepath.Rel("docs", filepath.Join(dir, path))
		if err != nil {
			panic(err)
		}
		if hasAnchor {
			path += "#" + anchor
		}
		return "](" + path + ")"
	})
}
