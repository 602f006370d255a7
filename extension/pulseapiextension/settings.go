// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"github.com/qpoint-io/otelcol-qpoint/internal/privacy"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore/filter"
)

type configAnswer struct {
	Environment string        `json:"environment"`
	Auth        string        `json:"auth"` // local_token | authenticator
	Limits      limitsAnswer  `json:"limits"`
	Payload     *payloadPlace `json:"payload"`
	// Policies are those that `anonymize` runs with in this process.
	Policies []privacy.Policy `json:"policies"`
}

type limitsAnswer struct {
	DefaultLimit   int   `json:"default_limit"`
	MaxLimit       int   `json:"max_limit"`
	DefaultRange   int64 `json:"default_range_ns"`
	ReceiptTimeout int64 `json:"receipt_timeout_ns"`
	LinkLifetime   int64 `json:"link_lifetime_ns"`
	QueryTimeout   int64 `json:"query_timeout_ns"`
	MaxExport      int   `json:"max_export"`
}

type payloadPlace struct {
	Origin string `json:"origin"`
	Bucket string `json:"bucket"`
	Prefix string `json:"prefix"`
	// SignedBy is pulse, or browser where Pulse has no credentials for the bucket.
	SignedBy string `json:"signed_by"`
}

func (a *api) getConfig(q *question) (any, error) {
	c := configAnswer{Policies: a.policies(q.may), Environment: a.environment, Auth: "authenticator", Limits: limitsAnswer{
		DefaultLimit: defaultLimit, MaxLimit: maxLimit, DefaultRange: int64(defaultRange),
		ReceiptTimeout: int64(receiptTimeout), LinkLifetime: int64(linkLifetime),
		QueryTimeout: int64(a.timeout), MaxExport: maxExport,
	}}
	if a.auth.local {
		c.Auth = "local_token"
	}
	if a.signer != nil {
		c.Payload = &payloadPlace{Origin: a.signer.origin(), Bucket: a.signer.bucket(), Prefix: a.signer.prefix, SignedBy: "pulse"}
		if a.signer.byBrowser {
			c.Payload.SignedBy = "browser"
		}
	}
	return c, nil
}

// policies returns what `anonymize` does, as far as a caller may know: the names of environments and zones are for
// those only who see every row.
func (a *api) policies(may permissions) []privacy.Policy {
	bounds, ok := may[readMetadata]
	all := ok && filter.Or(bounds...) == nil
	list := []privacy.Policy{}
	for _, p := range privacy.Policies() {
		if a.environment != "" && p.Environment != "" && p.Environment != a.environment {
			continue
		}
		if !all {
			p.Environment, p.Domains = "", []privacy.Domain{}
		}
		list = append(list, p)
	}
	return list
}

type meAnswer struct {
	Who          string           `json:"who"`
	Environment  string           `json:"environment"`
	Capabilities []permissionJSON `json:"capabilities"`
}

// getMe says what the caller may do.
func (a *api) getMe(q *question) (any, error) {
	return meAnswer{Who: q.caller, Environment: a.environment, Capabilities: q.may.list()}, nil
}
