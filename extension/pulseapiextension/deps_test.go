// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDependencies proves that the process part that answers queries cannot read a payload: it
// links neither an S3 client nor the code that knows what is inside an object.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "github.com/aws/aws-sdk-go-v2/aws/signer/v4\n", "the list is real")
	for _, forbidden := range []string{
		"github.com/qpoint-io/otelcol-qpoint/internal/archive",
		"github.com/qpoint-io/otelcol-qpoint/internal/objectstore",
		"github.com/aws/aws-sdk-go-v2/service/",
		"github.com/versity/",
		"github.com/ebitengine/purego",
	} {
		for line := range strings.Lines(string(out)) {
			line = strings.TrimSpace(line)
			if line == "github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings" {
				continue // types only
			}
			require.False(t, strings.HasPrefix(line, forbidden), "%s is linked", line)
		}
	}
}
