// SPDX-License-Identifier: Apache-2.0

// Package erasure is what `pulse_api`, which knows what is stored where, and the extension that may change the
// bucket agree on. It links no S3 client.
package erasure

import (
	"context"
	"time"
)

// OnItsWay is how long a payload may take from its exchange to the bucket: until then it may still come, or come again.
const OnItsWay = 15 * time.Minute

// Task names what is to be erased of one segment.
type Task struct {
	Environment string
	Key         string // without prefix and environment; parts of the segment are looked for too
	Spans       [][8]byte
}

// Result is what became of one object of a segment, or would.
type Result struct {
	Environment, Key string // of the object
	// Spans are those of the task that were in this object: others of them may be in another part of the segment, or nowhere.
	Spans [][8]byte
	// Entries is how many exchanges, or parts of them, were erased, and Bytes how many bytes they had in the object.
	Entries int
	Bytes   int64
	// Deleted says that nothing else was in the object, and that it will not be stored again. Else it was written anew with Left
	// entries, which may be none, and as many bytes as before.
	Deleted bool
	Left    int
	Size    int64
	SHA256  [32]byte
}

// Eraser is implemented by an extension that may read, overwrite and delete the objects of a bucket.
type Eraser interface {
	// Erase carries out tasks in their order, or says only what it would do. A task without any object has no result. After an
	// error, results are those until then; the same tasks can be given again.
	Erase(ctx context.Context, tasks []Task, dryRun bool) ([]Result, error)
}
