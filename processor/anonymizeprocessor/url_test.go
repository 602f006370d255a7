// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var paths = map[string]string{
	"":                                  "",
	"/":                                 "/",
	"*":                                 "*",
	"//":                                "//",
	"/users":                            "/users",
	"/users/":                           "/users/",
	"/users/42":                         "/users/{id}",
	"/users/42/":                        "/users/{id}/",
	"/v1/checkout/2024":                 "/v1/checkout/{id}",
	"/.well-known/openid-configuration": "/.well-known/openid-configuration",
	"/index.html":                       "/index.html",
	"/a/../b/./c":                       "/a/../b/./c",
	"/u/123e4567-e89b-12d3-a456-426614174000/edit": "/u/{uuid}/edit",
	"/blob/d41d8cd98f00b204e9800998ecf8427e":       "/blob/{hex}",
	"/by/alice@example.com":                        "/by/{email}",
	"/by/alice%40example.com":                      "/by/{email}",
	"/reset/" + jwt:                                "/reset/{token}",
	"/e/01ARZ3NDEKTSV4RRFFQ69G5FAV":                "/e/{id}",
	"/x/dGhpcyBpcyBhIHNlY3JldCE=":                  "/x/{token}",
	"/login;jsessionid=A1B2C3":                     "/login",
	"/login;jsessionid=A1B2C3/next;v=1":            "/login/next",
	"/;secret":                                     "/",
	"/users/42;x":                                  "/users/{id}",
	"/users#secret":                                "/users",
	"/users?secret=1":                              "/users",
	"?secret":                                      "",
	"/caf%C3%A9":                                   "/{token}",
	"/caf\u00e9":                                   "/{token}",
	"/a b":                                         "/{token}",
	"/" + strings.Repeat("a", 65):                  "/{token}",
	"/users/{id}":                                  "/users/{id}",
	"/{uuid}/{hex}/{email}/{token}":                "/{uuid}/{hex}/{email}/{token}",
	"/{secret}":                                    "/{token}",
	"/{id}x":                                       "/{token}",
	strings.Repeat("/a", 24):                       strings.Repeat("/a", 24),
	strings.Repeat("/a", 25):                       strings.Repeat("/a", 24) + "/{token}",
	strings.Repeat("/a", 99) + "/secret":           strings.Repeat("/a", 24) + "/{token}",
	strings.Repeat("/a", 24) + "/":                 strings.Repeat("/a", 24) + "/",
	strings.Repeat("/a", 24) + "//secret":          strings.Repeat("/a", 24) + "/{token}",
}

func TestPath(t *testing.T) {
	t.Parallel()
	for was, want := range paths {
		got, ok := cleanPath(was)
		require.True(t, ok, was)
		require.Equal(t, want, got, was)
	}
	for _, bad := range []string{"users/42", "secret", "{id}", "http://x/"} {
		got, ok := cleanPath(bad)
		require.False(t, ok, bad)
		require.Empty(t, got)
	}
}

var queries = map[string]string{
	"":                                      "",
	"a=":                                    "a=",
	"a=1":                                   "a=",
	"a=1&b=2":                               "a=&b=",
	"a=&b=":                                 "a=&b=",
	"a=&b=2":                                "a=&b=",
	"b=1&a=2&b=3":                           "b=&a=&b=",
	"a=1&":                                  "a=",
	"a=&":                                   "a=",
	"&a=":                                   "{key}=&a=",
	"a=&&b=":                                "a=&{key}=&b=",
	"a":                                     "a=",
	"wsdl":                                  "wsdl=",
	"a&b":                                   "a=&b=",
	"hunter2":                               "{key}=",
	"hunter2=1":                             "hunter2=",
	"X-Amz-Signature=deadbeef":              "X-Amz-Signature=",
	"filter[name]=x&page[size]=2":           "filter[name]=&page[size]=",
	"ids[]=1&ids[]=2":                       "ids[]=&ids[]=",
	"$filter=a":                             "$filter=",
	"alice@example.com=1":                   "{key}=",
	"alice@example.com":                     "{key}=",
	"{key}=":                                "{key}=",
	"{key}":                                 "{key}=",
	"{secret}=":                             "{key}=",
	"12=3":                                  "{key}=",
	"a%20b=1":                               "{key}=",
	"d41d8cd98f00b204e9800998ecf8427e":      "{key}=",
	"d41d8cd98f00b204e9800998ecf8427e=1":    "{key}=",
	"f[d41d8cd98f00b204e9800998ecf8427e]=1": "{key}=",
	jwt:                                     "{key}=",
	"=secret":                               "{key}=",
	"a=b=c":                                 "a=",
	"a=1;b=2":                               "a=",
	"a=1#secret":                            "a=",
	"a=1?b=2":                               "a=",
	strings.Repeat("k", 65) + "=":           "{key}=",
	strings.Repeat("a=&", 40):               strings.Repeat("a=&", 31) + "a=",
	strings.Repeat("a=1&", 40):              strings.Repeat("a=&", 31) + "a=",
}

func TestQuery(t *testing.T) {
	t.Parallel()
	for was, want := range queries {
		require.Equal(t, want, cleanQuery(was), was)
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	for was, want := range map[string][2]string{
		"http://example.com":                              {"http://example.com", "/"},
		"https://example.com/":                            {"https://example.com/", "/"},
		"https://user:secret@example.com/a?b=c#d":         {"https://example.com/a?b=", "/a"},
		"https://example.com:8443/users/42?q=1&r=2":       {"https://example.com:8443/users/{id}?q=&r=", "/users/{id}"},
		"https://[2001:db8::1]:8443/users":                {"https://[2001:db8::1]:8443/users", "/users"},
		"http://user\\@example.com/":                      {"http://example.com/", "/"},
		"http://a@b@example.com/":                         {"http://example.com/", "/"},
		"http://example.com?secret":                       {"http://example.com?secret=", "/"},
		"http://example.com/?":                            {"http://example.com/?", "/"},
		"http://example.com#secret":                       {"http://example.com", "/"},
		"wss://example.com/socket":                        {"wss://example.com/socket", "/socket"},
		"https://example.com/users/{id}?a=":               {"https://example.com/users/{id}?a=", "/users/{id}"},
		"http://example.com/?next=https://user:pw@host/x": {"http://example.com/?next=", "/"},
	} {
		clean, path, ok := cleanURL(was)
		require.True(t, ok, was)
		require.Equal(t, want, [2]string{clean, path}, was)
	}
	for _, bad := range []string{
		"", "secret", "/users", "example.com/users", "mailto:alice@example.com", "file:///etc/passwd", "javascript://x", "http://", "http:///x", "http://user:pass@/x",
		"http://exam ple.com/", "http://example.com:port/", "http://example.com:/", "http://example.com:123456/", "http://::1/", "http://[::1/", "http://[example.com]/", "http://[fe80::1%25eth0]/",
		"http://[::1]secret/", "http://user:pa/ss@host/", "http://a%40b/", "HTTP://example.com/", "http://user:pass@exa_mple.com:secret/",
	} {
		clean, path, ok := cleanURL(bad)
		require.False(t, ok, bad)
		require.Empty(t, clean+path)
	}
}

func TestCleanURLsDoNotAllocate(t *testing.T) {
	for name, f := range map[string]func(){
		"path":  func() { cleanPath("/users/{id}/orders") },
		"query": func() { cleanQuery("page=&size=") },
		"url":   func() { cleanURL("https://example.com:8443/users/{id}?page=&size=") },
		"host":  func() { validHost("www.example.com"); validHost("2001:db8::1") },
		"token": func() { validToken("", "http/1.1"); validToken("", "TLS_AES_128_GCM_SHA256") },
		"name":  func() { validName("/usr/bin/python3.13") },
	} {
		require.Zero(t, testing.AllocsPerRun(100, f), name)
	}
}

// FuzzURL holds the cleaners to what must be true of any input: what is clean stays as it
// is, and no character survives that a clean part cannot have.
func FuzzURL(f *testing.F) {
	for s := range paths {
		f.Add(s)
		f.Add("https://example.com" + s)
	}
	for s := range queries {
		f.Add(s)
		f.Add("http://user:pw@[::1]:80/a?" + s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		clean := func(c string) {
			for i := range len(c) {
				if c[i] <= ' ' || c[i] >= 0x7f || strings.IndexByte(";@%#\\\"'<>|^`", c[i]) >= 0 {
					t.Fatalf("%q from %q", c, s)
				}
			}
		}
		if once, ok := cleanPath(s); ok {
			twice, ok := cleanPath(once)
			if !ok || twice != once {
				t.Fatalf("path %q -> %q -> %q", s, once, twice)
			}
			clean(once)
			if strings.ContainsAny(once, "?=") {
				t.Fatalf("path %q -> %q", s, once)
			}
		}
		once := cleanQuery(s)
		if twice := cleanQuery(once); twice != once {
			t.Fatalf("query %q -> %q -> %q", s, once, twice)
		}
		clean(once)
		for part := range strings.SplitSeq(once, "&") {
			if once != "" && strings.IndexByte(part, '=') != len(part)-1 {
				t.Fatalf("query %q -> %q keeps a value", s, once)
			}
		}
		if once, path, ok := cleanURL(s); ok {
			twice, again, ok := cleanURL(once)
			if !ok || twice != once || again != path {
				t.Fatalf("url %q -> %q -> %q", s, once, twice)
			}
			clean(once)
		}
		validHost(s)
		validToken("", s)
		validName(s)
	})
}
