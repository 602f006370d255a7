# SPDX-License-Identifier: Apache-2.0
"""One end of the conversations of a plan: `client` or `server`. What the end sends is sent, what the other end sends is awaited."""
import base64, json, socket, ssl, sys

role, plan, plain_port, tls_port, cert, key = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5], sys.argv[6]
conversations = json.load(open(plan))


def context(c):
    if role == "server":
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(cert, key)
        ctx.set_alpn_protocols(["h2", "http/1.1"])
    else:
        ctx = ssl.create_default_context(cafile=cert)
        if c.get("alpn"):
            ctx.set_alpn_protocols([c["alpn"], "http/1.1"])
    if c.get("tls12"):
        ctx.maximum_version = ssl.TLSVersion.TLSv1_2
    return ctx


def listen(port):
    s = socket.create_server(("127.0.0.1", port), backlog=64)
    s.settimeout(60)
    return s


listeners = [listen(plain_port), listen(tls_port)] if role == "server" else []
print("ready", flush=True)
for number, c in enumerate(conversations):
    secure = c["tls"] or c.get("raw", False)
    if role == "server":
        s, _ = listeners[secure].accept()
    else:
        s = socket.create_connection(("127.0.0.1", tls_port if secure else plain_port))
    s.settimeout(60)
    try:
        if c["tls"]:
            s = context(c).wrap_socket(s, server_side=role == "server", server_hostname=None if role == "server" else "localhost")
        elif c.get("raw") and role == "server":
            s.recv(1 << 16)
            continue
        for step in c["steps"]:
            data = base64.b64decode(step["data"])
            if step["who"] == role:
                s.sendall(data)
                continue
            while data:
                got = s.recv(len(data))
                if not got or not data.startswith(got):
                    sys.exit(f"conversation {number}: unlike the plan: {got[:100]!r}, not {data[:100]!r}")
                data = data[len(got):]
        if role == "client" and not c.get("raw"):
            s.shutdown(socket.SHUT_WR)
        while s.recv(1 << 16):
            pass
    finally:
        s.close()
