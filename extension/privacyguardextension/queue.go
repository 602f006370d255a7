// SPDX-License-Identifier: Apache-2.0

package privacyguardextension

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
)

const (
	typeFileStorage = "file_storage"
	// defaultQueueFolder is where `file_storage` writes when it is not told.
	defaultQueueFolder = "/var/lib/otelcol/file_storage"
)

// queues are the folders in which payloads wait on disk.
type queues map[string]component.ID

// payloadQueues finds where the queues of `qpoint_s3` are. A queue anywhere but in files of this host is a way out for payloads.
func payloadQueues(conf *confmap.Conf) (queues, error) {
	type sender struct {
		Queue struct {
			Storage *component.ID `mapstructure:"storage"`
		} `mapstructure:"sending_queue"`
	}
	var raw struct {
		Exporters  map[component.ID]map[string]any `mapstructure:"exporters"`
		Connectors map[component.ID]map[string]any `mapstructure:"connectors"`
		Extensions map[component.ID]map[string]any `mapstructure:"extensions"`
	}
	if err := conf.Unmarshal(&raw, confmap.WithIgnoreUnused()); err != nil {
		return nil, err
	}
	found := queues{}
	var errs []error
	for _, senders := range []map[component.ID]map[string]any{raw.Exporters, raw.Connectors} {
		for id, settings := range senders {
			if id.Type().String() != typeObjects {
				continue
			}
			var s sender
			if err := confmap.NewFromStringMap(settings).Unmarshal(&s, confmap.WithIgnoreUnused()); err != nil {
				return nil, err
			}
			storage := s.Queue.Storage
			switch {
			case storage == nil:
			case storage.Type().String() != typeFileStorage:
				errs = append(errs, fmt.Errorf("payloads of `%s` would wait in `%s`: `sending_queue::storage` must be a `%s`, whose files stay on this host", id, storage, typeFileStorage))
			default:
				folder, ok := raw.Extensions[*storage]["directory"].(string)
				if !ok || folder == "" {
					folder = defaultQueueFolder
				}
				found[folder] = *storage
				// Compaction writes the queue anew, elsewhere.
				if c, ok := raw.Extensions[*storage]["compaction"].(map[string]any); ok && (c["on_start"] == true || c["on_rebound"] == true) {
					if folder, ok := c["directory"].(string); ok && folder != "" {
						found[folder] = *storage
					}
				}
			}
		}
	}
	return found, errors.Join(errs...)
}

// protect sees to it that nobody else on the host reads the queues: a folder of mode 0700, files of 0600. A folder
// that has nothing but queues is mended; another one may serve others, and is for its owner to change.
func (q queues) protect(mended func(folder string)) error {
	var errs []error
	for folder, id := range q {
		changed, err := protectFolder(folder)
		if err != nil {
			errs = append(errs, fmt.Errorf("payloads wait in `%s::directory` %q: %w", id, folder, err))
		} else if changed {
			mended(folder)
		}
	}
	return errors.Join(errs...)
}

func protectFolder(folder string) (changed bool, err error) {
	info, err := os.Stat(folder)
	if err != nil {
		return false, err
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		return false, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		for _, f := range files {
			if !f.Type().IsRegular() || !queueFile(f.Name()) {
				return false, fmt.Errorf("its mode %04o lets others in, and it has more than queues (such as %q): give `directory` a folder of its own, with mode 0700", info.Mode().Perm(), f.Name())
			}
		}
		if err := os.Chmod(folder, 0o700); err != nil {
			return false, fmt.Errorf("its mode %04o lets others in: `chmod 0700` it, and set `directory_permissions: \"0700\"` (%w)", info.Mode().Perm(), err)
		}
		changed = true
	}
	for _, f := range files {
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && (!info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0) {
			continue
		}
		if err == nil {
			err = os.Chmod(filepath.Join(folder, f.Name()), 0o600)
		}
		if err != nil {
			return false, fmt.Errorf("others may read %q: `chmod 0600` it (%w)", f.Name(), err)
		}
		changed = true
	}
	return changed, nil
}

// queueFile says whether `file_storage` names its files so.
func queueFile(name string) bool {
	for _, kind := range []string{"exporter_", "connector_", "processor_", "receiver_", "extension_", "tempdb"} {
		if strings.HasPrefix(name, kind) {
			return true
		}
	}
	return false
}
