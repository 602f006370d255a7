// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore/filter"
)

// Aims, in milliseconds.
const (
	aimDashboard = 300
	aimNewest    = 300
	aimSubstring = 2000
)

// question is one that the query API asks, as it asks it. to is the end of the stored day.
type question struct {
	name string
	aim  float64 // milliseconds, of the 95th percentile
	ask  func(ctx context.Context, s *pulsestore.Store, to time.Time) error
}

// last is a selection of the last while before to.
func last(to time.Time, while time.Duration, of, text string) (pulsestore.Selection, error) {
	e, err := filter.Parse(text, pulsestore.FieldsOf(of))
	return pulsestore.Selection{Scope: pulsestore.EveryEnvironment(), From: to.Add(-while), To: to, Filter: e}, err
}

func newest(name, of, text string, aim float64) question {
	return question{name, aim, func(ctx context.Context, s *pulsestore.Store, to time.Time) error {
		sel, err := last(to, 24*time.Hour, of, text)
		if err != nil {
			return err
		}
		if of == pulsestore.OfConnections {
			_, _, err = s.Connections(ctx, pulsestore.ConnectionQuery{Selection: sel, Limit: 100})
			return err
		}
		_, _, err = s.Requests(ctx, pulsestore.RequestQuery{Selection: sel, Limit: 100})
		return err
	}}
}

// overTime is a question by time, of a range cut into steps as the API cuts it.
func overTime(name string, while, step time.Duration, of string, ask func(context.Context, *pulsestore.Store, pulsestore.TimeQuery) error) question {
	return question{name, aimDashboard, func(ctx context.Context, s *pulsestore.Store, to time.Time) error {
		sel, err := last(to, while, of, "")
		return errors.Join(err, ask(ctx, s, pulsestore.TimeQuery{Selection: sel, Of: of, Step: step}))
	}}
}

// panel is any other question of a dashboard.
func panel(name string, while time.Duration, of, text string, ask func(context.Context, *pulsestore.Store, pulsestore.Selection) error) question {
	return question{name, aimDashboard, func(ctx context.Context, s *pulsestore.Store, to time.Time) error {
		sel, err := last(to, while, of, text)
		return errors.Join(err, ask(ctx, s, sel))
	}}
}

func histogram(ctx context.Context, s *pulsestore.Store, q pulsestore.TimeQuery) error {
	_, err := s.Histogram(ctx, q)
	return err
}

func latency(ctx context.Context, s *pulsestore.Store, q pulsestore.TimeQuery) error {
	_, err := s.Latency(ctx, q)
	return err
}

func heatMap(ctx context.Context, s *pulsestore.Store, q pulsestore.TimeQuery) error {
	_, err := s.HeatMap(ctx, q)
	return err
}

func facets(fields ...string) func(context.Context, *pulsestore.Store, pulsestore.Selection) error {
	return func(ctx context.Context, s *pulsestore.Store, sel pulsestore.Selection) error {
		_, err := s.Facets(ctx, pulsestore.FacetQuery{Selection: sel, Of: pulsestore.OfRequests, Fields: fields, Limit: 10})
		return err
	}
}

func endpoints(byTemplate bool, newSince time.Duration) func(context.Context, *pulsestore.Store, pulsestore.Selection) error {
	return func(ctx context.Context, s *pulsestore.Store, sel pulsestore.Selection) error {
		q := pulsestore.EndpointQuery{Selection: sel, ByTemplate: byTemplate, Limit: 100}
		if newSince > 0 {
			q.NewSince = sel.To.Add(-newSince)
		}
		_, err := s.Endpoints(ctx, q)
		return err
	}
}

func questions() []question {
	const day, hour = 24 * time.Hour, time.Hour
	requests, connections := pulsestore.OfRequests, pulsestore.OfConnections
	return []question{
		overTime("24 h: requests by half an hour and status", day, 30*time.Minute, requests, histogram),
		overTime("24 h: latency by hour", day, hour, requests, latency),
		overTime("24 h: heat map by hour", day, hour, requests, heatMap),
		overTime("24 h: connections by half an hour", day, 30*time.Minute, connections, histogram),
		panel("24 h: facets of service, server, method, host", day, requests, "", facets("service", "server", "method", "host")),
		panel("24 h: servers", day, requests, "", endpoints(false, 0)),
		panel("24 h: endpoints", day, requests, "", endpoints(true, 0)),
		panel("24 h: endpoints new within an hour", day, requests, "", endpoints(true, hour)),
		panel("24 h: endpoints with errors of one service", day, requests, "status:5xx service:cart-api", endpoints(true, 0)),
		panel("24 h: processes", day, requests, "", func(ctx context.Context, s *pulsestore.Store, sel pulsestore.Selection) error {
			_, err := s.Processes(ctx, sel, 100)
			return err
		}),
		panel("24 h: service map", day, requests, "", func(ctx context.Context, s *pulsestore.Store, sel pulsestore.Selection) error {
			_, err := s.Edges(ctx, sel, 100)
			return err
		}),
		panel("24 h: top talkers by server", day, connections, "", func(ctx context.Context, s *pulsestore.Store, sel pulsestore.Selection) error {
			_, err := s.Talkers(ctx, sel, "server", 100)
			return err
		}),
		panel("24 h: TLS findings", day, connections, "", func(ctx context.Context, s *pulsestore.Store, sel pulsestore.Selection) error {
			_, err := s.TLSFindings(ctx, pulsestore.TLSQuery{Selection: sel, ExpiresWithin: 30 * day, Limit: 100})
			return err
		}),
		overTime("1 h: requests by minute and status", hour, time.Minute, requests, histogram),
		overTime("1 h: latency by minute", hour, time.Minute, requests, latency),
		overTime("1 h: heat map by minute", hour, time.Minute, requests, heatMap),
		panel("1 h: facets of service, server, status", hour, requests, "", facets("service", "server", "status")),
		panel("1 h: servers", hour, requests, "", endpoints(false, 0)),
		newest("newest 100", requests, "", aimNewest),
		newest("newest 100 by executable", requests, "exe:/usr/lib/jvm/bin/java", aimNewest),
		newest("newest 100 by service and status", requests, "service:cart-api status:5xx", aimNewest),
		newest("newest 100 by host", requests, "host:host-0001", aimNewest),
		newest("newest 100 by an executable that is not there", requests, "exe:/usr/bin/none", aimNewest),
		newest("newest 100 failures", requests, "error:*", aimNewest),
		newest("newest 100 connections", connections, "", aimNewest),
		newest("24 h: path contains, frequent", requests, "path:history", aimSubstring),
		newest("24 h: path contains, never", requests, "path:qqqq", aimSubstring),
		{"one trace", aimNewest, oneTrace},
	}
}

// oneTrace asks for all spans of the newest trace, of which the API has the list and then the trace.
func oneTrace(ctx context.Context, s *pulsestore.Store, to time.Time) error {
	sel, err := last(to, 5*time.Minute, pulsestore.OfRequests, "")
	if err != nil {
		return err
	}
	rows, _, err := s.Requests(ctx, pulsestore.RequestQuery{Selection: sel, Limit: 1})
	if err != nil || len(rows) == 0 {
		return errors.Join(err, errors.New("no rows"))
	}
	if sel, err = last(to, 24*time.Hour, pulsestore.OfRequests, fmt.Sprintf("trace:%x", rows[0].TraceID)); err != nil {
		return err
	}
	_, _, err = s.Requests(ctx, pulsestore.RequestQuery{Selection: sel, Limit: 100})
	return err
}

type result struct {
	Name   string  `json:"question"`
	Median float64 `json:"median_ms"`
	P95    float64 `json:"p95_ms"`
	Aim    float64 `json:"aim_ms"`
	CPU    float64 `json:"engine_cpu_ms"` // mean; what the engine does beside, such as merges, is in it
}

func measure(ctx context.Context, s *pulsestore.Store, q question, to time.Time, times, engine int) (result, error) {
	ms := make([]float64, 0, times)
	before, err := cpuOf(engine)
	if err != nil {
		return result{}, err
	}
	for range times {
		begin := time.Now()
		if err := q.ask(ctx, s, to); err != nil {
			return result{}, fmt.Errorf("%s: %w", q.name, err)
		}
		ms = append(ms, time.Since(begin).Seconds()*1000)
	}
	slices.Sort(ms)
	after, err := cpuOf(engine)
	return result{Name: q.name, Median: ms[len(ms)/2], P95: ms[min(len(ms)-1, len(ms)*95/100)], Aim: q.aim, CPU: (after - before) / float64(times)}, err
}
