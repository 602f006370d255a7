// SPDX-License-Identifier: Apache-2.0

package semantic

// MaxEnvironment is the longest name of an environment, in bytes: one DNS label.
const MaxEnvironment = 63

// DefaultEnvironment is that of a configuration that names none.
const DefaultEnvironment = "default"

// ValidEnvironment reports whether s can be a value of Environment: 1 to MaxEnvironment of a-z,
// 0-9 and '-'. What `anonymize` cannot stamp, `pulse_api` need not look for.
func ValidEnvironment(s string) bool {
	if s == "" || len(s) > MaxEnvironment {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
