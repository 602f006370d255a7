// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// maxEnviron bounds what is scanned of a process's environment.
	maxEnviron = 256 << 10
	// environWait is how long its environment is waited for, maxStuck how many may be waited for in vain. Together they are less
	// than what makes an engine a stalled one.
	environWait = 5 * time.Second
	maxStuck    = 4
)

// environs reads environments. The kernel reads them from the process's memory, under its mmap_lock: a process that holds it
// while its file system does not answer would stop the reader, so each is read by a goroutine of its own. One that is stuck ends
// when its process goes on or dies, and nothing waits for it.
type environs struct {
	wait    time.Duration
	reading atomic.Int32
}

// serviceName is serviceName, "" when it takes too long.
func (e *environs) serviceName(path string) string {
	if e.reading.Load() >= maxStuck {
		return ""
	}
	e.reading.Add(1)
	name := make(chan string, 1)
	go func() {
		defer e.reading.Add(-1)
		name <- serviceName(path)
	}()
	timer := time.NewTimer(e.wait)
	defer timer.Stop()
	select {
	case n := <-name:
		return n
	case <-timer.C:
		return ""
	}
}

// serviceName reads OTEL_SERVICE_NAME, and nothing else, of an environment: the rest of it is
// full of secrets, so the buffer is wiped.
func serviceName(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, maxEnviron))
	defer clear(b)
	const key = "OTEL_SERVICE_NAME="
	for v := range bytes.SplitSeq(b, []byte{0}) {
		if name, ok := bytes.CutPrefix(v, []byte(key)); ok {
			return strings.ToValidUTF8(string(name), "\uFFFD")
		}
	}
	return ""
}
