// SPDX-License-Identifier: Apache-2.0

package testkit

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// CorpusFolder is the environment variable that names the folder in which Keep keeps what it is given.
const CorpusFolder = "QPOINT_CORPUS"

// Keep is called by fuzz targets with the bytes they were given. Where CorpusFolder is set, they are written there, so that the seeds of all
// parsers, those in files and those that targets make, can be put on a wire: each in a file <package's folder>.<target>.<hash>, as a JSON list.
func Keep(t testing.TB, given ...[]byte) {
	folder := os.Getenv(CorpusFolder)
	if folder == "" {
		return
	}
	t.Helper()
	text, err := json.Marshal(given)
	if err == nil {
		var in string
		in, err = os.Getwd() // go test starts a package's tests in its folder
		target, _, _ := strings.Cut(t.Name(), "/")
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, fmt.Sprintf("%s.%s.%x", filepath.Base(in), target, sha256.Sum256(text))), text, 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
