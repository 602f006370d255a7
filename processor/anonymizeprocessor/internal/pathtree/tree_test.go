// SPDX-License-Identifier: Apache-2.0

package pathtree

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func placeholder(s string) bool { return strings.HasPrefix(s, "{") }

type call struct{ endpoint, path string }

func learned(cfg Config, calls []call) *Tree {
	cfg.Placeholder = placeholder
	t := New(cfg)
	for _, c := range calls {
		t.Learn(t.Endpoint(c.endpoint, false), c.path)
	}
	return t
}

func (t *Tree) template(c call) string {
	return t.Decide(t.Endpoint(c.endpoint, false), c.path).Apply(c.path, placeholder)
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	var calls []call
	for i := range 50 {
		calls = append(calls, call{"shop", fmt.Sprintf("/users/user%c%c/orders", 'a'+i/26, 'a'+i%26)}, call{"shop", fmt.Sprintf("/users/user%c%c/cart/{id}", 'a'+i/26, 'a'+i%26)})
	}
	calls = append(calls, call{"shop", "/users/{id}/orders"}, call{"shop", "/health"}, call{"shop", "/"}, call{"shop", "/users/"}, call{"docs", "/users/alice"})
	tree := learned(Config{Words: 20, Endpoints: 10, Budget: 1 << 16}, calls)
	for path, want := range map[string]string{
		"/users/useraa/orders": "/users/{name}/orders", "/users/userab/cart/{id}": "/users/{name}/cart/{id}", "/users/new/orders": "/users/{name}/orders", "/users/{id}/orders": "/users/{id}/orders",
		"/health": "/health", "/": "/", "/users/": "/users/", "/users": "/users",
	} {
		require.Equal(t, want, tree.template(call{"shop", path}), path)
	}
	require.Equal(t, "/users/alice", tree.template(call{"docs", "/users/alice"}), "an endpoint learns for itself")
}

// randomCalls are paths of few and many words at every depth, so that nodes merge and are cut in every way.
func randomCalls(rnd *rand.Rand, n int) []call {
	words := []int{1, 3, 5, 30, 200}
	shape := make([]int, 6)
	for i := range shape {
		shape[i] = words[rnd.IntN(len(words))]
	}
	endpoints := []int{1, 4, 20}[rnd.IntN(3)]
	var calls []call
	for range n {
		var b strings.Builder
		for _, many := range shape[:1+rnd.IntN(len(shape))] {
			b.WriteByte('/')
			switch rnd.IntN(8) {
			case 0:
				b.WriteString("{id}")
			case 1:
				b.WriteString("{hex}")
			default:
				fmt.Fprintf(&b, "w%d", rnd.IntN(many))
			}
		}
		calls = append(calls, call{fmt.Sprint("e", rnd.IntN(endpoints)), b.String()})
	}
	return calls
}

// TestOrderDoesNotMatter shows trees the same paths in other orders and numbers: they must say the same of every path,
// those that they never saw too. It also holds them to their budget.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		cfg := Config{Words: 1 + rnd.IntN(12), Endpoints: 1 + rnd.IntN(8), Budget: []int{40, 300, 2000, 30000}[rnd.IntN(4)]}
		calls := randomCalls(rnd, 1500)
		trees := []*Tree{learned(cfg, calls)}
		for range 3 {
			shuffled := append([]call(nil), calls...)
			for range 200 { // some twice
				shuffled = append(shuffled, calls[rnd.IntN(len(calls))])
			}
			rnd.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			trees = append(trees, learned(cfg, shuffled))
		}
		templates := map[string]bool{}
		for _, c := range append(calls, randomCalls(rnd, 300)...) {
			want := trees[0].template(c)
			templates[c.endpoint+want] = true
			for _, other := range trees[1:] {
				require.Equal(t, want, other.template(c), "seed %d: %v", seed, c)
			}
			// What it made is left as it is, and teaches nothing new.
			again := call{c.endpoint, want}
			require.Equal(t, want, trees[0].template(again), "seed %d: %v", seed, c)
		}
		for _, tree := range trees {
			require.LessOrEqual(t, tree.nodes, 2*cfg.Budget, "seed %d", seed)
			require.Equal(t, below(&tree.root), tree.nodes, "seed %d: the count is right", seed)
			require.LessOrEqual(t, tree.prune(&tree.root, cfg.Budget, cfg.Endpoints), cfg.Budget, "seed %d", seed)
		}
	}
}

// TestCeiling shows a tree what no tree can hold.
func TestCeiling(t *testing.T) {
	t.Parallel()
	cfg := Config{Words: 100, Endpoints: 1024, Budget: 1 << 12, Placeholder: placeholder}
	tree := New(cfg)
	rnd := rand.New(rand.NewPCG(1, 1))
	templates := map[string]bool{}
	for range 50_000 {
		c := call{fmt.Sprint("host", rnd.IntN(300)), fmt.Sprintf("/%d/%d/%d/%d/%d", rnd.IntN(90), rnd.IntN(90), rnd.IntN(90), rnd.IntN(1000), rnd.IntN(1000))}
		tree.Learn(tree.Endpoint(c.endpoint, false), c.path)
		require.LessOrEqual(t, tree.Nodes(), 2*cfg.Budget)
	}
	for range 50_000 {
		c := call{fmt.Sprint("host", rnd.IntN(300)), fmt.Sprintf("/%d/%d/%d/%d/%d", rnd.IntN(90), rnd.IntN(90), rnd.IntN(90), rnd.IntN(1000), rnd.IntN(1000))}
		templates[c.endpoint+tree.template(c)] = true
	}
	require.LessOrEqual(t, len(templates), cfg.Budget)
	t.Log(len(templates), "templates", tree.Nodes(), "nodes")
}

func FuzzTree(f *testing.F) {
	f.Add("/a/b\n/a/c\n/a/d/e\n/{id}/x\n//\n/", uint8(2), uint8(20))
	f.Fuzz(func(t *testing.T, paths string, words, budget uint8) {
		list := strings.Split(paths, "\n")
		cfg := Config{Words: 1 + int(words%8), Endpoints: 2, Budget: 1 + int(budget)}
		var calls, back []call
		for i, p := range list {
			calls = append(calls, call{fmt.Sprint(i % 3), "/" + p})
		}
		for i := range calls {
			back = append(back, calls[len(calls)-1-i])
		}
		a, b := learned(cfg, calls), learned(cfg, back)
		for _, c := range calls {
			if one, other := a.template(c), b.template(c); one != other {
				t.Fatalf("%q is %q or %q", c, one, other)
			}
		}
	})
}

func BenchmarkLearnAndDecide(b *testing.B) {
	cfg := Config{Words: 100, Endpoints: 1024, Budget: 1 << 19, Placeholder: placeholder}
	tree := New(cfg)
	calls := make([]call, 1000)
	for i := range calls {
		calls[i] = call{"shop", fmt.Sprintf("/api/v1/users/user%d/orders/{id}", i)}
		tree.Learn(tree.Endpoint(calls[i].endpoint, false), calls[i].path)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c := calls[i%len(calls)]
		tree.Learn(tree.Endpoint(c.endpoint, false), c.path)
		tree.Decide(tree.Endpoint(c.endpoint, false), c.path)
	}
}
