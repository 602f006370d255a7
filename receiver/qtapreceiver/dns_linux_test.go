// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// nameServer answers over UDP and TCP: A records for named.test, no such name for the rest, nothing
// at all for silent.test.
const nameServer = `
import socket, struct, sys, threading
host = sys.argv[1]
def answer(q):
    i, name = 12, []
    while q[i]:
        name.append(q[i+1:i+1+q[i]].decode())
        i += 1 + q[i]
    question, kind = q[12:i+5], struct.unpack(">H", q[i+1:i+3])[0]
    if name[0] == "silent":
        return b""
    if name != ["named", "test"]:
        return q[:2] + b"\x81\x83\0\1\0\0\0\0\0\0" + question
    if kind != 1:
        return q[:2] + b"\x81\x80\0\1\0\0\0\0\0\0" + question
    return q[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1"
def tcp(c):
    while head := c.recv(2):
        q = c.recv(struct.unpack(">H", head)[0])
        a = answer(q)
        c.sendall(struct.pack(">H", len(a)) + a)
    c.close()
def serve():
    l = socket.create_server((host, 53))
    while True:
        threading.Thread(target=tcp, args=(l.accept()[0],), daemon=True).start()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind((host, 53))
threading.Thread(target=serve, daemon=True).start()
while True:
    q, peer = u.recvfrom(4096)
    if a := answer(q):
        u.sendto(a, peer)
`

// asker finds a server by its name, and talks no protocol that says who it is.
const asker = `
import socket, sys
for name in ("absent.test", "silent.test"):
    try:
        socket.getaddrinfo(name, 1)
    except socket.gaierror:
        pass
s = socket.create_connection(("named.test", int(sys.argv[1])))
s.sendall(b"\xffno protocol at all\n")
print(s.recv(100))
s.close()
`

const sink = `
import socket, sys
l = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    c = l.accept()[0]
    c.recv(100)
    c.sendall(b"ok")
    c.close()
`

// TestE2EDNS watches the resolver of libc over UDP and TCP, and finds the name of a connection
// that does not say it.
func TestE2EDNS(t *testing.T) {
	for i, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			l := newLab(t, "dns"+transport)
			l.start(nil)
			port, dir := freePort(t), t.TempDir()
			host := fmt.Sprintf("127.0.53.%d", 1+i+os.Getpid()%100*2)
			l.serve(port, "python3", "-c", sink, strconv.Itoa(port))
			server := l.command("python3", "-c", nameServer, host)
			require.NoError(t, server.Start())
			t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
			require.Eventually(t, func() bool {
				c, err := net.Dial("tcp", host+":53")
				if err == nil {
					c.Close()
				}
				return err == nil
			}, testkit.Patience, 20*time.Millisecond)

			conf := "nameserver " + host + "\noptions timeout:1 attempts:1\n"
			if transport == "tcp" {
				conf += "options use-vc\n"
			}
			resolv := filepath.Join(dir, "resolv.conf")
			require.NoError(t, os.WriteFile(resolv, []byte(conf), 0o644))
			nsswitch := filepath.Join(dir, "nsswitch.conf")
			require.NoError(t, os.WriteFile(nsswitch, []byte("hosts: files dns\n"), 0o644))
			got := l.run("unshare", "-m", "sh", "-c", `mount --bind "$1" /etc/resolv.conf; if [ -e /etc/nsswitch.conf ]; then mount --bind "$2" /etc/nsswitch.conf; fi; shift 2; exec "$@"`,
				"sh", resolv, nsswitch, "python3", "-c", asker, strconv.Itoa(port))
			require.Equal(t, "b'ok'\n", string(got))

			var closed []pcommon.Map
			require.Eventually(t, func() bool {
				closed = l.records(semantic.EventConnection, func(m pcommon.Map) bool {
					return text(m, semantic.ConnectionState) == "closed" && text(m, semantic.ServerPort) == strconv.Itoa(port)
				})
				return len(closed) >= 2
			}, testkit.Patience, 20*time.Millisecond)
			named := 0
			for _, m := range closed {
				if text(m, semantic.ConnectionRole) != "client" || text(m, semantic.ServerNameSource) == "" {
					require.Empty(t, text(m, semantic.ServerNameSource), "the server did not ask")
					continue
				}
				named++
				require.Equal(t, "named.test", text(m, semantic.ServerAddress))
				require.Equal(t, "dns", text(m, semantic.ServerNameSource))
			}
			require.Equal(t, 1, named)

			type query struct{ role, name, kind, code, failed string }
			queries := func() map[query]int {
				out := map[query]int{}
				for _, m := range l.records(semantic.EventDNS, func(m pcommon.Map) bool {
					return text(m, semantic.NetworkTransport) == transport && (text(m, semantic.NetworkPeerAddress) == host || text(m, semantic.NetworkLocalAddress) == host)
				}) {
					if d, ok := m.Get(semantic.DNSDuration); ok {
						require.Positive(t, d.Int())
					}
					out[query{text(m, semantic.ConnectionRole), text(m, semantic.DNSQuestionName), text(m, semantic.DNSQuestionType), text(m, semantic.DNSResponseCode), text(m, semantic.ErrorType)}]++
				}
				return out
			}
			for _, role := range []string{"client", "server"} {
				want := []query{
					{role, "named.test", "A", "NOERROR", ""}, {role, "named.test", "AAAA", "NOERROR", ""},
					{role, "absent.test", "A", "NXDOMAIN", ""}, {role, "absent.test", "AAAA", "NXDOMAIN", ""},
				}
				if transport == "udp" {
					want = append(want, query{role, "silent.test", "A", "", "timeout"})
				}
				for _, q := range want {
					require.Eventually(t, func() bool { return queries()[q] == 1 }, testkit.Patience, 50*time.Millisecond, "%+v in %+v", q, queries())
				}
			}
			l.stop()
		})
	}
}
