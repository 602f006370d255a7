// SPDX-License-Identifier: Apache-2.0

//go:build linux

package chdb

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		query, body string
		want        request
		data        string
		err         string
	}{
		"in the body":  {"", "SELECT 1", request{statement: "SELECT 1", format: "TabSeparated"}, "", ""},
		"in the query": {"query=SELECT+1&default_format=Native", "", request{statement: "SELECT 1", format: "Native"}, "", ""},
		"in both":      {"query=SELECT", " 1", request{statement: "SELECT 1", format: "TabSeparated"}, "", ""},
		"insert": {"query=INSERT+INTO+t+(a)+FORMAT+Native&database=d&max_threads=1&param_p=x", "data",
			request{statement: "INSERT INTO t (a)", format: "Native", database: "d", settings: map[string]string{"max_threads": "1"}, params: map[string]string{"p": "x"}}, "data", ""},
		"insert of rows":  {"", "INSERT INTO t VALUES (1)", request{statement: "INSERT INTO t VALUES (1)", format: "TabSeparated"}, "", ""},
		"empty":           {"", " \n", request{}, "", "Code: 62."},
		"compressed":      {"compress=1", "SELECT 1", request{}, "", "Code: 48."},
		"hostile setting": {"a%20%3D%201,b=1", "SELECT 1", request{}, "", "Code: 115."},
		"malformed query": {"a=%zz", "SELECT 1", request{}, "", "Code: 36."},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Server{}
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(c.body))
			r.URL.RawQuery = c.query
			got, err := s.parse(r)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			var data []byte
			if got.data != nil {
				data, err = io.ReadAll(got.data)
				require.NoError(t, err)
			}
			assert.Equal(t, c.data, string(data))
			if c.want.settings == nil {
				c.want.settings = map[string]string{}
			}
			if c.want.params == nil {
				c.want.params = map[string]string{}
			}
			got.data, got.marker = nil, ""
			assert.Equal(t, c.want, got)
		})
	}
}

func TestQuote(t *testing.T) {
	assert.Equal(t, `'a\'b\\c'`, quoteString(`a'b\c`))
	assert.Equal(t, "`a\\`b\\\\c`", quoteIdentifier("a`b\\c"))
}

// FuzzParse looks for a request that gets a setting's name past the check, or panics.
func FuzzParse(f *testing.F) {
	f.Add("query=SELECT+1&x=1", "body")
	f.Add("query=INSERT+INTO+t+FORMAT+Native", "\x00\x01")
	f.Add("%zz=1&param_a=b&database=`", "")
	f.Fuzz(func(t *testing.T, query, body string) {
		s := &Server{}
		q, err := s.parse(&http.Request{URL: &url.URL{RawQuery: query}, Body: io.NopCloser(strings.NewReader(body))})
		if err != nil {
			return
		}
		for name := range q.settings {
			if strings.ContainsAny(name, " ='`,;") {
				t.Fatalf("setting %q", name)
			}
		}
		if q.data == nil && strings.TrimSpace(q.statement) == "" {
			t.Fatal("an empty statement passed")
		}
	})
}
