// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"errors"

	"golang.org/x/sys/unix"
)

// fileID names a file's content: an inode number alone would outlive it.
type fileID struct {
	dev, ino    uint64
	size, mtime int64
	lower       string // names the file below an overlay, instead of dev and ino
	ctime       int64  // with lower: a file that was copied up has a later one
}

// identify looks at an open file. A probe is on the file below an overlay, for all processes: the same layer in
// another container is the same file, and a second probe on it would run as well. Before Linux 6.6 it cannot be told.
func identify(fd int) (fileID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fileID{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fileID{}, errNotRegular
	}
	id := fileID{dev: st.Dev, ino: st.Ino, size: st.Size, mtime: st.Mtim.Nano()}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err == nil && fs.Type == unix.OVERLAYFS_SUPER_MAGIC {
		// The overlay's handle is made of the lower file system's UUID and its handle of the file.
		if h, _, err := unix.NameToHandleAt(fd, "", unix.AT_EMPTY_PATH|atHandleFID); err == nil {
			// It goes on naming the lower file when that was copied up (by chmod, chown): another file, whose times
			// of change and nothing else tell it apart.
			id.dev, id.ino, id.lower, id.ctime = 0, 0, string(h.Bytes()), st.Ctim.Nano()
		}
	}
	return id, nil
}

var errNotRegular = errors.New("not a regular file")

// atHandleFID is AT_HANDLE_FID of name_to_handle_at(2): a handle that names the file and need not open it.
const atHandleFID = 0x200
