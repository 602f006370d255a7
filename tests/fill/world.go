// SPDX-License-Identifier: Apache-2.0

// Package fill makes rows as a fleet makes them, to fill a store with: services that call each other and the outside,
// keep-alive connections, both ends of an exchange. The same seed makes the same rows.
// It is for tests and benchmarks.
package fill

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// Sizes of the fleet.
const (
	hosts    = 12
	services = 40
	outside  = 60 // servers that are not ours
	tail     = 20_000
)

// world is the fleet that exchanges happen in.
type world struct {
	services []service
	outside  []server
	edges    []edge
	weights  []float64 // cumulative, of edges
	// perExchange is how many rows an exchange has on average: both its ends may be ours.
	perExchange float64
}

// service runs in several instances and answers requests.
type service struct {
	server
	instances []instance
}

// instance is one process.
type instance struct {
	origin  pulsestore.Origin
	address netip.Addr
}

// server is what requests go to.
type server struct {
	name      string
	port      uint16
	tls       string
	cipher    string
	version   string // of HTTP
	addresses []netip.Addr
	endpoints []endpoint
	tail      []string // paths of which each is rare
}

type endpoint struct {
	method, template, query string
	errors                  float64 // share of answers that are 5xx
	missing                 float64 // share that are 4xx
	wait                    float64 // median in ns
	request, response       float64 // median bytes
}

// edge is who calls whom. from -1 is the outside: then only the server's end is seen.
type edge struct{ from, to int } // to: a service, or services + a server outside

var (
	nouns   = []string{"order", "cart", "user", "invoice", "payment", "item", "stock", "search", "session", "mail", "photo", "price", "report", "ticket", "track", "vendor", "coupon", "device", "event", "ledger"}
	roles   = []string{"api", "worker"}
	verbs   = []string{"list", "search", "export", "preview", "validate", "refresh"}
	domains = []string{"pay", "maps", "mail", "auth", "files", "cdn", "logs", "geo", "sms", "fx"}
	zones   = []string{"example.com", "example.net", "example.org", "eu.example.com", "us.example.com", "api.example.io"}
)

func newWorld(seed uint64, environments []string) *world {
	r := rand.New(rand.NewPCG(seed, 1))
	w := &world{}
	hex := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "0123456789abcdef"[r.IntN(16)]
		}
		return string(b)
	}
	hostIDs := make([]string, hosts)
	for i := range hostIDs {
		hostIDs[i] = hex(32)
	}
	for i := range services {
		name := nouns[i/2] + "-" + roles[i%2]
		s := service{server: server{name: name + ".shop.svc.cluster.local", port: 8080, version: "1.1"}}
		if i%3 == 0 {
			s.port, s.tls, s.cipher, s.version = 8443, "1.3", "TLS_AES_128_GCM_SHA256", "2"
		}
		s.endpoints = endpoints(r, nouns[i/2])
		executable, user := []string{"/usr/bin/node", "/app/server", "/usr/bin/python3.11", "/usr/lib/jvm/bin/java"}[i%4], []string{"node", "app", "app", "app"}[i%4]
		for n := range 2 + r.IntN(4) {
			host := r.IntN(hosts)
			address := netip.AddrFrom4([4]byte{10, 42, byte(host), byte(10 + r.IntN(240))})
			s.addresses = append(s.addresses, address)
			s.instances = append(s.instances, instance{address: address, origin: pulsestore.Origin{
				Environment: environments[i%len(environments)], ServiceName: name, ServiceNamespace: "shop", HostID: hostIDs[host], HostName: fmt.Sprintf("node-%02d", host),
				PID: uint32(1000 + r.IntN(400_000)), Executable: executable, User: user, ContainerID: hex(64), PodUID: hex(8) + "-" + hex(4) + "-4" + hex(3) + "-a" + hex(3) + "-" + hex(12),
				PodName: fmt.Sprintf("%s-%s-%d", name, hex(9), n), K8sNamespace: []string{"shop", "platform", "data"}[i%3], K8sNode: fmt.Sprintf("node-%02d", host), K8sContainer: "app", K8sDeployment: name,
			}})
		}
		w.services = append(w.services, s)
	}
	for i := range outside {
		s := server{name: domains[i%len(domains)] + "." + zones[i/len(domains)], port: 443, tls: "1.3", cipher: "TLS_AES_256_GCM_SHA384", version: []string{"1.1", "2"}[i%2]}
		if i%7 == 0 {
			s.tls, s.cipher = "1.2", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
		}
		for range 3 {
			s.addresses = append(s.addresses, netip.AddrFrom4([4]byte{203, 0, 113, byte(r.IntN(256))}))
		}
		s.endpoints = endpoints(r, domains[i%len(domains)])
		w.outside = append(w.outside, s)
	}
	for i := range tail {
		s := &w.services[i%services].server
		if n := i % (services + outside); n >= services {
			s = &w.outside[n-services]
		}
		s.tail = append(s.tail, fmt.Sprintf("/%s/%s-%s-%s", nouns[i%len(nouns)], verbs[r.IntN(len(verbs))], nouns[r.IntN(len(nouns))], words(r)))
	}
	total, both := 0.0, 0.0
	add := func(e edge, weight float64) {
		total += weight
		if e.from >= 0 && e.to < services && e.from%len(environments) == e.to%len(environments) {
			both += weight
		}
		w.edges, w.weights = append(w.edges, e), append(w.weights, total)
	}
	rank := 1.0
	for i := range services {
		for range 4 {
			add(edge{i, r.IntN(services)}, 1/math.Pow(rank, 0.7))
			rank++
		}
		for range 2 {
			add(edge{i, services + r.IntN(outside)}, 0.6/math.Pow(rank, 0.7))
		}
		if i%5 == 0 {
			add(edge{-1, i}, 2/math.Pow(rank, 0.7))
		}
	}
	w.perExchange = 1 + both/total
	return w
}

// words returns what no other path has.
func words(r *rand.Rand) string {
	b := make([]byte, 5+r.IntN(6))
	for i := range b {
		b[i] = "bcdfghklmnprstvwaeiou"[r.IntN(21)]
	}
	return string(b)
}

func endpoints(r *rand.Rand, noun string) []endpoint {
	wait := func(ms float64) float64 { return ms * 1e6 * math.Exp(r.NormFloat64()*0.5) }
	size := func(bytes float64) float64 { return bytes * math.Exp(r.NormFloat64()*0.7) }
	all := []endpoint{
		{method: "GET", template: "/v1/" + noun + "s/{id}", wait: wait(4), response: size(900), missing: 0.02, errors: 0.002},
		{method: "GET", template: "/v1/" + noun + "s", query: "limit=&page=", wait: wait(18), response: size(14_000), errors: 0.003},
		{method: "POST", template: "/v1/" + noun + "s", wait: wait(25), request: size(1_200), response: size(300), missing: 0.04, errors: 0.01},
		{method: "PUT", template: "/v1/" + noun + "s/{id}", wait: wait(22), request: size(1_500), response: size(120), missing: 0.01, errors: 0.005},
		{method: "DELETE", template: "/v1/" + noun + "s/{id}", wait: wait(9), response: 0, missing: 0.05},
		{method: "GET", template: "/v1/" + noun + "s/{id}/history", query: "from=&to=", wait: wait(60), response: size(40_000), errors: 0.01},
		{method: "GET", template: "/healthz", wait: wait(0.4), response: 2},
		{method: "GET", template: "/static/" + noun + "/app.{hex}.js", wait: wait(1), response: size(180_000)},
	}
	for _, verb := range verbs[:2+r.IntN(4)] {
		all = append(all, endpoint{method: "POST", template: "/v2/" + noun + "s/{uuid}/" + verb, wait: wait(35), request: size(600), response: size(2_000), missing: 0.02, errors: 0.004})
	}
	return all
}
