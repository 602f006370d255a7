// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// securityCommands are the rows of docs/security.md that verify a claim in the source: the command, and whether it needs root.
func securityCommands(t *testing.T) (commands map[string]bool) {
	t.Helper()
	text, err := os.ReadFile("../../docs/security.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(text), "\n### In the source\n")
	require.True(t, ok)
	commands = map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| .* \\| `(go test .*)`( \\(root\\))? \\|$").FindAllStringSubmatch(section, -1) {
		commands[strings.ReplaceAll(m[1], `\|`, "|")] = m[2] != ""
	}
	require.Len(t, commands, strings.Count(section, "\n|")-2, "every row but the head has a command, each another")
	return commands
}

// TestSecurityCommands runs what docs/security.md gives to verify a claim in the source. What needs root runs in `make test` with the rest
// of its package, and not here again: here its pattern must match tests. TestSecurityPage in tests/e2e runs the commands for an installation.
func TestSecurityCommands(t *testing.T) {
	tests := map[string][]string{} // by package
	for command, privileged := range securityCommands(t) {
		t.Run(command, func(t *testing.T) {
			if privileged {
				pkg := command[strings.LastIndexByte(command, ' ')+1:]
				if tests[pkg] == nil {
					tests[pkg] = regexp.MustCompile(`(?m)^Test\w*$`).FindAllString(shell(t, "go test -list . "+pkg), -1)
				}
				pattern := regexp.MustCompile("")
				if m := regexp.MustCompile(`-run (\w+)`).FindStringSubmatch(command); m != nil {
					pattern = regexp.MustCompile(m[1])
				}
				require.True(t, slices.ContainsFunc(tests[pkg], pattern.MatchString), "no test of this name")
				return
			}
			out := shell(t, command)
			require.Contains(t, out, "--- PASS: Test", "no test of this name")
			require.NotContains(t, out, "--- SKIP")
			require.NotContains(t, out, "no tests to run", "in one of the packages")
		})
	}
}

func shell(t *testing.T, command string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", command)
	cmd.Dir = "../.."
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", command, out)
	return string(out)
}
