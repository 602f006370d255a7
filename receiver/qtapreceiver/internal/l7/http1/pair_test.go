// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// packet is a piece of a generated conversation.
type packet struct {
	client bool
	b      []byte
	t      int64
}

// conversation generates packets of requests for /0, /1, … whose responses carry the number.
type conversation struct {
	r       *rand.Rand
	packets []packet
	next    int
	sizes   map[int]int // content of each response
	methods map[int]string
}

func (c *conversation) filler() string {
	return strings.Repeat("content ", c.r.IntN(60))
}

func (c *conversation) request(i int) []byte {
	m := []string{"GET", "GET", "POST", "PUT", "HEAD"}[c.r.IntN(5)]
	c.methods[i] = m
	body := ""
	if m == "POST" || m == "PUT" {
		body = c.filler()
	}
	head := fmt.Sprintf("%s /%d HTTP/1.1\r\nHost: a.test\r\n", m, i)
	switch {
	case body == "":
		return []byte(head + "\r\n")
	case m == "POST":
		return []byte(fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body), body))
	}
	return []byte(fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", head, len(body), body))
}

func (c *conversation) response(i int) []byte {
	var out bytes.Buffer
	if c.r.IntN(10) == 0 {
		out.WriteString("HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\n")
	}
	body := c.filler()
	head := fmt.Sprintf("X-Id: %d\r\n", i)
	empty := c.methods[i] == "HEAD"
	switch k := c.r.IntN(6); {
	case k == 0:
		fmt.Fprintf(&out, "HTTP/1.1 204 No Content\r\n%s\r\n", head)
		body = ""
	case k == 1:
		fmt.Fprintf(&out, "HTTP/1.1 304 Not Modified\r\n%sContent-Length: 77\r\n\r\n", head)
		body = ""
	case k < 4:
		fmt.Fprintf(&out, "HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n", head, len(body))
		if !empty {
			out.WriteString(body)
		}
	default:
		fmt.Fprintf(&out, "HTTP/1.1 200 OK\r\n%sTransfer-Encoding: chunked\r\n\r\n", head)
		if !empty {
			for s := body; s != ""; {
				n := min(len(s), 1+c.r.IntN(100))
				fmt.Fprintf(&out, "%x\r\n%s\r\n", n, s[:n])
				s = s[n:]
			}
			out.WriteString("0\r\n\r\n")
		}
	}
	if empty {
		body = ""
	}
	c.sizes[i] = len(body)
	return out.Bytes()
}

// send cuts b into packets of its own.
func (c *conversation) send(client bool, b []byte) {
	for len(b) > 0 {
		n := min(len(b), 40+c.r.IntN(200))
		c.packets = append(c.packets, packet{client, b[:n], int64(len(c.packets) + 1)})
		b = b[n:]
	}
}

// The clients that are asserted about.
const (
	sequential   = iota // waits for each response
	burstOne            // sends some requests in one write, waits for all responses
	burstPackets        // the same with a packet for each
	sliding             // always keeps up to three in flight
	clients
)

func converse(r *rand.Rand, client, n int) *conversation {
	c := &conversation{r: r, sizes: map[int]int{}, methods: map[int]string{}}
	for c.next < n {
		k := 1
		if client != sequential {
			k += r.IntN(4)
		}
		first := c.next
		c.next += k
		switch client {
		case burstOne:
			var all []byte
			for i := first; i < c.next; i++ {
				all = append(all, c.request(i)...)
			}
			c.packets = append(c.packets, packet{true, all, int64(len(c.packets) + 1)})
			for i := first; i < c.next; i++ {
				c.send(false, c.response(i))
			}
		case sliding:
			for i := first; i < c.next; i++ {
				c.send(true, c.request(i))
				if i >= 2 {
					c.send(false, c.response(i-2))
				}
			}
		default:
			answered := first
			for i := first; i < c.next; i++ {
				c.send(true, c.request(i))
				if r.IntN(3) == 0 {
					c.send(false, c.response(answered))
					answered++
				}
			}
			for ; answered < c.next; answered++ {
				c.send(false, c.response(answered))
			}
		}
	}
	if client == sliding {
		c.send(false, c.response(c.next-2))
		c.send(false, c.response(c.next-1))
	}
	return c
}

// TestAttribution drops packets of generated conversations: no response may ever be given to
// another request, and contents that are said to be complete must have their size.
func TestAttribution(t *testing.T) {
	const rounds, requests = 800, 20
	for client := range clients {
		for _, loss := range []float64{0, 0.02, 0.1, 0.3} {
			var stats Stats
			var sent, paired uint64
			for seed := uint64(0); seed < rounds; seed++ {
				r := rand.New(rand.NewPCG(seed, uint64(client)))
				c := converse(r, client, requests)
				known := r.IntN(2) == 0 // sizes of gaps are known
				start := 0
				joined := loss > 0 && r.IntN(4) == 0
				if joined {
					start = r.IntN(len(c.packets))
				}
				if !joined { // its client is doubted for longer than it lives
					sent += uint64(c.next)
				}
				p := New(Options{KeepPayload: r.IntN(2) == 0, MaxBody: 100, Joined: joined}, func(x *l7.Exchange) {
					if x.Response == nil || x.Response.Get("X-Id") == "" {
						return
					}
					id := x.Response.Get("X-Id")
					if "/"+id != x.Request.Target {
						t.Fatalf("client %d loss %v seed %d: response %s given to request %s", client, loss, seed, id, x.Request.Target)
					}
					i, err := strconv.Atoi(id)
					if err != nil {
						t.Fatal(err)
					}
					if m := x.Response; m.Complete && m.BodySize != uint64(c.sizes[i]) {
						t.Fatalf("client %d loss %v seed %d: response %s has %d bytes, want %d", client, loss, seed, id, m.BodySize, c.sizes[i])
					}
					if !joined {
						paired++
					}
				}, &stats)
				var pos, gap [2]uint64
				for i, k := range c.packets[start:] {
					d := 0
					if k.client {
						d = 1
					}
					// A sliding client alternates strictly: its pipelining must have been seen before the first loss (see pair.go).
					if (client != sliding || joined || i > 40) && r.Float64() < loss {
						gap[d] += uint64(len(k.b))
						pos[d] += uint64(len(k.b))
						continue
					}
					if gap[d] > 0 {
						n := gap[d]
						if !known {
							n = 0
						}
						p.Gap(k.client, k.t, pos[d]-gap[d], n)
						gap[d] = 0
					}
					p.Data(k.client, k.t, pos[d], k.b)
					pos[d] += uint64(len(k.b))
				}
				if p.Pending() > 3+4 {
					t.Fatalf("%d pending", p.Pending())
				}
				p.Close(1e6, false)
				if p.Pending() != 0 {
					t.Fatalf("client %d loss %v seed %d: %d pending after Close", client, loss, seed, p.Pending())
				}
				if t.Failed() {
					return
				}
			}
			checkBooks(t, nil, &stats)
			t.Logf("client %d, loss %4.0f %%: %d requests, %5.1f %% paired, desyncs %d, resyncs %d",
				client, 100*loss, sent, 100*float64(paired)/float64(sent), stats.Desyncs.Load(), stats.Resyncs.Load())
			if loss == 0 && paired != sent {
				t.Errorf("client %d: %d of %d paired without loss", client, paired, sent)
			}
			if client == sequential && loss == 0.02 && float64(paired) < 0.6*float64(sent) {
				t.Errorf("only %d of %d paired at 2 %% loss", paired, sent)
			}
		}
	}
}
