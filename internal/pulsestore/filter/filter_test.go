// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var testFields = NewFields([]Field{
	{Name: "server", Aliases: []string{"server.address"}, Kind: Text, Column: "server_address"},
	{Name: "path", Kind: Part, Column: "path"},
	{Name: "status", Kind: Number, Column: "status"},
	{Name: "bytes", Kind: Bytes, Column: "bytes"},
	{Name: "dur", Kind: Duration, Column: "duration"},
	{Name: "peer", Kind: IP, Column: "peer_address"},
	{Name: "visible", Kind: Bool, Column: "payload_visible"},
	{Name: "connection", Kind: ID8, Column: "connection_id"},
	{Name: "trace", Kind: Fixed16, Column: "trace_id"},
	{Name: "kind", Kind: Text, Column: "kind", Values: []string{"client", "server"}},
}, "path", "server")

// where returns the condition with its parameters in their places.
func where(t *testing.T, e *Expr) string {
	t.Helper()
	sql, params, err := e.SQL(testFields, "f")
	require.NoError(t, err)
	for _, p := range params {
		sql = strings.ReplaceAll(sql, "{"+p.Name+":"+p.Type+"}", "<"+p.Value+">")
	}
	return sql
}

func TestExpressions(t *testing.T) {
	for _, c := range []struct{ text, canonical, sql string }{
		{"", "", "1"},
		{"  \n", "", "1"},
		{"server:a.example", "server:a.example", "(server_address = <a.example>)"},
		{"SERVER.address:a", "server:a", "(server_address = <a>)"},
		{"server:*.example", "server:*.example", "(server_address LIKE <%.example>)"},
		{"server:api*", "server:api*", "(startsWith(server_address, <api>))"},
		{`server:a_b%*c\*`, `server:a_b%*c\*`, `(server_address LIKE <a\_b\%%c*>)`},
		{`server:a\*`, `server:"a*"`, "(server_address = <a*>)"},
		{"server:**a**", "server:*a*", "(server_address LIKE <%a%>)"},
		{"server:*", "server:*", "(server_address != '')"},
		{`server:""`, `server:""`, "(server_address = <>)"},
		{"-server:*", "-server:*", "NOT (server_address != '')"},
		{"server:!=a", "server:!=a", "(NOT (server_address = <a>))"},
		{"path:/v1", "path:/v1", "(position(path, </v1>) > 0)"},
		{"path:=/v1", "path:=/v1", "(path = </v1>)"},
		{"path=/v1", "path:=/v1", "(path = </v1>)"},
		{"path:/v1/*/x", "path:/v1/*/x", "(path LIKE </v1/%/x>)"},
		{"status:404", "status:404", "(status = <404>)"},
		{"status>=500", "status:>=500", "(status >= <500>)"},
		{"status:>=500", "status:>=500", "(status >= <500>)"},
		{"status:200..299", "status:200..299", "(status >= <200> AND status <= <299>)"},
		{"status:5xx", "status:5xx", "(status >= <500> AND status <= <599>)"},
		{"status:(404 OR 5XX OR <200)", "(status:404 OR status:5XX OR status:<200)", "((status = <404>) OR (status >= <500> AND status <= <599>) OR (status < <200>))"},
		{"status:*", "status:*", "(status != 0)"},
		{"dur:>1.5s", "dur:>1.5s", "(duration > <1500000000>)"},
		{"bytes:>1mb bytes:<=2KiB", "(bytes:>1mb bytes:<=2KiB)", "((bytes > <1000000>) AND (bytes <= <2048>))"},
		{"bytes:18446744073709551615", "bytes:18446744073709551615", "(bytes = <18446744073709551615>)"},
		{"peer:10.0.0.1", "peer:10.0.0.1", "(peer_address = toIPv6(<::ffff:10.0.0.1>))"},
		{"peer:10.1.2.3/8", "peer:10.1.2.3/8", "(peer_address >= toIPv6(<::ffff:10.0.0.0>) AND peer_address <= toIPv6(<::ffff:10.255.255.255>))"},
		{"peer:2001:db8::/32", `peer:"2001:db8::/32"`, "(peer_address >= toIPv6(<2001:db8::>) AND peer_address <= toIPv6(<2001:db8:ffff:ffff:ffff:ffff:ffff:ffff>))"},
		{"peer:::1", `peer:"::1"`, "(peer_address = toIPv6(<::1>))"},
		{"visible:true -visible:false", "(visible:true -visible:false)", "((payload_visible) AND NOT (NOT payload_visible))"},
		{"connection:feedfacecafebeef", "connection:feedfacecafebeef", "(connection_id = <18369614221190020847>)"},
		{"trace:" + strings.Repeat("ab", 16), "trace:" + strings.Repeat("ab", 16), "(lower(hex(trace_id)) = <" + strings.Repeat("ab", 16) + ">)"},
		{"checkout", "checkout", "(position(path, <checkout>) > 0 OR position(server_address, <checkout>) > 0)"},
		{`"OR" 'it''s'`, `("OR" "'it''s'")`, "((position(path, <OR>) > 0 OR position(server_address, <OR>) > 0) AND (position(path, <'it''s'>) > 0 OR position(server_address, <'it''s'>) > 0))"},
		{"a OR b c OR d", "(a OR (b c) OR d)", ""},
		{"a AND (b OR -c) NOT d", "(a (b OR -c) -d)", ""},
		{"--a", "a", ""},
		{"-(a OR b)", "-(a OR b)", ""},
		{"((a))", "a", ""},
		{"ORder ANDroid", "(ORder ANDroid)", ""},
		{`x*\"y`, `x*\"y`, "(path LIKE <%x%\"y%> OR server_address LIKE <%x%\"y%>)"},
	} {
		t.Run(c.text, func(t *testing.T) {
			e, err := Parse(c.text, testFields)
			require.NoError(t, err)
			assert.Equal(t, c.canonical, e.String())
			if c.sql != "" {
				assert.Equal(t, c.sql, where(t, e))
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		text       string
		start, end int
		message    string
	}{
		{"sever:a", 0, 5, `did you mean "server"?`},
		{"http://x", 0, 4, "put the text into quotes"},
		{"a status:x", 9, 10, "status:5xx"},
		{"status:>5xx", 8, 11, "takes no comparison"},
		{"status:5*", 7, 9, "takes no *"},
		{"status:", 0, 7, "a value must follow status:"},
		{"status:9..1", 7, 11, "ends before it begins"},
		{"dur:5", 4, 5, "dur:250ms"},
		{"dur:-5s", 4, 7, "dur:250ms"},
		{"bytes:1e9", 6, 9, "bytes:1mb"},
		{"bytes:1xb", 6, 9, "bytes:1mb"},
		{"bytes:NaN", 6, 9, "bytes:1mb"},
		{"server:>a", 8, 9, "has no order"},
		{"peer:10.0.0.0/33", 5, 16, "neither an address nor a network"},
		{"peer:fe80::1%eth0", 5, 17, "neither an address nor a network"},
		{"peer:10.*", 5, 9, "takes no *"},
		{"visible:yes", 8, 11, "true or false"},
		{"connection:12", 11, 13, "16 hex digits"},
		{"connection:>00000000000000ff", 12, 28, "has no order"},
		{"(a", 0, 1, "not closed"},
		{"a)", 1, 2, "closes nothing"},
		{"()", 1, 1, "missing"},
		{"a OR", 4, 4, "missing"},
		{"OR a", 0, 3, "missing"},
		{"a AND", 5, 5, "missing"},
		{"a -", 2, 3, "must follow the -"},
		{`a "b`, 2, 4, "not closed"},
		{`a\`, 1, 2, "write two"},
		{strings.Repeat("(", 40) + "a", 33, 34, "nested"},
		{strings.Repeat("a ", 65), 128, 130, "at most 64 terms"},
		{strings.Repeat("a", MaxLength+1), MaxLength, MaxLength + 1, "at most 4096 bytes"},
		{"a\xff", 0, 2, "UTF-8"},
	} {
		t.Run(c.text[:min(len(c.text), 20)], func(t *testing.T) {
			_, err := Parse(c.text, testFields)
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Contains(t, e.Message, c.message)
			assert.Equal(t, []int{c.start, c.end}, []int{e.Start, e.End}, e.Message)
		})
	}
}

func TestComplete(t *testing.T) {
	for _, c := range []struct {
		text string // | is the place
		want Completion
	}{
		{"se|", Completion{Start: 0, End: 2, Prefix: "se", Items: []string{"server:", "server.address:"}}},
		{"a -STA|x b", Completion{Start: 3, End: 7, Prefix: "STA", Items: []string{"status:"}}},
		{"kind:|", Completion{Start: 5, End: 5, Field: "kind", Items: []string{"client", "server"}}},
		{"(kind:s|", Completion{Start: 6, End: 7, Field: "kind", Prefix: "s", Items: []string{"server"}}},
		{"visible:t|", Completion{Start: 8, End: 9, Field: "visible", Prefix: "t", Items: []string{"true"}}},
		{`server:"a b|c" x`, Completion{Start: 7, End: 13, Field: "server", Prefix: "a b"}},
		{"status:>=5|", Completion{Start: 9, End: 10, Field: "status", Prefix: "5"}},
		{"nothing:x|", Completion{Start: 0, End: 9}},
	} {
		t.Run(c.text, func(t *testing.T) {
			pos := strings.IndexByte(c.text, '|')
			assert.Equal(t, c.want, Complete(strings.Replace(c.text, "|", "", 1), pos, testFields))
		})
	}
	assert.Len(t, Complete("", 0, testFields).Items, len(testFields.All()), "every key, once")
}

func TestCombine(t *testing.T) {
	parse := func(text string) *Expr {
		e, err := Parse(text, testFields)
		require.NoError(t, err)
		return e
	}
	a, b := parse("server:a"), parse("b OR c")
	assert.Equal(t, "(server:a (b OR c))", And(a, nil, b).String())
	assert.Equal(t, a, And(nil, a))
	assert.Nil(t, And(nil, nil))
	assert.Equal(t, "(server:a OR (b OR c))", Or(a, b).String())
	assert.Nil(t, Or(a, nil), "one that sees everything makes all see everything")
	assert.Equal(t, []string{"", "server"}, And(a, b).Fields())
	small := NewFields([]Field{{Name: "server", Kind: Text, Column: "s"}})
	assert.True(t, small.Has(a))
	assert.True(t, small.Has(nil))
	assert.False(t, small.Has(b), "there is nothing to search words in")
	assert.False(t, small.Has(parse("status:1")))
	_, _, err := And(a, b).SQL(small, "f")
	assert.Error(t, err)
	_, _, err = parse("status:1").SQL(small, "f")
	assert.Error(t, err)
}

// TestClass: a column of status classes answers what is about whole classes, and nothing else.
func TestClass(t *testing.T) {
	fields := NewFields([]Field{{Name: "status", Kind: Number, Column: "class", Class: 100}})
	for text, want := range map[string]string{
		"status:5xx": "(class >= <5> AND class <= <5>)", "status:400..599": "(class >= <4> AND class <= <5>)", "status:>=500": "(class >= <5>)",
		"status:>499": "(class >= <5>)", "status:<400": "(class < <4>)", "status:<=399": "(class < <4>)", "status:!=2xx": "(NOT (class >= <2> AND class <= <2>))",
		"status:*": "(class != 0)", "status:404": "", "status:>500": "", "status:<=400": "", "status:>=401": "", "status:0": "",
	} {
		e, err := Parse(text, testFields)
		require.NoError(t, err)
		sql, params, err := e.SQL(fields, "f")
		assert.Equal(t, want != "", err == nil, text)
		assert.Equal(t, want != "", fields.Has(e), text)
		for _, p := range params {
			sql = strings.ReplaceAll(sql, "{"+p.Name+":"+p.Type+"}", "<"+p.Value+">")
		}
		if want != "" {
			assert.Equal(t, want, sql, text)
		}
	}
}

// safe is all that a condition over testFields may be made of.
var safe = regexp.MustCompile(`^(NOT |AND |OR |LIKE |[()!=<>, ]|''|0|1|8|16|'::'|` +
	`server_address|path|status|bytes|duration|peer_address|payload_visible|connection_id|trace_id|kind|` +
	`lower|hex|position|startsWith|toIPv6|toFixedString|unhex|\{f\d+:(String|UInt64)\})*$`)

// FuzzParse: text is refused at a place inside it, or has a canonical form that means the same, and SQL without a byte of it.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "server:a.example -path:/v1 status:>=500 dur:>1s bytes:>1mb", `"it's \" quoted" OR (peer:10.0.0.0/8 kind:client)`,
		"status:(404 OR 5xx) visible:true", "connection:00000000000000ff", `a\*b*c`, "NOT NOT -a", "))((", "server:'; DROP TABLE requests --", "peer:::/0",
		"status:{x:String}", "a\u00a0b*c", "dur:1h2m", "bytes:1.5gib", "server:\x00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		Complete(text, len(text)/2, testFields)
		e, err := Parse(text, testFields)
		if err != nil {
			var bad *Error
			if !errors.As(err, &bad) || bad.Start < 0 || bad.End < bad.Start || bad.End > len(text) || bad.Message == "" {
				t.Fatalf("%q: %#v", text, err)
			}
			return
		}
		canonical := e.String()
		if !utf8.ValidString(canonical) {
			t.Fatalf("%q became %q", text, canonical)
		}
		sql, params, err := e.SQL(testFields, "f")
		if err != nil || !safe.MatchString(sql) || strings.Count(sql, "(") != strings.Count(sql, ")") || strings.Count(sql, "{") != len(params) {
			t.Fatalf("%q: %s (%v)", text, sql, err)
		}
		if len(canonical) > MaxLength {
			return
		}
		again, err := Parse(canonical, testFields)
		if err != nil || again.String() != canonical {
			t.Fatalf("%q became %q, which became %q (%v)", text, canonical, again, err)
		}
		sql2, params2, _ := again.SQL(testFields, "f")
		if sql2 != sql || len(params2) != len(params) {
			t.Fatalf("%q: %s, and %q: %s", text, sql, canonical, sql2)
		}
		for i := range params {
			if params[i] != params2[i] {
				t.Fatalf("%q: %v and %v", text, params[i], params2[i])
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		e, err := Parse(`server:*.example.com -method OR (status:>=500 dur:>1s peer:10.0.0.0/8) "checkout"`, testFields)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := e.SQL(testFields, "f"); err != nil {
			b.Fatal(err)
		}
	}
}

func TestLacking(t *testing.T) {
	for text, want := range map[string][]string{
		"": nil, "server:a*": nil, "server:*": nil, "-server:*": {"server"}, "server!=a": {"server"}, `server:""`: {"server"}, "server:=*": {"server"},
		"status:5xx -(path:/x OR (server:a dur:>1s))": {"dur", "path", "server"},
	} {
		e, err := Parse(text, testFields)
		require.NoError(t, err)
		require.Equal(t, want, e.Lacking(), text)
	}
}
