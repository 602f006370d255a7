// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// startTLSServer speaks as much of each protocol as leads to TLS, and then takes lines until one says QUIT.
const startTLSServer = `
import socket, ssl, sys, threading
port, folder, kind = int(sys.argv[1]), sys.argv[2], sys.argv[3]
ctx = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
ctx.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
def line(c):
    b = b""
    while not b.endswith(b"\n"):
        more = c.recv(1)
        if not more:
            raise OSError("closed")
        b += more
    return b
def serve(c):
    if kind == "smtp":
        c.sendall(b"220 mail.lab.test ESMTP\r\n")
        line(c)
        c.sendall(b"250-mail.lab.test\r\n250 STARTTLS\r\n")
        line(c)
        c.sendall(b"220 go ahead\r\n")
    elif kind == "imap":
        c.sendall(b"* OK ready\r\n")
        tag = line(c).split()[0]
        c.sendall(b"* CAPABILITY IMAP4rev1 STARTTLS\r\n" + tag + b" OK done\r\n")
        tag = line(c).split()[0]
        c.sendall(tag + b" OK go ahead\r\n")
    elif kind == "postgres":
        assert c.recv(8) == b"\0\0\0\x08\x04\xd2\x16\x2f"
        c.sendall(b"S")
    elif kind == "mysql":
        hello = b"\x0a8.0.0\0\1\0\0\0" + b"abcdefgh\0" + b"\xff\xff\x21\2\0\xff\xff\x15" + b"\0" * 10 + b"abcdefghijkl\0" + b"mysql_native_password\0"
        c.sendall(len(hello).to_bytes(3, "little") + b"\0" + hello)
        assert len(c.recv(36)) == 36
    c = ctx.wrap_socket(c, server_side=True)
    while (b := line(c)) != b"QUIT\r\n":
        c.sendall(b"250 " + b)
    c.sendall(b"221 bye\r\n")
    c.unwrap().close()
l = socket.create_server(("127.0.0.1", port))
while True:
    def run(c):
        try:
            serve(c)
        except (OSError, AssertionError):
            c.close()
    threading.Thread(target=run, args=(l.accept()[0],), daemon=True).start()
`

// TestE2EStartTLS: a connection that turns to TLS in the middle has its TLS metadata, and what it says inside is not taken
// for HTTP, even when it looks like it.
func TestE2EStartTLS(t *testing.T) {
	l := newLab(t, "starttls")
	l.start(nil)
	dir := t.TempDir()
	selfSigned(t, dir)
	ports := map[string]int{}
	for _, kind := range []string{"smtp", "imap", "postgres", "mysql"} {
		ports[kind] = freePort(t)
		l.serve(ports[kind], "python3", "-c", startTLSServer, strconv.Itoa(ports[kind]), dir, kind)
		client := l.command("openssl", "s_client", "-quiet", "-crlf", "-connect", fmt.Sprintf("127.0.0.1:%d", ports[kind]), "-starttls", kind, "-servername", "mail.lab.test", "-CAfile", filepath.Join(dir, "cert.pem"))
		client.Stdin = strings.NewReader("DATA\nGET / HTTP/1.1\nHost: inner.lab.test\n\nQUIT\n")
		out, err := client.Output()
		require.NoError(t, err, kind)
		require.Contains(t, string(out), "250 GET / HTTP/1.1", kind)
		require.Contains(t, string(out), "221 bye", kind)
	}
	for kind, port := range ports {
		for _, role := range []string{"client", "server"} {
			var closed []pcommon.Map
			require.Eventually(t, func() bool {
				closed = l.records(semantic.EventConnection, func(m pcommon.Map) bool {
					return text(m, semantic.ConnectionState) == "closed" && text(m, semantic.ServerPort) == strconv.Itoa(port) &&
						text(m, semantic.ConnectionRole) == role && text(m, semantic.TLSEstablished) != ""
				})
				return len(closed) == 1
			}, testkit.Patience, 50*time.Millisecond, "%s %s", kind, role)
			m := closed[0]
			require.Equal(t, "true", text(m, semantic.TLSEstablished))
			require.Equal(t, "1.3", text(m, semantic.TLSProtocolVersion))
			require.NotEmpty(t, text(m, semantic.TLSCipher))
			require.Equal(t, "mail.lab.test", text(m, semantic.ServerAddress))
			require.Equal(t, "not_visible", text(m, semantic.PayloadVisibility))
			require.Equal(t, "unknown_protocol", text(m, semantic.PayloadReason))
		}
	}
	l.stop()
	require.Zero(t, l.traces.SpanCount(), "nothing there is HTTP")
}
