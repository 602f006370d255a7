// SPDX-License-Identifier: Apache-2.0

// Package reload keeps what is made from a file current while the collector runs.
package reload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"
)

const (
	// every is how often the file is looked at. It is read rather than watched by inotify, which
	// does not see through the symbolic links of a mounted ConfigMap.
	every = time.Second
	// maxSize bounds what is read of it, in bytes.
	maxSize = 1 << 20
)

// File is one file and what is made of it. Load comes before Watch.
type File struct {
	// Key is the configuration key that names the file; it stands in every error.
	Key string
	// Path of the file, at most 1 MiB.
	Path string
	// Use puts a new content in the place of the old one, or returns an error and changes nothing.
	Use func(text []byte) error
	// Check looks at the open file before it is read; nil is no check.
	Check  func(os.FileInfo) error
	Logger *zap.Logger

	text  []byte // as it was used last
	wrong string // the error that was reported last
}

// Load reads and uses the file.
func (f *File) Load() error {
	text, err := f.read()
	if err != nil {
		return err
	}
	return f.use(text)
}

// Watch uses the file anew when it changes, until ctx ends. Whatever is wrong with the new content, what was
// made of the old one stays, and the component's status says so.
func (f *File) Watch(ctx context.Context, host component.Host) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.look(host)
		}
	}
}

func (f *File) look(host component.Host) {
	text, err := f.read()
	if err == nil && bytes.Equal(text, f.text) && f.wrong == "" {
		return
	}
	if err == nil {
		err = f.use(text)
	}
	switch {
	case err != nil && err.Error() != f.wrong:
		f.wrong = err.Error()
		f.Logger.Error("The file cannot be used. What was read before stays.", zap.Error(err))
		componentstatus.ReportStatus(host, componentstatus.NewRecoverableErrorEvent(errors.Join(err, errors.New("what was read before stays"))))
	case err == nil:
		if f.wrong != "" {
			f.wrong = ""
			componentstatus.ReportStatus(host, componentstatus.NewEvent(componentstatus.StatusOK))
		}
		f.Logger.Info("File read anew.", zap.String(f.Key, f.Path))
	}
}

func (f *File) use(text []byte) error {
	if err := f.Use(text); err != nil {
		return fmt.Errorf("`%s` %s: %w", f.Key, f.Path, err)
	}
	f.text = text
	return nil
}

func (f *File) read() ([]byte, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, fmt.Errorf("`%s`: %w", f.Key, err)
	}
	defer file.Close()
	if f.Check != nil {
		info, err := file.Stat()
		if err == nil {
			err = f.Check(info)
		}
		if err != nil {
			return nil, fmt.Errorf("`%s` %s: %w", f.Key, f.Path, err)
		}
	}
	text, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("`%s`: %w", f.Key, err)
	}
	if len(text) > maxSize {
		return nil, fmt.Errorf("`%s` %s is larger than %d bytes", f.Key, f.Path, maxSize)
	}
	return text, nil
}
