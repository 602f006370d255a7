// SPDX-License-Identifier: Apache-2.0

package objectstore

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// lifecycleServer answers GET ?lifecycle as S3 documents it, with the given rules; "" is a bucket without any.
func lifecycleServer(t *testing.T, rules string) *S3 {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !r.URL.Query().Has("lifecycle") {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		w.Header().Set("Content-Type", "application/xml")
		if rules == "" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `<?xml version="1.0"?><Error><Code>NoSuchLifecycleConfiguration</Code><Message>The lifecycle configuration does not exist</Message></Error>`)
			return
		}
		_, _ = io.WriteString(w, `<?xml version="1.0"?><LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`+rules+`</LifecycleConfiguration>`)
	}))
	t.Cleanup(srv.Close)
	c, err := NewS3(t.Context(), settings(srv.URL), Options{})
	require.NoError(t, err)
	t.Cleanup(c.CloseIdle)
	return c
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	short := Expiration{ID: "qpoint-prod-short", Prefix: "team/prod/short/", TagKey: "qpoint.retention_class", TagValue: "short", Days: 2}
	ever := Expiration{ID: "qpoint-prod-ever", Prefix: "team/prod/ever/", TagKey: "qpoint.retention_class", TagValue: "ever"}
	rule := func(id, status, filter, rest string) string {
		return "<Rule><ID>" + id + "</ID><Status>" + status + "</Status>" + filter + rest + "</Rule>"
	}
	prefix := func(p string) string { return "<Filter><Prefix>" + p + "</Prefix></Filter>" }
	const two, one = "<Expiration><Days>2</Days></Expiration>", "<Expiration><Days>1</Days></Expiration>"
	good := rule("a", "Enabled", prefix("team/prod/short/"), two)
	for name, tc := range map[string]struct {
		rules string
		want  []string // nil: all is well
	}{
		"none":           {"", []string{`objects below "team/prod/short/" are never removed: no rule does it after 2 days`}},
		"as wanted":      {good, nil},
		"by tag":         {rule("a", "Enabled", "<Filter><Tag><Key>qpoint.retention_class</Key><Value>short</Value></Tag></Filter>", two), nil},
		"by both":        {rule("a", "Enabled", "<Filter><And><Prefix>team/</Prefix><Tag><Key>qpoint.retention_class</Key><Value>short</Value></Tag></And></Filter>", two), nil},
		"an older rule":  {rule("a", "Enabled", "<Prefix>team/prod/short/</Prefix>", two), nil},
		"another class":  {good + rule("b", "Enabled", "<Filter><Tag><Key>qpoint.retention_class</Key><Value>long</Value></Tag></Filter>", one), nil},
		"another prefix": {good + rule("b", "Enabled", prefix("team/prod/shorter/"), one), nil},
		"disabled":       {rule("a", "Disabled", prefix("team/prod/short/"), two), []string{`objects below "team/prod/short/" are never removed: rule "a" is disabled`}},
		"sooner": {good + rule("b", "Enabled", prefix(""), one), []string{
			`objects below "team/prod/ever/" are to be kept for ever, and rule "b" removes them after 1 days`, `objects below "team/prod/short/" are removed after 1 days by rule "b", and not after 2`,
		}},
		"some sooner": {good + rule("b", "Enabled", "<Filter><And><Prefix>team/prod/short/</Prefix><ObjectSizeGreaterThan>1000</ObjectSizeGreaterThan></And></Filter>", one),
			[]string{`objects below "team/prod/short/" are in part removed after 1 days by rule "b"`}},
		"a tag of others": {good + rule("b", "Enabled", "<Filter><Tag><Key>team</Key><Value>x</Value></Tag></Filter>", "<Expiration><Days>9</Days></Expiration>"),
			[]string{`objects below "team/prod/ever/" are in part removed after 9 days by rule "b"`}},
		"at a date": {good + rule("b", "Enabled", prefix("team/prod/short/2026/"), "<Expiration><Date>2027-01-01T00:00:00Z</Date></Expiration>"),
			[]string{`objects below "team/prod/short/" are removed at a date by rule "b"`}},
		"only moved": {good + rule("b", "Enabled", prefix(""), "<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules, err := lifecycleServer(t, tc.rules).Lifecycle(t.Context())
			require.NoError(t, err)
			require.Equal(t, tc.want, Differences(rules, []Expiration{ever, short}))
		})
	}
}

// TestLifecycleJSON: what is printed keeps the rules of others and, once applied, is as wanted.
func TestLifecycleJSON(t *testing.T) {
	want := []Expiration{{ID: "qpoint-prod-ever", Prefix: "prod/ever/"}, {ID: "qpoint-prod-short", Prefix: "prod/short/", Days: 1}}
	c := lifecycleServer(t, `<Rule><ID>logs</ID><Status>Enabled</Status><Filter><Prefix>logs/</Prefix></Filter><Expiration><Days>7</Days></Expiration></Rule>
<Rule><ID>qpoint-prod-short</ID><Status>Enabled</Status><Filter><Prefix>prod/short/</Prefix></Filter><Expiration><Days>30</Days></Expiration></Rule>`)
	rules, err := c.Lifecycle(t.Context())
	require.NoError(t, err)
	text, err := LifecycleJSON(rules, want)
	require.NoError(t, err)
	require.JSONEq(t, `{"Rules": [
		{"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 7}},
		{"ID": "qpoint-prod-short", "Status": "Enabled", "Filter": {"Prefix": "prod/short/"}, "Expiration": {"Days": 1}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}
	]}`, text)
}

func TestLifecycleRefused(t *testing.T) {
	err := func() error {
		_, err := answer(t, 403, nil, `<Error><Code>AccessDenied</Code></Error>`).Lifecycle(t.Context())
		return err
	}()
	require.Equal(t, Refused, ClassOf(err))
	require.ErrorContains(t, err, "GetBucketLifecycleConfiguration: AccessDenied")
}

func FuzzLifecycle(f *testing.F) {
	f.Add(`<Rule><ID>a</ID><Status>Enabled</Status><Filter><And><Prefix>x</Prefix><Tag><Key>k</Key></Tag></And></Filter><Expiration><Days>1</Days></Expiration></Rule>`)
	f.Add(`<Rule><Expiration/></Rule><Rule><Prefix/><Expiration><Date>x</Date></Expiration></Rule>`)
	f.Fuzz(func(t *testing.T, rules string) {
		if strings.TrimSpace(rules) == "" || xml.Unmarshal([]byte("<a>"+rules+"</a>"), new(any)) != nil && len(rules) > 1<<10 {
			return
		}
		got, err := lifecycleServer(t, rules).Lifecycle(t.Context())
		if err != nil {
			return
		}
		want := []Expiration{{ID: "w", Prefix: "p/short/", TagKey: "k", TagValue: "v", Days: 1}}
		Differences(got, want)
		if _, err := LifecycleJSON(got, want); err != nil {
			t.Error(err)
		}
	})
}
