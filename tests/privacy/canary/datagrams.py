# SPDX-License-Identifier: Apache-2.0
"""Sends its arguments, in pairs, over UDP, from two ports that come first."""
import socket, struct, sys


def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.bind(("127.0.0.1", int(sys.argv[1])))
resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
resolver.bind(("127.0.0.1", int(sys.argv[2])))
resolver.connect(("127.0.0.1", 53))  # as resolvers do
sinks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
for sink, port in zip(sinks, (443, 514, 8125)):
    sink.bind(("127.0.0.1", port))  # or the kernel sends what was sent back
for number, (sent, answered) in enumerate(zip(sys.argv[3::2], sys.argv[4::2])):
    sent, answered = sent.encode(), answered.encode()
    for sink in sinks:
        client.sendto(b"\0" + sent, sink.getsockname())
    question = name("canaryground.example") + struct.pack(">HH", 16, 1)
    option = struct.pack(">HH", 65001, len(sent)) + sent  # EDNS(0), RFC 6891 6.1.2
    extra = b"\0" + struct.pack(">HHIH", 41, 1232, 0, len(option)) + option
    resolver.send(struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 1) + question + extra)
    _, who = server.recvfrom(4096)
    text = bytes([len(answered)]) + answered
    answer = b"\xc0\x0c" + struct.pack(">HHIH", 16, 1, 60, len(text)) + text
    server.sendto(struct.pack(">HHHHHH", number, 0x8180, 1, 1, 0, 0) + question + answer, who)
    resolver.recv(4096)
