// SPDX-License-Identifier: Apache-2.0

// Package pathtree learns which segments of URL paths are words of an API and which are names of things.
//
// What it says of a path depends on the set of paths that it was shown, not on their order or number: two collectors
// that saw the same paths say the same. That holds because a tree is the least one of a family that is closed under
// intersection and contains all paths shown:
//
//   - Below a node are at most Words different words, or any: then one subtree holds for all of them.
//   - A node has a budget. Each of its children has an equal share of what the node leaves, as if it had as many
//     children as it has, or Words and the placeholders when any word is allowed. Shares only shrink as paths come.
//   - A node whose budget is too small for children allows any continuation.
//
// So there are never more nodes, and never more templates for each, than the root's budget, and what was merged or cut
// once need not be remembered.
package pathtree

import (
	"hash/maphash"
	"slices"
	"strings"
)

const (
	// Name stands for a segment where there are more words than an API has.
	Name = "{name}"
	// Rest stands for everything below a segment whose budget is used up.
	Rest = "{path}"

	maxPlaceholders = 16 // kinds of segments that are recognised without learning, see Config.Placeholder
)

// Config of a Tree.
type Config struct {
	// Words are how many different words one position may have, at least 1.
	Words int
	// Endpoints are how many endpoints are told apart; when there are more, all are one.
	Endpoints int
	// Budget bounds the number of nodes, and with it memory (about 64 bytes each) and templates.
	Budget int
	// Placeholder reports whether a segment stands for others: it is no word, and there are fewer than 16 of them.
	Placeholder func(segment string) bool
}

// Tree is what was learned. It is not safe for concurrent use.
type Tree struct {
	cfg   Config
	seed  maphash.Seed // an attacker must not choose words that collide
	root  node
	nodes int
}

// node is one position behind a prefix. Words are kept as hashes: a tree holds no text.
type node struct {
	kids  []kid // by hash
	words int   // kids that are no placeholders
	any   *node // below every word, once there are too many
	cut   bool  // any continuation
}

type kid struct {
	hash        uint64
	placeholder bool
	node        *node
}

// New returns an empty tree.
func New(cfg Config) *Tree { return &Tree{cfg: cfg, seed: maphash.MakeSeed()} }

// Nodes returns how many nodes there are.
func (t *Tree) Nodes() int { return t.nodes }

// Endpoint returns what Learn and Decide know an endpoint by: a server, and whether it has what was asked for. Paths that
// a server does not have are made up by whoever asks, so they must not teach anything about those that it has.
func (t *Tree) Endpoint(server string, missing bool) uint64 {
	h := maphash.String(t.seed, server)
	if missing {
		h ^= 1
	}
	return h
}

// Learn shows the tree a path of an endpoint, with a leading slash.
func (t *Tree) Learn(endpoint uint64, path string) {
	t.walk(endpoint, path, true)
	// Nodes that lost a part of their budget are cut when somebody comes by, or here.
	if t.nodes > 2*t.cfg.Budget {
		t.nodes = t.prune(&t.root, t.cfg.Budget, t.cfg.Endpoints)
	}
}

// Decision says which segments of a path are names.
type Decision struct {
	names uint64
	// cut is the segment from which on everything is Rest; -1 when there is none.
	cut int
}

// Changes reports whether Apply would change anything.
func (d Decision) Changes() bool { return d.names != 0 || d.cut >= 0 }

// Decide returns what was learned about the path of an endpoint.
func (t *Tree) Decide(endpoint uint64, path string) Decision { return t.walk(endpoint, path, false) }

// walk goes down the tree along the path, makes nodes what their budgets allow, and adds the path if it is to learn.
func (t *Tree) walk(endpoint uint64, path string, learn bool) Decision {
	d := Decision{cut: -1}
	n, budget := t.step(&t.root, t.cfg.Budget, t.cfg.Endpoints, endpoint, false, learn, &d, -1)
	segment := 0
	for rest := strings.TrimPrefix(path, "/"); n != nil; segment++ {
		part, tail, more := strings.Cut(rest, "/")
		placeholder := part == "" || t.cfg.Placeholder(part)
		n, budget = t.step(n, budget, t.cfg.Words, maphash.String(t.seed, part), placeholder, learn, &d, segment)
		if !more || d.cut >= 0 {
			break
		}
		rest = tail
	}
	return d
}

// step goes from n to its child, and notes what becomes of the segment. It returns nil where nothing is below.
func (t *Tree) step(n *node, budget, words int, hash uint64, placeholder, learn bool, d *Decision, segment int) (*node, int) {
	t.settle(n, budget, words)
	if n.cut {
		d.cut = max(segment, 0)
		return nil, 0
	}
	i, known := slices.BinarySearchFunc(n.kids, hash, func(k kid, h uint64) int {
		switch {
		case k.hash < h:
			return -1
		case k.hash > h:
			return 1
		}
		return 0
	})
	if !known && learn && (placeholder || n.any == nil) {
		n.kids = slices.Insert(n.kids, i, kid{hash: hash, placeholder: placeholder, node: &node{}})
		t.nodes++
		if !placeholder {
			n.words++
		}
		known = true
		t.settle(n, budget, words) // which may be too many now
		if n.any != nil && !placeholder {
			known = false
		}
	}
	var next *node
	switch {
	case known:
		next = n.kids[i].node
	case placeholder:
		return nil, 0 // never shown
	case n.any != nil:
		next = n.any
		fallthrough
	default:
		if segment >= 0 && segment < 64 {
			d.names |= 1 << segment
		}
	}
	return next, t.share(n, budget, words)
}

// settle makes of n what its budget allows.
func (t *Tree) settle(n *node, budget, words int) {
	switch {
	case n.cut:
	case budget <= maxPlaceholders+1:
		t.nodes -= below(n)
		*n = node{cut: true}
	case n.any == nil && n.words > min(words, budget-1-maxPlaceholders):
		var all node
		kept := n.kids[:0]
		for _, k := range n.kids {
			if k.placeholder {
				kept = append(kept, k)
				continue
			}
			t.merge(&all, k.node)
			t.nodes--
		}
		clear(n.kids[len(kept):])
		n.kids, n.words, n.any = slices.Clip(slices.Clone(kept)), 0, &all
		t.nodes++
	}
}

// share returns the budget of each child of n.
func (t *Tree) share(n *node, budget, words int) int {
	children := max(1, len(n.kids))
	if n.any != nil {
		children = words + maxPlaceholders
	}
	return (budget - 1) / children
}

// merge adds what is below from to what is below into, and takes from apart.
func (t *Tree) merge(into, from *node) {
	switch {
	case into.cut:
		t.nodes -= below(from)
		return
	case from.cut:
		t.nodes -= below(into)
		*into = *from
		return
	}
	for _, k := range from.kids {
		if into.any != nil && !k.placeholder {
			t.merge(into.any, k.node)
			t.nodes--
			continue
		}
		i, known := slices.BinarySearchFunc(into.kids, k.hash, func(k kid, h uint64) int {
			switch {
			case k.hash < h:
				return -1
			case k.hash > h:
				return 1
			}
			return 0
		})
		if known {
			t.merge(into.kids[i].node, k.node)
			t.nodes--
			continue
		}
		into.kids = slices.Insert(into.kids, i, k)
		if !k.placeholder {
			into.words++
		}
	}
	if from.any == nil {
		return
	}
	if into.any == nil {
		// Every word goes below `any` now.
		into.any = from.any
		kept := into.kids[:0]
		for _, k := range into.kids {
			if k.placeholder {
				kept = append(kept, k)
				continue
			}
			t.merge(into.any, k.node)
			t.nodes--
		}
		clear(into.kids[len(kept):])
		into.kids, into.words = kept, 0
		return
	}
	t.merge(into.any, from.any)
	t.nodes--
}

// below counts the nodes below n.
func below(n *node) int {
	sum := 0
	for _, k := range n.kids {
		sum += 1 + below(k.node)
	}
	if n.any != nil {
		sum += 1 + below(n.any)
	}
	return sum
}

// prune settles every node and returns how many are left below n.
func (t *Tree) prune(n *node, budget, words int) int {
	t.settle(n, budget, words)
	share := t.share(n, budget, words)
	sum := 0
	for _, k := range n.kids {
		sum += 1 + t.prune(k.node, share, t.cfg.Words)
	}
	if n.any != nil {
		sum += 1 + t.prune(n.any, share, t.cfg.Words)
	}
	return sum
}

// Apply writes the decision into a path of as many segments as the one decided on.
func (d Decision) Apply(path string, placeholder func(string) bool) string {
	if !d.Changes() {
		return path
	}
	var b strings.Builder
	b.Grow(len(path))
	rest := strings.TrimPrefix(path, "/")
	for i := 0; ; i++ {
		b.WriteByte('/')
		if d.cut == i {
			b.WriteString(Rest)
			break
		}
		part, tail, more := strings.Cut(rest, "/")
		if i < 64 && d.names&(1<<i) != 0 && part != "" && !placeholder(part) {
			part = Name
		}
		b.WriteString(part)
		if !more {
			break
		}
		rest = tail
	}
	return b.String()
}
