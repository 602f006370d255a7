// SPDX-License-Identifier: Apache-2.0

//go:build linux

package chdb

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// pool lends connections, opening them as needed up to its size. Who finds none waits.
type pool struct {
	open  func() (*Conn, error)
	slots chan struct{}

	mu   sync.Mutex
	idle []*Conn
}

func newPool(size int, open func() (*Conn, error)) *pool {
	return &pool{open: open, slots: make(chan struct{}, size)}
}

// get lends a connection until put.
func (p *pool) get(ctx context.Context) (*Conn, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	c, err := p.open()
	if err != nil {
		<-p.slots
		return nil, err
	}
	return c, nil
}

func (p *pool) put(c *Conn) {
	p.mu.Lock()
	p.idle = append(p.idle, c)
	p.mu.Unlock()
	<-p.slots
}

// drop closes a connection whose state is not known any more.
func (p *pool) drop(c *Conn) {
	c.Close()
	<-p.slots
}

// close closes the idle connections; the caller has made sure that none is lent.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.Close()
	}
	p.idle = nil
}

// apply makes the session have exactly the given database and settings: connections are shared
// by requests that each bring their own, and a connection of libchdb keeps what was set last.
func (c *Conn) apply(database string, settings map[string]string) error {
	if database == "" {
		database = "default"
	}
	if database != c.database {
		if err := c.Exec("USE " + quoteIdentifier(database)); err != nil {
			return err
		}
		c.database = database
	}
	var changes []string
	for name, value := range settings {
		if old, ok := c.settings[name]; !ok || old != value {
			changes = append(changes, name+" = "+quoteString(value))
		}
	}
	for name := range c.settings {
		if _, ok := settings[name]; !ok {
			changes = append(changes, name+" = DEFAULT")
		}
	}
	if len(changes) == 0 {
		return nil
	}
	slices.Sort(changes)
	if err := c.Exec("SET " + strings.Join(changes, ", ")); err != nil {
		return err
	}
	c.settings = settings
	return nil
}

var (
	stringEscapes     = strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	identifierEscapes = strings.NewReplacer(`\`, `\\`, "`", "\\`")
)

func quoteString(s string) string     { return "'" + stringEscapes.Replace(s) + "'" }
func quoteIdentifier(s string) string { return "`" + identifierEscapes.Replace(s) + "`" }
