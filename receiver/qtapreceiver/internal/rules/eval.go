// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// outcome of an expression of which not all is known.
type outcome uint8

const (
	no outcome = iota
	yes
	unknown // it depends on what is not known
)

// condition is an expression taken apart at and, or and not. Its leaves are run only when all that they look at is
// known, so that an outcome but unknown is that of the whole expression, whatever becomes known later.
type condition struct {
	op          byte // '&', '|', '!' or 0: a leaf
	left, right *condition
	program     *vm.Program
	facts       Facts
	total       bool // it cannot fail
}

// newCondition takes an expression apart that is known to compile.
func newCondition(match string, options []expr.Option) (*condition, error) {
	tree, err := parser.Parse(match)
	if err != nil {
		return nil, err
	}
	return split(tree.Node, options)
}

func split(n ast.Node, options []expr.Option) (*condition, error) {
	var op byte
	var left, right ast.Node
	switch x := n.(type) {
	case *ast.UnaryNode:
		if x.Operator == "not" || x.Operator == "!" {
			op, left = '!', x.Node
		}
	case *ast.BinaryNode:
		switch x.Operator {
		case "and", "&&":
			op, left, right = '&', x.Left, x.Right
		case "or", "||":
			op, left, right = '|', x.Left, x.Right
		}
	}
	c := &condition{op: op, total: true}
	if op == 0 {
		var err error
		c.facts, c.total = scanNode(n)
		if c.program, err = expr.Compile(n.String(), options...); err != nil {
			return nil, fmt.Errorf("part %s: %w", n, err)
		}
		return c, nil
	}
	for _, side := range []struct {
		node ast.Node
		to   **condition
	}{{left, &c.left}, {right, &c.right}} {
		if side.node == nil {
			continue
		}
		part, err := split(side.node, options)
		if err != nil {
			return nil, err
		}
		*side.to = part
		c.facts |= part.facts
		c.total = c.total && part.total
	}
	return c, nil
}

// eval runs the condition in the order of its parts, as the whole expression would: a part that may fail hides what
// comes after it while its own outcome is unknown.
func (c *condition) eval(machine *vm.VM, env *Env, missing Facts) (outcome, error) {
	switch c.op {
	case 0:
		if c.facts&missing != 0 {
			return unknown, nil
		}
		out, err := machine.Run(c.program, env)
		if err != nil {
			return unknown, err
		}
		if out.(bool) {
			return yes, nil
		}
		return no, nil
	case '!':
		switch out, err := c.left.eval(machine, env, missing); out {
		case yes:
			return no, err
		case no:
			return yes, err
		default:
			return unknown, err
		}
	}
	decides := no // of and
	if c.op == '|' {
		decides = yes
	}
	left, err := c.left.eval(machine, env, missing)
	if err != nil || left == decides || left == unknown && !c.left.total {
		return left, err
	}
	right, err := c.right.eval(machine, env, missing)
	switch {
	case err == nil && right == decides:
		return right, nil
	case left == unknown:
		return unknown, nil // an error on the right may never be come to
	default:
		return right, err
	}
}
