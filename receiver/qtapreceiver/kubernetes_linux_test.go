// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// serviceRules are what kube-proxy makes of a Service with the cluster IP 10.96.0.10 and the node port 30080, whose only pod is 10.98.2.2:
// destinations are rewritten for pods (prerouting) and for the node itself (output), sources for node ports and for a pod that asks itself.
const serviceRules = `table ip kube {
	chain services {
		ip daddr 10.96.0.10 tcp dport 80 dnat to 10.98.2.2:8080
		ip daddr 10.98.1.1 tcp dport 30080 meta mark set 0x4000 dnat to 10.98.2.2:8080
	}
	chain before { type nat hook prerouting priority dstnat; jump services; }
	chain local { type nat hook output priority -100; jump services; }
	chain after { type nat hook postrouting priority srcnat; meta mark 0x4000 masquerade; ip saddr 10.98.2.2 ip daddr 10.98.2.2 masquerade; }
}
`

// all returns every span of a path.
func (l *lab) all(path string) (found []*seen) {
	for _, td := range l.traces.AllTraces() {
		for _, rs := range td.ResourceSpans().All() {
			for _, s := range rs.ScopeSpans().At(0).Spans().All() {
				if _, part := s.Attributes().Get(semantic.ExchangePart); !part && text(s.Attributes(), semantic.URLPath) == path {
					found = append(found, &seen{s, rs.Resource().Attributes()})
				}
			}
		}
	}
	return found
}

// local and peer are the ends of the span's connection as its process sees them.
func (s *seen) local() string {
	return net.JoinHostPort(text(s.span.Attributes(), semantic.NetworkLocalAddress), text(s.span.Attributes(), semantic.NetworkLocalPort))
}

func (s *seen) peer() string {
	return net.JoinHostPort(text(s.span.Attributes(), semantic.NetworkPeerAddress), text(s.span.Attributes(), semantic.NetworkPeerPort))
}

func (s *seen) exe() string { return filepath.Base(text(s.res, semantic.ProcessExecutablePath)) }

// TestKubernetesService asks a Service in the ways that pods and nodes do, through real NAT. The spans of both ends are one trace, and each end
// says what it sees: the client the Service that it asked, the server the address that the packets come from.
func TestKubernetesService(t *testing.T) {
	l := newLab(t, "service")
	node, pod, backend := newNode(t)
	node.nft(serviceRules)
	node.ip("route", "add", "10.96.0.0/16", "dev", "eth0") // a node has a route to everywhere
	exe := goPeer(t)
	l.start(nil)
	l.background(backend.within(l, exe, "-listen", "10.98.2.2:8080"), 8080)
	l.background(node.within(l, exe, "-listen", "10.98.1.1:9090"), 9090)
	for i, c := range []struct {
		name         string
		from         *namespace
		asks, client string // the address that the client connects to, and its own
		server, sees string // the server's address, and the client's as the server sees it
	}{
		{"cluster IP: DNAT", pod, "10.96.0.10:80", "10.98.1.2", "10.98.2.2:8080", "10.98.1.2"},
		{"node port: DNAT and SNAT", pod, "10.98.1.1:30080", "10.98.1.2", "10.98.2.2:8080", "10.98.2.1"},
		{"a pod that asks itself: DNAT and SNAT", backend, "10.96.0.10:80", "10.98.2.2", "10.98.2.2:8080", "10.98.2.1"},
		{"a client on hostNetwork: DNAT where it runs", node, "10.96.0.10:80", "10.98.1.1", "10.98.2.2:8080", "10.98.1.1"},
		{"a server on hostNetwork: no NAT", pod, "10.98.1.1:9090", "10.98.1.2", "10.98.1.1:9090", "10.98.1.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := fmt.Sprintf("/service/%d", i)
			out, err := c.from.within(l, "curl", "-sS", "--max-time", "60", "-o", "/dev/null", "-w", "%{local_ip}:%{local_port}", "http://"+c.asks+path).Output()
			require.NoError(t, err)
			own, asked := string(out), hostOf(c.asks)
			require.Equal(t, c.client, hostOf(own))
			require.Eventually(t, func() bool { return len(l.all(path)) == 2 }, 60*time.Second, 20*time.Millisecond)
			client, server := l.spans(path)
			require.NotNil(t, client)
			require.NotNil(t, server)
			require.Equal(t, client.span.TraceID(), server.span.TraceID(), "both ends are one trace")
			require.Equal(t, client.span.SpanID(), server.span.ParentSpanID())
			require.Equal(t, []string{"curl", own, c.asks}, []string{client.exe(), client.local(), client.peer()})
			require.Equal(t, []string{"gopeer", c.server}, []string{server.exe(), server.local()})
			require.Equal(t, c.sees, hostOf(server.peer()))
			require.Equal(t, c.sees, text(server.span.Attributes(), semantic.ClientAddress))
			for _, end := range []*seen{client, server} { // by the Host of the request
				require.Equal(t, asked, text(end.span.Attributes(), semantic.ServerAddress))
			}
		})
	}
	l.stop()
	require.Equal(t, 10, l.traces.SpanCount(), "two a request and no others")
}

// Rules of a service mesh's sidecars: what the application sends and what comes in for it goes to the proxy in its pod, but for what the proxy
// (user 33) sends itself.
const (
	outboundRules = `table ip mesh {
	chain out { type nat hook output priority -100; meta skuid 33 return; tcp dport 8080 redirect to :15001; }
}
`
	inboundRules = `table ip mesh {
	chain in { type nat hook prerouting priority dstnat; tcp dport 8080 redirect to :15006; }
}
`
)

// sidecar runs nginx as the proxy of a pod.
func (n *namespace) sidecar(l *lab, port int, upstream string) {
	n.t.Helper()
	dir := n.t.TempDir()
	conf := nginxConfig(n.t, dir, fmt.Sprintf("listen %d; location / { proxy_pass http://%s; proxy_set_header Host $http_host; }", port, upstream))
	require.NoError(n.t, os.Chmod(filepath.Dir(dir), 0o755))
	require.NoError(n.t, os.Chown(dir, 33, 33))
	l.background(n.within(l, "setpriv", "--reuid=33", "--regid=33", "--clear-groups", "nginx", "-c", conf, "-e", filepath.Join(dir, "error.log"), "-g", "master_process off;"), port)
}

// TestKubernetesSidecar sends a request from one pod to another of a mesh: it is redirected into the proxy of the one and of the other. Each of the
// three connections has spans of its own, of both ends. Nothing says that they belong together unless the request does.
func TestKubernetesSidecar(t *testing.T) {
	l := newLab(t, "sidecar")
	_, pod, backend := newNode(t)
	pod.nft(outboundRules)
	backend.nft(inboundRules)
	exe := goPeer(t)
	l.start(nil)
	l.background(backend.within(l, exe, "-listen", "127.0.0.1:8080"), 8080)
	backend.sidecar(l, 15006, "127.0.0.1:8080")
	pod.sidecar(l, 15001, "10.98.2.2:8080")
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for name, header := range map[string]string{"untraced": "X-Nothing: to see", "traced": "traceparent: 00-" + trace + "-" + parent + "-01"} {
		t.Run(name, func(t *testing.T) {
			path := "/mesh/" + name
			out, err := pod.within(l, "curl", "-sS", "--max-time", "60", "-H", header, "-o", "/dev/null", "-w", "%{local_ip}:%{local_port} %{remote_ip}:%{remote_port}", "http://10.98.2.2:8080"+path).Output()
			require.NoError(t, err)
			own, asked, _ := strings.Cut(string(out), " ")
			require.Equal(t, "10.98.2.2:8080", asked, "the redirect cannot be seen by the client")
			require.Eventually(t, func() bool { return len(l.all(path)) == 6 }, 60*time.Second, 20*time.Millisecond)

			client, server := map[string]*seen{}, map[string]*seen{} // by the server's address, as each end sees it
			for _, s := range l.all(path) {
				require.Equal(t, "10.98.2.2", text(s.span.Attributes(), semantic.ServerAddress), "by the Host of the request")
				if s.span.Kind() == ptrace.SpanKindClient {
					client[s.exe()+" to "+s.peer()] = s
				} else {
					server[s.exe()+" at "+s.local()] = s
				}
			}
			traces := map[string]bool{}
			for _, hop := range []struct{ from, to, sees string }{
				{"curl to 10.98.2.2:8080", "nginx at 127.0.0.1:15001", hostOf(own)},
				{"nginx to 10.98.2.2:8080", "nginx at 10.98.2.2:15006", "10.98.1.2"},
				{"nginx to 127.0.0.1:8080", "gopeer at 127.0.0.1:8080", "127.0.0.1"},
			} {
				c, s := client[hop.from], server[hop.to]
				require.NotNil(t, c, "%s of %v", hop.from, client)
				require.NotNil(t, s, "%s of %v", hop.to, server)
				require.Equal(t, c.span.TraceID(), s.span.TraceID(), "both ends of a hop are one trace")
				require.Equal(t, hop.sees, hostOf(s.peer()))
				traces[c.span.TraceID().String()] = true
				if name == "traced" {
					require.Equal(t, parent, c.span.ParentSpanID().String())
					require.Equal(t, parent, s.span.ParentSpanID().String())
				} else {
					require.True(t, c.span.ParentSpanID().IsEmpty())
					require.Equal(t, c.span.SpanID(), s.span.ParentSpanID())
				}
			}
			if name == "traced" {
				require.Equal(t, map[string]bool{trace: true}, traces)
			} else {
				require.Len(t, traces, 3, "that hops belong together is not guessed")
			}
		})
	}
	l.stop()
	require.Equal(t, 12, l.traces.SpanCount(), "two a hop and no others")
}

func hostOf(hostPort string) string {
	host, _, _ := net.SplitHostPort(hostPort)
	return host
}
