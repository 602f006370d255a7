// SPDX-License-Identifier: Apache-2.0

package localclickhouseextension

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	libraryName = "libchdb.so"
	// libraryVersion is the version that scripts/fetch-chdb.sh fetches.
	libraryVersion = "26.7.3-stable.1"
	// libraryEnv names the library when the `library` setting does not.
	libraryEnv = "QPOINT_CHDB_LIB"
)

// findLibrary returns the absolute path of libchdb: the setting, else the environment, else the
// first library path that has it. What is named explicitly is never silently replaced.
func findLibrary(setting string) (string, error) {
	for _, named := range []struct{ by, path string }{{"`library`", setting}, {"$" + libraryEnv, os.Getenv(libraryEnv)}} {
		if named.path == "" {
			continue
		}
		if !isFile(named.path) {
			return "", fmt.Errorf("%s names %s, which is not a file: fetch libchdb with `make chdb` and name its path", named.by, named.path)
		}
		return filepath.Abs(named.path)
	}
	paths := libraryPaths()
	for _, path := range paths {
		if isFile(path) {
			return filepath.Abs(path)
		}
	}
	return "", fmt.Errorf("libchdb (the embedded ClickHouse) was not found in %s: run `make chdb` to fetch it, "+
		"or name its path in `library`, or in $%s", strings.Join(paths, ", "), libraryEnv)
}

func libraryPaths() []string {
	var paths []string
	if cache, err := os.UserCacheDir(); err == nil {
		paths = append(paths, filepath.Join(cache, "otelcol-qpoint", "chdb", libraryVersion, libraryName))
	}
	return append(paths, "/usr/local/lib/"+libraryName, "/usr/lib/"+libraryName)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
