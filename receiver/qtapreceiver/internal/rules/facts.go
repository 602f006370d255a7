// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"strings"

	"github.com/expr-lang/expr/ast"
)

// Facts are groups of fields that become known together.
type Facts uint8

const (
	// FactDirection is which end opened the connection, and so which of its addresses is the server's.
	FactDirection Facts = 1 << iota
	// FactAddresses is both addresses of the connection.
	FactAddresses
	// FactProcess is the process and what it belongs to.
	FactProcess
	// FactPod is the names of the process's pod. They may stay unknown, see process.Info.PodUnknown.
	FactPod
	// FactServerName is the name that the client asked for in the connection's first TLS handshake.
	FactServerName
	// FactLate is what is known of the connection changes with its requests.
	FactLate
	// FactExchange is a request and its response.
	FactExchange

	// AllFacts are all of them.
	AllFacts = FactExchange<<1 - 1
)

// facts of every field, by its path; a path stands for what is below it.
var facts = map[string]Facts{
	"direction": FactDirection,
	"process":   FactProcess, "service": FactProcess, "container": FactProcess, "k8s.pod.uid": FactProcess,
	"k8s.pod.name": FactPod, "k8s.namespace": FactPod,
	"server.address": FactLate, "server.port": FactDirection | FactAddresses, "client": FactDirection | FactAddresses,
	"network.local": FactAddresses, "network.peer": FactAddresses, "network.protocol": FactLate,
	"tls.client.server_name": FactServerName, "tls.established": FactLate,
	"http": FactExchange, "url": FactExchange,
}

// factsOf returns what must be known for the field at path, or for all fields below it.
func factsOf(path string) Facts {
	var f Facts
	for p, x := range facts {
		if p == path || strings.HasPrefix(path, p+".") || strings.HasPrefix(p, path+".") {
			f |= x
		}
	}
	if f == 0 {
		return AllFacts // $env, and whatever else
	}
	return f
}

// scan finds what an expression looks at, and whether it may fail.
type scan struct {
	used map[*ast.IdentifierNode]string // the longest path from each name on
	may  bool                           // fail
}

func scanNode(n ast.Node) (Facts, bool) {
	s := scan{used: map[*ast.IdentifierNode]string{}}
	ast.Walk(&n, &s)
	var f Facts
	for _, path := range s.used {
		f |= factsOf(path)
	}
	return f, !s.may
}

// Visit implements ast.Visitor. What is within a node was visited before it.
func (s *scan) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		s.used[n] = n.Value
	case *ast.MemberNode:
		if id, path := fieldPath(n); id != nil {
			s.used[id] = path
		} else {
			s.may = true
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "==", "!=", "<", ">", "<=", ">=", "and", "&&", "or", "||", "contains", "startsWith", "endsWith":
		case "in":
			_, array := n.Right.(*ast.ArrayNode)
			s.may = s.may || !array
		case "matches":
			_, constant := n.Right.(*ast.StringNode) // it is compiled with the rule
			s.may = s.may || !constant
		default:
			s.may = true
		}
	case *ast.CallNode:
		id, ok := n.Callee.(*ast.IdentifierNode)
		if ok && (id.Value == "like" || id.Value == "cidr") {
			delete(s.used, id)
		} else {
			s.may = true
		}
	case *ast.UnaryNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode, *ast.ArrayNode:
	default:
		s.may = true
	}
}

// fieldPath returns the path of a.b.c and the name it begins with; nil for anything but constant names.
func fieldPath(n *ast.MemberNode) (*ast.IdentifierNode, string) {
	name, ok := n.Property.(*ast.StringNode)
	if !ok {
		return nil, ""
	}
	switch of := n.Node.(type) {
	case *ast.IdentifierNode:
		return of, of.Value + "." + name.Value
	case *ast.MemberNode:
		id, path := fieldPath(of)
		return id, path + "." + name.Value
	}
	return nil, ""
}
