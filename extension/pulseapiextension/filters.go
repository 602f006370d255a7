// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"errors"
	"net/http"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore/filter"
)

// of returns the kind of rows that a question is about: requests, unless it says otherwise.
func (p params) of() (string, error) {
	switch of := p["of"]; of {
	case "", pulsestore.OfRequests:
		return pulsestore.OfRequests, nil
	case pulsestore.OfConnections:
		return of, nil
	}
	return "", badParam("of", "is neither requests nor connections")
}

// filter reads the filter over rows of a kind.
func (p params) filter(of string) (*filter.Expr, error) {
	e, err := filter.Parse(p["filter"], pulsestore.FieldsOf(of))
	var bad *filter.Error
	if errors.As(err, &bad) {
		return nil, badFilter(p["filter"], bad)
	}
	return e, err
}

func badFilter(text string, bad *filter.Error) *problem {
	f := fail(http.StatusBadRequest, "bad_filter", bad.Message)
	f.Position = &position{units(text, bad.Start), units(text, bad.End)}
	return f
}

// units is how many UTF-16 code units the first n bytes of text are.
func units(text string, n int) int {
	count := 0
	for _, r := range text[:min(n, len(text))] {
		count += max(utf16.RuneLen(r), 1)
	}
	return count
}

// bytesOf is how many bytes of text its first n UTF-16 code units are.
func bytesOf(text string, n int) int {
	for i, r := range text {
		if n <= 0 {
			return i
		}
		n -= max(utf16.RuneLen(r), 1)
	}
	return len(text)
}

// selection is what the caller asks for, within what it may see.
func (q *question) selection(of string, now time.Time) (s pulsestore.Selection, err error) {
	s.Scope = q.scope
	if s.From, s.To, err = q.span(now); err != nil {
		return s, err
	}
	s.Filter, err = q.filter(of)
	return s, err
}

// steps are the lengths of buckets that people can read.
var steps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
}

// step is the shortest length of buckets of which the range has at most as many as `buckets` says.
func (p params) step(from, to time.Time) (time.Duration, error) {
	buckets, err := p.int("buckets", 60, 500)
	if err != nil {
		return 0, err
	}
	least := to.Sub(from) / time.Duration(buckets)
	for _, s := range steps {
		if s >= least {
			return s, nil
		}
	}
	week := steps[len(steps)-1]
	return (least + week - 1) / week * week, nil
}

type fieldJSON struct {
	Name        string   `json:"name"`
	Aliases     []string `json:"aliases,omitempty"`
	Kind        string   `json:"kind"`
	Description string   `json:"description"`
	Values      []string `json:"values,omitempty"`
	Facet       bool     `json:"facet"`
}

type fieldsAnswer struct {
	Fields []fieldJSON `json:"fields"`
}

func (a *api) getFields(q *question) (any, error) {
	of, err := q.of()
	if err != nil {
		return nil, err
	}
	answer := fieldsAnswer{Fields: []fieldJSON{}}
	for _, f := range pulsestore.FieldsOf(of).All() {
		answer.Fields = append(answer.Fields, fieldJSON{f.Name, f.Aliases, string(f.Kind), f.Description, f.Values, f.Facet})
	}
	return answer, nil
}

type filterAnswer struct {
	Canonical  string          `json:"canonical"`
	Error      *filterError    `json:"error,omitempty"`
	Completion *completionJSON `json:"completion,omitempty"`
}

type filterError struct {
	position
	Message string `json:"message"`
}

type completionJSON struct {
	position
	Field  string   `json:"field,omitempty"`
	Prefix string   `json:"prefix"`
	Items  []string `json:"items"`
}

// getFilter reads an unfinished filter: whether it is one, and what may be written at a place of it.
func (a *api) getFilter(q *question) (any, error) {
	of, err := q.of()
	if err != nil {
		return nil, err
	}
	text := q.params["text"]
	fields := pulsestore.FieldsOf(of)
	var answer filterAnswer
	e, err := filter.Parse(text, fields)
	var bad *filter.Error
	if errors.As(err, &bad) {
		answer.Error = &filterError{position{units(text, bad.Start), units(text, bad.End)}, bad.Message}
	} else {
		answer.Canonical = e.String()
	}
	if s, ok := q.params["at"]; ok {
		at, err := strconv.Atoi(s)
		if err != nil || at < 0 || at > utf8.RuneCountInString(text)*2 {
			return nil, badParam("at", "is not a place in the text")
		}
		c := filter.Complete(text, bytesOf(text, at), fields)
		answer.Completion = &completionJSON{position{units(text, c.Start), units(text, c.End)}, c.Field, c.Prefix, append([]string{}, c.Items...)}
	}
	return answer, nil
}
