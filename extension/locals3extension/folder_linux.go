// SPDX-License-Identifier: Apache-2.0

package locals3extension

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"golang.org/x/sys/unix"
)

// folder is the locked data folder.
type folder struct {
	path string // absolute
	lock *os.File
}

// openFolder creates the folder if it must, and keeps every other process out of it.
func openFolder(dir string) (*folder, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("`data_dir` %s: %w", dir, err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("`data_dir`: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("`data_dir`: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("`data_dir` %s is in use%s: stop that process or choose another folder", path, owner(f))
		}
		return nil, fmt.Errorf("`data_dir` %s: lock: %w", path, err)
	}
	d := &folder{path, f}
	if err := d.prepare(); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// owner names the process that holds the lock, as far as it left its id.
func owner(f *os.File) string {
	b := make([]byte, 16)
	n, _ := f.ReadAt(b, 0)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n]))); err == nil {
		return fmt.Sprintf(" by process %d", pid)
	}
	return ""
}

func (d *folder) prepare() error {
	if err := d.lock.Truncate(0); err != nil {
		return fmt.Errorf("`data_dir`: %w", err)
	}
	if _, err := d.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("`data_dir`: %w", err)
	}
	// ETags, metadata and the bucket's rules are kept in extended attributes.
	if err := unix.Fsetxattr(int(d.lock.Fd()), "user.qpoint.test", []byte("1"), 0); err != nil {
		return fmt.Errorf("`data_dir` %s: the file system does not take extended attributes (%w): choose a folder on ext4, xfs, btrfs or tmpfs of a kernel since 6.6", d.path, err)
	}
	return nil
}

func (d *folder) close() { d.lock.Close() } // releases the lock

// openBucket opens the folder as the storage of one bucket.
func (d *folder) openBucket(name string) (backend.Backend, error) {
	var opts posix.PosixOpts
	opts.SetNewDirPerm(0o700)
	opts.SetNewFilePerm(0o600)
	var p *posix.Posix
	err := keepWorkDir(func() (err error) {
		p, err = posix.New(d.path, meta.XattrMeta{}, opts)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("`data_dir` %s: %w", d.path, err)
	}
	return &oneBucket{posix: p, name: name, path: filepath.Join(d.path, name)}, nil
}

// keepWorkDir runs f, which changes the working directory, in a thread with a working directory
// of its own. The thread ends with the goroutine.
func keepWorkDir(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread never ends, and its working directory is what others see as the
			// process's. While it is held here, the next goroutine runs in another.
			err := keepWorkDir(f)
			runtime.UnlockOSThread()
			done <- err
			return
		}
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			// Some sandboxes refuse it. Then the process has another working directory for a moment.
			wd, err := os.Getwd()
			if err == nil {
				err = errors.Join(f(), os.Chdir(wd))
			}
			runtime.UnlockOSThread()
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}
