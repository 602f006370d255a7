# SPDX-License-Identifier: Apache-2.0

"""An HTTP server or client on asyncio streams whose payloads say which connection and which
process they belong to: the truth of the attribution tests. A certificate's folder makes it HTTPS.

    peer.py serve <port> [folder]
    peer.py ask <http|https> <port> <connections> <requests of each>
"""
import asyncio, os, ssl, sys


def marker(seq, port):
    return b"seq=%07d port=%05d pid=%07d\n" % (seq, port, os.getpid()) + b"x" * (seq * 7919 % 1999)


async def message(reader):
    """Reads one message and returns its content, None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return await reader.readexactly(int(line.split(b":")[1]))
    raise ValueError(head)


async def answer(reader, writer):
    port = writer.get_extra_info("peername")[1]
    while (body := await message(reader)) is not None:
        out = marker(int(body[4:11]), port)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(out) + out)
        await writer.drain()
    writer.close()


async def serve(port, folder=None):
    context = None
    if folder:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
    async with await asyncio.start_server(answer, "127.0.0.1", int(port), ssl=context, backlog=1024) as server:
        await server.serve_forever()


async def connection(scheme, port, first, count):
    context = None
    if scheme == "https":
        context = ssl._create_unverified_context()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    local = writer.get_extra_info("sockname")[1]
    for seq in range(first, first + count):
        body = marker(seq, local)
        writer.write(b"POST /%d HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (seq, len(body)) + body)
        await writer.drain()
        got = await message(reader)
        if not got or not got.startswith(b"seq=%07d port=%05d " % (seq, local)):
            sys.exit("answer %r to %d, port %d" % (got and got[:40], seq, local))
    writer.close()


async def ask(scheme, port, conns, requests):
    n = int(requests)
    await asyncio.gather(*(connection(scheme, int(port), c * n, n) for c in range(int(conns))))


asyncio.run({"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:]))
