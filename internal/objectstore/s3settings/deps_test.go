// SPDX-License-Identifier: Apache-2.0

package s3settings_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestLinksNoClient: pulse_api imports this package, and must never be able to read an object.
func TestLinksNoClient(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range strings.Fields(string(out)) {
		if strings.Contains(dep, "aws-sdk-go") || strings.Contains(dep, "versitygw") || strings.HasSuffix(dep, "/internal/archive") {
			t.Errorf("links %s", dep)
		}
	}
}
