// SPDX-License-Identifier: Apache-2.0

package locals3extension

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.opentelemetry.io/collector/config/configopaque"
)

// Files of the data folder, beside the bucket.
const (
	credentialsFile = "credentials"
	lockFile        = "lock"
)

// The file has the form of the AWS shared credentials file, so that AWS tools can read it.
const (
	accessKeyField = "aws_access_key_id"
	secretKeyField = "aws_secret_access_key"
)

type keyPair struct{ access, secret configopaque.String }

// loadCredentials reads the key pair of the folder, or makes one.
func loadCredentials(dir string) (keyPair, error) {
	path := filepath.Join(dir, credentialsFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeCredentials(path)
	}
	if err != nil {
		return keyPair{}, fmt.Errorf("`data_dir`: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return keyPair{}, fmt.Errorf("`data_dir`: %w", err)
	}
	var k keyPair
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, "=")
		switch strings.TrimSpace(name) {
		case accessKeyField:
			k.access = configopaque.String(strings.TrimSpace(value))
		case secretKeyField:
			k.secret = configopaque.String(strings.TrimSpace(value))
		}
	}
	if k.access == "" || k.secret == "" {
		return keyPair{}, fmt.Errorf("%s does not hold %s and %s: delete it to have new ones made", path, accessKeyField, secretKeyField)
	}
	return k, nil
}

func makeCredentials(path string) (keyPair, error) {
	k := keyPair{access: configopaque.String("QP" + rand.Text()[:18]), secret: configopaque.String(rand.Text() + rand.Text())}
	text := fmt.Sprintf("[default]\n%s = %s\n%s = %s\n", accessKeyField, string(k.access), secretKeyField, string(k.secret))
	// Renamed when whole: a crash leaves no half file. The folder is locked, so the name is ours.
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return keyPair{}, fmt.Errorf("`data_dir`: %w", err)
	}
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		return keyPair{}, fmt.Errorf("`data_dir`: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return keyPair{}, fmt.Errorf("`data_dir`: %w", err)
	}
	return k, nil
}
