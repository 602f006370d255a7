// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/client"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore/filter"
)

// capability is one thing that a caller may do. The vocabulary is closed, and each stands at the routes that it opens.
type capability string

const (
	readMetadata  capability = "metadata:read"
	readPayload   capability = "payload:read"       // links that the page shows payloads by
	exportPayload capability = "payload:export_raw" // links to take payloads away unredacted
	readAudit     capability = "audit:read"
	readRetention capability = "retention:read"
	eraseData     capability = "data:erase" // rows, and payloads in the bucket
)

var capabilities = []capability{readMetadata, readPayload, exportPayload, readAudit, readRetention, eraseData}

// builtInRoles are there without configuration.
var builtInRoles = map[string][]string{
	"viewer":       {string(readMetadata)},
	"investigator": {string(readMetadata), string(readPayload)},
	"auditor":      {string(readAudit)},
	"admin":        {string(readMetadata), string(readPayload), string(exportPayload), string(readAudit), string(readRetention), string(eraseData)},
}

// AccessConfig says who may do what. Without it, whoever the authenticator lets in may do everything.
type AccessConfig struct {
	// Roles are sets of capabilities, each with an optional filter: "payload:read where service=shop". They come beside
	// the built-in viewer, investigator, auditor and admin.
	Roles map[string][]string `mapstructure:"roles"`
	// Grants give roles to callers. Whoever has no grant may do nothing.
	Grants []GrantConfig `mapstructure:"grants"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// GrantConfig gives roles to the callers whose attribute has a value.
type GrantConfig struct {
	// Attribute is one that the authenticator knows of a caller, such as subject or membership. Empty: every caller.
	Attribute string   `mapstructure:"attribute"`
	Value     string   `mapstructure:"value"`
	Roles     []string `mapstructure:"roles"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// permissions are what someone may do, and with which rows: those that one of the filters matches. A nil filter
// matches all.
type permissions map[capability][]*filter.Expr

// everything is what a caller may do where no access is configured.
func everything() permissions {
	p := permissions{}
	for _, c := range capabilities {
		p[c] = []*filter.Expr{nil}
	}
	return p
}

// scope narrows the rows of base to those that a capability is for.
func (p permissions) scope(base pulsestore.Scope, c capability) (pulsestore.Scope, bool) {
	bounds, ok := p[c]
	if !ok {
		return pulsestore.Scope{}, false
	}
	return base.Where(filter.Or(bounds...)), true
}

func (p permissions) add(q permissions) {
	for c, bounds := range q {
		p[c] = append(p[c], bounds...)
	}
}

// parsePermission reads "capability" or "capability where filter".
func parsePermission(text string) (capability, *filter.Expr, error) {
	name, where, bound := strings.Cut(text, " where ")
	c := capability(strings.TrimSpace(name))
	if !slices.Contains(capabilities, c) {
		return "", nil, fmt.Errorf("%q is not a capability: it is one of %s, and a filter may follow, as in %q", text, joinCapabilities(), "payload:read where service=shop")
	}
	if !bound {
		return c, nil, nil
	}
	if c == readAudit || c == readRetention || c == eraseData {
		return "", nil, fmt.Errorf("%q: %s takes no filter", text, c)
	}
	e, err := filter.Parse(where, pulsestore.FieldsOf(pulsestore.OfRequests))
	if err != nil {
		return "", nil, fmt.Errorf("%q: %w", text, err)
	}
	if e == nil {
		return "", nil, fmt.Errorf("%q: the filter is empty", text)
	}
	return c, e, nil
}

func joinCapabilities() string {
	names := make([]string, len(capabilities))
	for i, c := range capabilities {
		names[i] = string(c)
	}
	return strings.Join(names, ", ")
}

// access decides what a caller may do.
type access struct {
	open   bool // no access is configured
	grants []grant
}

type grant struct {
	attribute, value string
	permissions      permissions
}

// newAccess compiles the configuration; it reports all that is wrong with it.
func newAccess(c *AccessConfig) (*access, error) {
	if c == nil {
		return &access{open: true}, nil
	}
	var errs []error
	roles := map[string]permissions{}
	compile := func(name string, list []string) {
		p := permissions{}
		for _, text := range list {
			capability, e, err := parsePermission(text)
			if err != nil {
				errs = append(errs, fmt.Errorf("`access::roles::%s`: %w", name, err))
				continue
			}
			p[capability] = append(p[capability], e)
		}
		roles[name] = p
	}
	for name, list := range builtInRoles {
		compile(name, list)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Roles)) {
		if _, taken := builtInRoles[name]; taken {
			errs = append(errs, fmt.Errorf("`access::roles::%s` is a built-in role: choose another name", name))
			continue
		}
		compile(name, c.Roles[name])
	}
	a := &access{}
	if len(c.Grants) == 0 {
		errs = append(errs, errors.New("`access::grants` is empty: nobody could do anything"))
	}
	for i, g := range c.Grants {
		if (g.Attribute == "") != (g.Value == "") {
			errs = append(errs, fmt.Errorf("`access::grants` %d needs both `attribute` and `value`, or neither for every caller", i+1))
		}
		if len(g.Roles) == 0 {
			errs = append(errs, fmt.Errorf("`access::grants` %d gives no `roles`", i+1))
		}
		p := permissions{}
		for _, name := range g.Roles {
			role, ok := roles[name]
			if !ok {
				errs = append(errs, fmt.Errorf("`access::grants` %d: there is no role %q: it is one of %s", i+1, name, strings.Join(slices.Sorted(maps.Keys(roles)), ", ")))
			}
			p.add(role)
		}
		a.grants = append(a.grants, grant{g.Attribute, g.Value, p})
	}
	return a, errors.Join(errs...)
}

// of returns what the caller of an authenticated context may do.
func (a *access) of(ctx context.Context) permissions {
	if a.open {
		return everything()
	}
	p := permissions{}
	auth := client.FromContext(ctx).Auth
	for _, g := range a.grants {
		if g.attribute == "" || auth != nil && slices.Contains(attributeValues(auth.GetAttribute(g.attribute)), g.value) {
			p.add(g.permissions)
		}
	}
	return p
}

// attributeValues returns what an authenticator knows as one or several texts.
func attributeValues(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []string:
		return v
	case []any:
		var out []string
		for _, one := range v {
			if s, ok := one.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

type permissionJSON struct {
	Capability string `json:"capability"`
	Where      string `json:"where,omitempty"`
}

// list returns the permissions as people read them.
func (p permissions) list() []permissionJSON {
	out := []permissionJSON{}
	for _, c := range capabilities {
		if bounds, ok := p[c]; ok {
			out = append(out, permissionJSON{string(c), filter.Or(bounds...).String()})
		}
	}
	return out
}
