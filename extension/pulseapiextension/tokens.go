// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"cmp"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"

	"github.com/qpoint-io/otelcol-qpoint/internal/identity"
)

// tokenIssuer is an extension of this collector that knows who may write.
type tokenIssuer struct {
	id     string
	tokens identity.Tokens
}

// tokenIssuers finds all of them. They are asked when somebody looks, so that it does not matter which extension starts first.
func tokenIssuers(host component.Host) []tokenIssuer {
	var out []tokenIssuer
	for id, e := range host.GetExtensions() {
		if t, ok := e.(identity.Tokens); ok {
			out = append(out, tokenIssuer{id.String(), t})
		}
	}
	slices.SortFunc(out, func(a, b tokenIssuer) int { return strings.Compare(a.id, b.id) })
	return out
}

type tokenJSON struct {
	Extension   string `json:"extension"`
	Environment string `json:"environment"`
	Name        string `json:"name"`
	Created     string `json:"created_at,omitempty"`
	LastUsed    string `json:"last_used_at,omitempty"`
	Expires     string `json:"expires_at,omitempty"`
	Active      bool   `json:"active"`
}

type tokensAnswer struct {
	Extensions []string    `json:"extensions"`
	Tokens     []tokenJSON `json:"tokens"`
}

// getTokens says who may write to which environment. There is nothing in it that lets anybody in.
func (a *api) getTokens(*question) (any, error) {
	answer := tokensAnswer{Extensions: []string{}, Tokens: []tokenJSON{}}
	now := a.now()
	for _, issuer := range a.issuers {
		answer.Extensions = append(answer.Extensions, issuer.id)
		for _, t := range issuer.tokens.Tokens() {
			if a.environment != "" && t.Environment != a.environment {
				continue
			}
			v := tokenJSON{Extension: issuer.id, Environment: t.Environment, Name: t.Name, Active: t.NotAfter.IsZero() || !now.After(t.NotAfter)}
			if !t.Created.IsZero() {
				v.Created = timeText(t.Created)
			}
			if !t.LastUsed.IsZero() {
				v.LastUsed = timeText(t.LastUsed)
			}
			if !t.NotAfter.IsZero() {
				v.Expires = timeText(t.NotAfter)
			}
			answer.Tokens = append(answer.Tokens, v)
		}
	}
	slices.SortFunc(answer.Tokens, func(x, y tokenJSON) int {
		return cmp.Or(strings.Compare(x.Environment, y.Environment), strings.Compare(x.Name, y.Name), strings.Compare(x.Extension, y.Extension))
	})
	return answer, nil
}
