// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// Bounds and delays of reading key logs. What is written while nobody reads waits in the file.
const (
	maxKeyFiles     = 256
	keyFileInterval = 20 * time.Millisecond
	// A new file must be found before its connection, which may have ended at once, is given up.
	keyFileRescan = 50 * time.Millisecond
	keyFileChunk  = 64 << 10 // bytes read of a file at a time
	keyFileQueue  = 256      // secrets
)

// keyFiles follows key logs that programs write for themselves (SSLKEYLOGFILE): regular files,
// from the end they have now, and FIFOs. Files that are not there yet are waited for. The
// goroutine of run owns everything but out.
type keyFiles struct {
	patterns []string
	logger   *zap.Logger
	out      chan *event.Secret
	files    map[string]*keyFile
	refused  map[string]bool // told of once
	buf      []byte
}

type keyFile struct {
	fd       int
	fifo     bool
	dev, ino uint64
	at       int64
	reader   keyLogReader
}

func newKeyFiles(patterns []string, logger *zap.Logger) *keyFiles {
	k := &keyFiles{
		patterns: patterns, logger: logger, out: make(chan *event.Secret, keyFileQueue),
		files: map[string]*keyFile{}, refused: map[string]bool{}, buf: make([]byte, keyFileChunk),
	}
	k.rescan(func(*event.Secret) {}, true)
	return k
}

// run reads until ctx ends.
func (k *keyFiles) run(ctx context.Context) {
	emit := func(s *event.Secret) {
		s.Time = time.Now().UnixNano()
		select {
		case k.out <- s:
		case <-ctx.Done():
			clear(s.Secret)
		}
	}
	tick := time.NewTicker(keyFileInterval)
	defer tick.Stop()
	for next := time.Now(); ; {
		for _, f := range k.files {
			k.read(f, emit)
		}
		if now := time.Now(); now.After(next) {
			k.rescan(emit, false)
			next = now.Add(keyFileRescan)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// drain hands over what was read; at most a queue full, so that packets are not kept waiting.
func (k *keyFiles) drain(h event.Handler) {
	for range keyFileQueue {
		select {
		case s := <-k.out:
			h.Secret(s)
			clear(s.Secret)
		default:
			return
		}
	}
}

// read takes what is new in a file.
func (k *keyFiles) read(f *keyFile, emit func(*event.Secret)) {
	n, err := unix.Read(f.fd, k.buf)
	if err == nil && n > 0 {
		f.at += int64(n)
		f.reader.take(k.buf[:n], emit)
		return
	}
	// Nothing new: no writer, or none that has written. A file that was cut begins anew.
	var st unix.Stat_t
	if f.fifo || unix.Fstat(f.fd, &st) != nil || st.Size >= f.at {
		return
	}
	if _, err := unix.Seek(f.fd, 0, unix.SEEK_SET); err == nil {
		f.at = 0
		f.reader.reset()
	}
}

// rescan opens files that are new under their paths. Of those that are there at the start, what
// they hold is of connections that were opened before.
func (k *keyFiles) rescan(emit func(*event.Secret), start bool) {
	for path, f := range k.files {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil || st.Dev != f.dev || st.Ino != f.ino {
			k.read(f, emit) // what was written to the old one to the end
			k.drop(path)
		}
	}
	for _, pattern := range k.patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			continue // a bad pattern only
		}
		for _, path := range paths {
			if k.files[path] != nil || len(k.files) >= maxKeyFiles {
				continue
			}
			f, err := openKeyFile(path, start)
			if err == nil {
				k.files[path] = f
				delete(k.refused, path)
				k.logger.Info("reading TLS secrets of a key log", zap.String("path", path))
			} else if !k.refused[path] && len(k.refused) < maxKeyFiles {
				k.refused[path] = true
				k.logger.Warn("cannot read a key log of `tls::keylog_files`", zap.String("path", path), zap.Error(err))
			}
		}
	}
}

var errNotKeyFile = errors.New("neither a regular file nor a FIFO")

func openKeyFile(path string, end bool) (*keyFile, error) {
	// Asked before it is opened, as opening a device may do something.
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, err
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFIFO {
		return nil, errNotKeyFile
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, err
	}
	f := &keyFile{fd: fd, dev: st.Dev, ino: st.Ino, fifo: st.Mode&unix.S_IFMT == unix.S_IFIFO}
	if end && !f.fifo {
		if f.at, err = unix.Seek(fd, 0, unix.SEEK_END); err != nil {
			unix.Close(fd)
			return nil, err
		}
	}
	return f, nil
}

func (k *keyFiles) drop(path string) {
	f := k.files[path]
	f.reader.reset()
	unix.Close(f.fd)
	delete(k.files, path)
}

// close gives the files up, after run has returned.
func (k *keyFiles) close() {
	for path := range k.files {
		k.drop(path)
	}
	for {
		select {
		case s := <-k.out:
			clear(s.Secret)
		default:
			return
		}
	}
}
