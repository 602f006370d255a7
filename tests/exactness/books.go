// SPDX-License-Identifier: Apache-2.0

//go:build linux

package exactness

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Stage is the book of one stage of the receiver.
type Stage struct {
	In       float64            `json:"in"`
	Out      float64            `json:"out"`
	InFlight float64            `json:"in_flight"`
	Dropped  map[string]float64 `json:"dropped,omitempty"` // by reason
}

// Books are the collector's own metrics at one moment.
type Books struct {
	Stages map[string]*Stage
	// Lost are kernel events that did not fit into the ring.
	Lost float64
	// Values are all metrics, summed over their labels, by name.
	Values map[string]float64
	// Failed is what exporters gave up, by "exporter/metric".
	Failed map[string]float64
}

var (
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$`)
	labelPair  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
)

const receiverPrefix = "otelcol_receiver_qtap_"

// Metric is the name of one of the receiver's own metrics in Books.Values.
func Metric(name string) string { return receiverPrefix + name }

// Books reads the collector's own metrics.
func (c *Collector) Books(t testing.TB) Books {
	t.Helper()
	text, status := c.ask(t, http.MethodGet, c.metrics, nil)
	require.Equal(t, http.StatusOK, status)
	b := Books{Stages: map[string]*Stage{}, Values: map[string]float64{}, Failed: map[string]float64{}}
	for line := range strings.Lines(string(text)) {
		m := sampleLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			continue
		}
		labels := map[string]string{}
		for _, pair := range labelPair.FindAllStringSubmatch(m[2], -1) {
			labels[pair[1]] = pair[2]
		}
		b.add(strings.TrimSuffix(m[1], "_total"), labels, value)
	}
	require.NotEmpty(t, b.Stages)
	return b
}

func (b *Books) add(name string, labels map[string]string, value float64) {
	b.Values[name] += value
	if strings.HasPrefix(name, "otelcol_exporter_send_failed") && value > 0 {
		b.Failed[labels["exporter"]+"/"+strings.TrimPrefix(name, "otelcol_exporter_send_failed_")] += value
	}
	of, ok := strings.CutPrefix(name, receiverPrefix)
	if !ok {
		return
	}
	if of == "events_lost" {
		b.Lost += value
		return
	}
	if of, ok = strings.CutPrefix(of, "stage_"); !ok {
		return
	}
	s := b.Stages[labels["stage"]]
	if s == nil {
		s = &Stage{Dropped: map[string]float64{}}
		b.Stages[labels["stage"]] = s
	}
	switch of {
	case "in":
		s.In += value
	case "out":
		s.Out += value
	case "in_flight":
		s.InFlight += value
	case "dropped":
		if value > 0 {
			s.Dropped[labels["reason"]] += value
		}
	}
}

// Dropped is the sum over the reasons.
func (s *Stage) dropped() (n float64) {
	for _, v := range s.Dropped {
		n += v
	}
	return n
}

// RequireConserved asserts for every stage that in = out + dropped + in flight, and returns the books.
func (c *Collector) RequireConserved(t testing.TB) Books {
	t.Helper()
	var b Books
	require.EventuallyWithT(t, func(col *assert.CollectT) {
		b = c.Books(t)
		for name, s := range b.Stages {
			assert.InDelta(col, s.In, s.Out+s.dropped()+s.InFlight, 0, "stage %s: %+v", name, *s)
			assert.GreaterOrEqual(col, s.InFlight, 0.0, "stage %s", name)
		}
	}, Patience, 100*time.Millisecond)
	text, err := json.Marshal(b.Stages)
	require.NoError(t, err)
	t.Logf("lost events %v; stages %s", b.Lost, text)
	return b
}
