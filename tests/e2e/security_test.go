// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// TestSecurityPage runs the commands that docs/security.md gives to verify an installation, as they stand there, beside the demo with the ports and
// folders that it has by itself.
func TestSecurityPage(t *testing.T) {
	if inOwnNamespace(t, *canaries) {
		return
	}
	text, err := os.ReadFile(filepath.Join(root, "docs/security.md"))
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(text), "\n### On your installation\n")
	require.True(t, ok)
	section, _, _ = strings.Cut(section, "\n### ")
	commands := regexp.MustCompile("(?m)^\\| (.*) \\| `(.*)` \\|$").FindAllStringSubmatch(section, -1)
	require.Greater(t, len(commands), 8)
	require.Len(t, commands, strings.Count(section, "\n|")-2, "every row but the head has a command")

	dir, err := os.MkdirTemp("/tmp", "qpoint-security-") // a folder of the test may not be reachable for others
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "bin"), 0o755))
	require.NoError(t, os.Symlink(binary(t), filepath.Join(dir, "bin", "otelcol-qpoint")))
	t.Setenv("PATH", filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	c := &collector{cgroup: newCgroup(t), data: "./data"}
	t.Chdir(dir)
	c.begin(t, []string{"--config", filepath.Join(root, "distributions/otelcol-qpoint/configs/demo.yaml"), "--config", "yaml:receivers::qtap::cgroup: " + c.cgroup.path})
	c.ready(t)
	for _, m := range commands {
		t.Run(m[1], func(t *testing.T) {
			command := strings.ReplaceAll(m[2], `\|`, "|")
			require.EventuallyWithT(t, func(col *assert.CollectT) { // on a busy machine things take longer than a page can say
				out, err := c.cgroup.command(t.Context(), "bash", "-c", command).CombinedOutput()
				require.NoError(col, err, "%s\n%s", command, out)
			}, testkit.Patience, time.Second)
		})
	}
	// Commands that ask for nothing to be found can fail: here is what they would find.
	t.Run("the commands can fail", func(t *testing.T) {
		for file, add := range map[string]string{
			"rows.json": "8f14e45fceea167a5a36dedd4bea2543", "metrics.txt": `otelcol_processor_anonymize_removed_records{event="qpoint.payload"} 1`,
		} {
			for _, m := range commands {
				_, check, ok := strings.Cut(m[2], ">"+file+"; ")
				if !ok {
					continue
				}
				require.NoError(t, c.cgroup.command(t.Context(), "bash", "-c", check).Run())
				f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
				require.NoError(t, err)
				_, err = fmt.Fprintln(f, add)
				require.NoError(t, err)
				require.NoError(t, f.Close())
				require.Error(t, c.cgroup.command(t.Context(), "bash", "-c", check).Run(), check)
			}
		}
	})
	require.Zero(t, c.stop().ExitCode())
}
