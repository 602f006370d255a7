// SPDX-License-Identifier: Apache-2.0

//go:build linux

package faults

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/tests/exactness"
)

// conversation is what `load play` plays.
type conversation struct {
	Name      string `json:"name"`
	Says      []say  `json:"says"`
	Reset     bool   `json:"reset,omitempty"`
	Port      int    `json:"port,omitempty"`
	Datagrams bool   `json:"datagrams,omitempty"`
	Secure    bool   `json:"secure,omitempty"`
}

type say struct {
	Client bool   `json:"client,omitempty"`
	Data   []byte `json:"data"`
}

func client(b []byte) say { return say{true, b} }
func server(b []byte) say { return say{false, b} }

// framed says, for each fuzz target that reads what comes from a wire, how what it was given is put on one.
var framed = map[string]func(given [][]byte) []conversation{
	"http1.FuzzParser":     func(given [][]byte) []conversation { return everywhere(program(given[0])...) },
	"http1.FuzzSniff":      raw,
	"http2.FuzzParser":     func(given [][]byte) []conversation { return everywhere(program(given[0][min(1, len(given[0])):])...) },
	"http2.FuzzHPACK":      func(given [][]byte) []conversation { return everywhere(fieldBlock(given[0])...) },
	"websocket.FuzzData":   func(given [][]byte) []conversation { return everywhere(upgraded(given[0], given[1])...) },
	"dns.FuzzParse":        func(given [][]byte) []conversation { return append(datagrams(53, given), overTCP(given[0])) },
	"quic.FuzzInitial":     func(given [][]byte) []conversation { return datagrams(443, given) },
	"tls.FuzzConn":         raw,
	"tls.FuzzSniffRecords": raw,
	"tls.FuzzHandshake":    handshake,
	"tls.FuzzFingerprint":  handshake,
	"tls.FuzzCertificates": handshake,
	"stream.FuzzStream":    raw,
	"engine.FuzzEvents":    raw,
	"coding.FuzzDecoder": func(given [][]byte) []conversation {
		return bodies("text/event-stream", given[0], "gzip", "deflate", "br", "zstd")
	},
	"inspect.FuzzBody":   func(given [][]byte) []conversation { return bodies("application/json", given[0], "identity") },
	"inspect.FuzzRecord": func(given [][]byte) []conversation { return bodies("application/json", given[0], "identity", "gzip") },
}

// corpus makes conversations of all seeds of these targets: those in their testdata and those that they make.
func corpus(t *testing.T) (all []conversation) {
	t.Helper()
	folder := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-vet=off", "-run", "^Fuzz", "./receiver/qtapreceiver/internal/...")
	cmd.Dir = exactness.Root
	cmd.Env = append(os.Environ(), testkit.CorpusFolder+"="+folder)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	files, err := os.ReadDir(folder) // sorted by name
	require.NoError(t, err)
	seeds := map[string]int{}
	for _, f := range files {
		var given [][]byte
		text, err := os.ReadFile(filepath.Join(folder, f.Name()))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &given))
		target := f.Name()[:strings.LastIndexByte(f.Name(), '.')]
		require.Contains(t, framed, target, "say how what it is given is put on a wire")
		for i, conv := range framed[target](given) {
			conv.Name = fmt.Sprintf("%s/%d", f.Name(), i)
			conv.Reset = seeds[target]%5 == 4
			all = append(all, conv)
		}
		seeds[target]++
	}
	for target := range framed {
		require.NotZero(t, seeds[target], "%s has no seeds, or does not keep what it is given", target)
	}
	t.Logf("seeds: %v", seeds)
	return all
}

// everywhere plays in the clear and inside TLS.
func everywhere(says ...say) []conversation {
	return []conversation{{Says: says}, {Says: says, Secure: true}}
}

// raw has either end say it first, and an ordinary exchange follow.
func raw(given [][]byte) (all []conversation) {
	for _, b := range given {
		ask, answer := client([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")), server([]byte("HTTP/1.1 204 No Content\r\n\r\n"))
		all = append(all, everywhere(client(b), server(b), ask, answer)...)
		all = append(all, everywhere(server(b), ask, answer, client(b))...)
	}
	return all
}

// program takes apart what the parsers of HTTP are fuzzed with. What is a gap there is left out.
func program(b []byte) (says []say) {
	for len(b) >= 3 {
		op, n := b[0], int(binary.BigEndian.Uint16(b[1:]))
		b = b[3:]
		if op&2 != 0 {
			continue
		}
		n = min(n, len(b))
		says = append(says, say{op&1 == 1, b[:n]})
		b = b[n:]
	}
	return says
}

// fieldBlock is a request and a response of HTTP/2 whose fields are the block.
func fieldBlock(b []byte) []say {
	frames := func(status bool) []byte {
		var out bytes.Buffer
		fr := http2.NewFramer(&out, nil)
		_ = fr.WriteSettings() // a bytes.Buffer takes everything
		for id := uint32(1); id < 6; id += 2 {
			block := b
			if status {
				block = append([]byte{0x88}, b...) // :status 200, RFC 7541 appendix A
			}
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: true})
		}
		return out.Bytes()
	}
	return []say{client(append([]byte(http2.ClientPreface), frames(false)...)), server(frames(true))}
}

// upgraded is what follows an upgrade to WebSocket.
func upgraded(c, s []byte) []say {
	return []say{
		client([]byte("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")),
		server([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")),
		client(c), server(s), client(c), server(s),
	}
}

// datagrams has either end say it.
func datagrams(port int, given [][]byte) (all []conversation) {
	for _, b := range given {
		all = append(all, conversation{Datagrams: true, Port: port, Says: []say{client(b), server(b), client(b)}})
	}
	return all
}

// overTCP is DNS as RFC 1035 §4.2.2 has it.
func overTCP(b []byte) conversation {
	b = append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
	return conversation{Port: 53, Says: []say{client(b), server(b)}}
}

// handshake has messages of TLS of every kind that is read with this body (RFC 8446 §4), each in records of its own.
func handshake(given [][]byte) []conversation {
	message := func(kind byte, body []byte) (out []byte) {
		m := append([]byte{kind, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
		for part := range slices.Chunk(m, 1<<14) {
			out = append(binary.BigEndian.AppendUint16(append(out, 22, 3, 3), uint16(len(part))), part...)
		}
		return out
	}
	b := given[0]
	return []conversation{
		{Says: []say{client(message(1, b)), server(message(2, b)), server(message(11, b)), server(message(25, b)), client(message(20, b))}},
		{Says: []say{server(message(1, b)), client(message(2, b)), client(message(11, b)), client(message(8, b))}},
	}
}

// bodies is a request and a response that have it as their body.
func bodies(media string, b []byte, codings ...string) (all []conversation) {
	for _, coding := range codings {
		head := fmt.Sprintf("Content-Type: %s\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n", media, coding, len(b))
		all = append(all, everywhere(
			client(append([]byte("POST /body HTTP/1.1\r\nHost: a\r\n"+head), b...)), server(append([]byte("HTTP/1.1 200 OK\r\n"+head), b...)))...)
	}
	return all
}

// mutated makes a conversation of two: bytes change, go, come twice or from the other, and ends change places.
func mutated(rnd *rand.Rand, seed, other conversation, round int) conversation {
	out := seed
	out.Name = fmt.Sprintf("%s, mutation %d", seed.Name, round)
	out.Says = nil
	turned := rnd.IntN(8) == 0
	for _, s := range seed.Says {
		b := bytes.Clone(s.Data)
		for range 1 + rnd.IntN(4) {
			if len(b) == 0 {
				break
			}
			at := rnd.IntN(len(b))
			switch rnd.IntN(5) {
			case 0:
				b[at] ^= 1 << rnd.IntN(8)
			case 1:
				b[at] = byte(rnd.Uint32())
			case 2:
				b = b[:at]
			case 3:
				b = slices.Insert(b, at, bytes.Clone(b[at:min(len(b), at+1+rnd.IntN(64))])...)
			case 4:
				if n := len(other.Says); n > 0 {
					from := other.Says[rnd.IntN(n)].Data
					b = slices.Insert(b, at, from[:min(len(from), rnd.IntN(256))]...)
				}
			}
		}
		out.Says = append(out.Says, say{s.Client != turned, b})
	}
	return out
}
