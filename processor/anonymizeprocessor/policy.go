// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// policyVersion names the rules of this package and of internal/detect. Raise it with every
// change of what they keep, so that the stamp on stored data says which rules it passed.
const policyVersion = "1"

// policyHash returns the stamp of a policy: 16 hex digits of the SHA-256 of a canonical
// description of the rules' version, the allow-list and the configuration.
func policyHash(cfg *Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version=%s\nenvironment=%s\n", policyVersion, cfg.environment())
	keys := semantic.Keys()
	slices.Sort(keys)
	for _, k := range keys {
		fmt.Fprintf(&b, "%s=%d\n", k, semantic.ClassOf(k))
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:8])
}
