// SPDX-License-Identifier: Apache-2.0

package privacyguardextension

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/pipeline"
)

// Component types that the rules are about.
const (
	typeMetadata  = "qtap"
	typePayload   = "qtap_payload"
	typeAnonymize = "anonymize"
	typeObjects   = "qpoint_s3"
)

// keepsClean are the processors that drop, delay or regroup records but add nothing to them,
// so that what they pass on is as anonymous as what they got.
var keepsClean = map[string]bool{
	"batch":                 true,
	"filter":                true,
	"memory_limiter":        true,
	"probabilistic_sampler": true,
	"tail_sampling":         true,
}

// passesClean are the connectors that forward, route or count records but bring no data of
// their own. Any other connector makes data unclean again, as any other processor does.
var passesClean = map[string]bool{
	"count":        true,
	"failover":     true,
	"forward":      true,
	"round_robin":  true,
	"roundrobin":   true,
	"routing":      true,
	"span_metrics": true,
	"spanmetrics":  true,
}

// leaks are the processors that give what passes to others than the next in the pipeline: `remotetap` to whoever connects to it.
var leaks = map[string]bool{"remotetap": true}

// flow is one pipeline as the collector reads it.
type flow struct {
	Receivers  []component.ID `mapstructure:"receivers"`
	Processors []component.ID `mapstructure:"processors"`
	Exporters  []component.ID `mapstructure:"exporters"`
}

// graph is the part of a configuration that says where data can go.
type graph struct {
	pipelines  map[pipeline.ID]flow
	order      []pipeline.ID // of pipelines, sorted, so that messages are stable
	connectors map[component.ID]bool
	// within has the receivers that start one of ours themselves, such as `receiver_creator`, and which.
	within map[component.ID]component.ID
}

// parse reads the graph with the collector's own types and decoder, so that both
// understand an id in the same way.
func parse(conf *confmap.Conf) (*graph, error) {
	var raw struct {
		Receivers  map[component.ID]any `mapstructure:"receivers"`
		Connectors map[component.ID]any `mapstructure:"connectors"`
		Service    struct {
			Pipelines map[pipeline.ID]flow `mapstructure:"pipelines"`
		} `mapstructure:"service"`
	}
	if err := conf.Unmarshal(&raw, confmap.WithIgnoreUnused()); err != nil {
		return nil, err
	}
	g := &graph{pipelines: raw.Service.Pipelines, connectors: make(map[component.ID]bool, len(raw.Connectors)), within: map[component.ID]component.ID{}}
	for id, settings := range raw.Receivers {
		if ours, ok := ownReceiver(settings); ok {
			g.within[id] = ours
		}
	}
	for id := range raw.Connectors {
		g.connectors[id] = true
	}
	for id := range g.pipelines {
		g.order = append(g.order, id)
	}
	slices.SortFunc(g.order, func(a, b pipeline.ID) int { return cmp.Compare(a.String(), b.String()) })
	return g, nil
}

// ownReceiver finds one of our receivers among the keys of another receiver's settings, however deep.
func ownReceiver(settings any) (found component.ID, ok bool) {
	switch settings := settings.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(settings)) {
			if found.UnmarshalText([]byte(key)) == nil && (found.Type().String() == typeMetadata || found.Type().String() == typePayload) {
				return found, true
			}
			if found, ok = ownReceiver(settings[key]); ok {
				return found, true
			}
		}
	case []any:
		for _, item := range settings {
			if found, ok = ownReceiver(item); ok {
				return found, true
			}
		}
	}
	return found, false
}

// check returns an error that names every unsafe path, one per line, or nil.
func (g *graph) check() error {
	var errs []error
	for _, id := range g.order {
		for _, r := range g.pipelines[id].Receivers {
			if g.connectors[r] {
				continue
			}
			w := walk{graph: g, path: []string{"receiver " + r.String()}}
			if ours, ok := g.within[r]; ok {
				w.refuse(fmt.Sprintf("it would start `%s` where its pipelines cannot be told: name `%[1]s` in `service::pipelines::%s::receivers` instead", ours, id), "pipeline "+id.String())
			}
			switch r.Type().String() {
			case typePayload:
				w.payload(id)
			case typeMetadata:
				w.metadata(id, state{dirty: "nothing on it is `anonymize`"})
			}
			errs = append(errs, w.errs...)
		}
	}
	return errors.Join(errs...)
}

// state says whether data is anonymous at a point of a path: it is when dirty is empty, else
// dirty says why not.
type state struct{ dirty string }

type visit struct {
	pipeline pipeline.ID
	clean    bool
}

// walk follows everything that one receiver emits.
type walk struct {
	graph *graph
	path  []string
	seen  map[visit]bool // pipelines reached, for cycles and for fan-outs that meet again
	errs  []error
}

func (w *walk) refuse(why string, last ...string) {
	path := append(slices.Clone(w.path), last...)
	w.errs = append(w.errs, fmt.Errorf("%s: %s", strings.Join(path, " -> "), why))
}

// payload checks that a pipeline with payloads ends in object storage and nowhere else.
func (w *walk) payload(id pipeline.ID) {
	w.path = append(w.path, "pipeline "+id.String())
	for _, p := range w.graph.pipelines[id].Processors {
		w.tap(id, p)
	}
	for _, e := range w.graph.pipelines[id].Exporters {
		switch {
		case w.graph.connectors[e] && e.Type().String() == typeObjects:
			// What comes out of it are receipts: no payload, but the names of processes.
			w.connector(e, state{dirty: fmt.Sprintf("receipts of `%s` are metadata, and nothing on this path is `%s`", e, typeAnonymize)})
		case w.graph.connectors[e]:
			w.refuse(fmt.Sprintf("payloads must not enter this connector: send them to `%s` from this pipeline", typeObjects), "connector "+e.String())
		case e.Type().String() != typeObjects:
			w.refuse(fmt.Sprintf("payloads may leave through `%s` only: remove `%s` from `service::pipelines::%s::exporters`, or `%s` from its receivers",
				typeObjects, e, id, typePayload), "exporter "+e.String())
		}
	}
}

// tap refuses a processor that shows what passes to others.
func (w *walk) tap(id pipeline.ID, p component.ID) {
	if leaks[p.Type().String()] {
		w.refuse(fmt.Sprintf("it shows what passes to others: remove `%s` from `service::pipelines::%s::processors`", p, id), "processor "+p.String())
	}
}

// metadata checks that a pipeline, and every pipeline behind its connectors, exports only
// data that is anonymous.
func (w *walk) metadata(id pipeline.ID, s state) {
	key := visit{id, s.dirty == ""}
	if w.seen[key] {
		return
	}
	if w.seen == nil {
		w.seen = map[visit]bool{}
	}
	w.seen[key] = true

	depth := len(w.path)
	defer func() { w.path = w.path[:depth] }()
	w.path = append(w.path, "pipeline "+id.String())

	for _, p := range w.graph.pipelines[id].Processors {
		if s.dirty != "" {
			w.tap(id, p)
		}
		switch t := p.Type().String(); {
		case t == typeAnonymize:
			s.dirty = ""
		case s.dirty == "" && !keepsClean[t]:
			s.dirty = fmt.Sprintf("`%s` comes after `%s` and may add values", p, typeAnonymize)
		default:
			continue
		}
		w.path = append(w.path, "processor "+p.String())
	}
	for _, e := range w.graph.pipelines[id].Exporters {
		if w.graph.connectors[e] {
			w.connector(e, s)
			continue
		}
		if s.dirty != "" {
			w.refuse(fmt.Sprintf("%s: put `%s` into `service::pipelines::%s::processors`, before it only processors that add or change values and after it only those that drop or batch (%s)",
				s.dirty, typeAnonymize, id, names(keepsClean)), "exporter "+e.String())
		}
	}
}

// connector follows a connector into every pipeline that receives from it, whatever signals
// it joins: more paths than the collector builds are safe to refuse, fewer are not.
func (w *walk) connector(c component.ID, s state) {
	if s.dirty == "" && !passesClean[c.Type().String()] {
		s.dirty = fmt.Sprintf("connector `%s` comes after `%s` and may add values", c, typeAnonymize)
	}
	w.path = append(w.path, "connector "+c.String())
	defer func() { w.path = w.path[:len(w.path)-1] }()
	for _, id := range w.graph.order {
		if slices.Contains(w.graph.pipelines[id].Receivers, c) {
			w.metadata(id, s)
		}
	}
}

func names(set map[string]bool) string {
	list := make([]string, 0, len(set))
	for n := range set {
		list = append(list, n)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
