// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Image is a kernel to boot.
type Image struct{ Path, Release string }

// Fetch gets the newest kernel of each line, from the cache when it is fresh. It runs in the root of the tree.
func Fetch(ctx context.Context, wanted []Machine) (map[string]Image, error) {
	var lines []string
	for _, m := range wanted {
		lines = append(lines, m.Line)
	}
	cmd := exec.CommandContext(ctx, "scripts/fetch-kernels.sh", lines...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("fetch kernels: %w", err)
	}
	images := map[string]Image{}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 3 {
			images[f[0]] = Image{Path: f[1], Release: f[2]}
		}
	}
	return images, nil
}
