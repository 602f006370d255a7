// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package chdb drives libchdb, ClickHouse as a shared library, without cgo, and serves it as
// the ClickHouse HTTP interface. It runs only in the child process of `local_clickhouse`: the
// library takes hundreds of megabytes and over a hundred threads, and a crash in it ends the
// process.
//
// The C API is the one of chdb.h in libchdb 26.7.
package chdb

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Library is a loaded libchdb. There can be one per process, as its state is global.
type Library struct {
	// The functions that take text take it with its length; none keeps a pointer after it returned.
	connect       func(argc int32, argv []unsafe.Pointer) unsafe.Pointer
	closeConn     func(conn unsafe.Pointer)
	query         queryFunc
	streamQuery   queryFunc
	streamFetch   func(conn, stream unsafe.Pointer) unsafe.Pointer
	destroyResult func(result unsafe.Pointer)
	resultBuffer  func(result unsafe.Pointer) unsafe.Pointer
	resultLength  func(result unsafe.Pointer) uintptr
	resultError   func(result unsafe.Pointer) string
	rowsRead      func(result unsafe.Pointer) uint64
	bytesRead     func(result unsafe.Pointer) uint64
	rowsWritten   func(result unsafe.Pointer) uint64
	bytesWritten  func(result unsafe.Pointer) uint64
	insert        queryFunc
	insertAppend  func(insert unsafe.Pointer, data []byte, n uintptr) int32
	insertDone    func(insert unsafe.Pointer) unsafe.Pointer
	insertCancel  func(insert unsafe.Pointer)
	insertError   func(insert unsafe.Pointer) string
	insertDestroy func(insert unsafe.Pointer)
	signals       func(enabled int32)
	shutdown      func() int32
	version       func() string
}

type queryFunc func(conn unsafe.Pointer, query []byte, queryLen uintptr, format []byte, formatLen uintptr,
	names []unsafe.Pointer, nameLens []uintptr, values []unsafe.Pointer, valueLens []uintptr, count uintptr) unsafe.Pointer

// Load opens the library at path.
func Load(path string) (*Library, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load libchdb: %w", err)
	}
	l := &Library{}
	for name, fn := range map[string]any{
		"chdb_connect":                     &l.connect,
		"chdb_close_conn":                  &l.closeConn,
		"chdb_query_with_params_n":         &l.query,
		"chdb_stream_query_with_params_n":  &l.streamQuery,
		"chdb_stream_fetch_result":         &l.streamFetch,
		"chdb_destroy_query_result":        &l.destroyResult,
		"chdb_result_buffer":               &l.resultBuffer,
		"chdb_result_length":               &l.resultLength,
		"chdb_result_error":                &l.resultError,
		"chdb_result_rows_read":            &l.rowsRead,
		"chdb_result_bytes_read":           &l.bytesRead,
		"chdb_result_rows_written":         &l.rowsWritten,
		"chdb_result_bytes_written":        &l.bytesWritten,
		"chdb_stream_insert_with_params_n": &l.insert,
		"chdb_stream_append":               &l.insertAppend,
		"chdb_stream_done":                 &l.insertDone,
		"chdb_stream_cancel_insert":        &l.insertCancel,
		"chdb_stream_insert_error":         &l.insertError,
		"chdb_destroy_insert_stream":       &l.insertDestroy,
		"chdb_set_signal_handlers_enabled": &l.signals,
		"chdb_shutdown":                    &l.shutdown,
		"chdb_version":                     &l.version,
	} {
		symbol, err := purego.Dlsym(handle, name)
		if err != nil {
			return nil, fmt.Errorf("libchdb at %s is not a version this binary knows: %w", path, err)
		}
		purego.RegisterFunc(fn, symbol)
	}
	// ClickHouse would replace the handlers of SIGSEGV and others: a nil dereference in Go
	// could then no longer be recovered, and Go's preemption signals would run on the wrong stack.
	l.signals(0)
	return l, nil
}

// Version returns the version of the library, such as "26.7.3".
func (l *Library) Version() string { return l.version() }

// Shutdown stops the engine's threads. Every connection must be closed before: closing them is
// what flushes. Its result says nothing: 26.7.3 returns an error whenever the process has
// created a table, with every connection closed.
func (l *Library) Shutdown() { _ = l.shutdown() }

// Conn is one connection: a session with its own settings and current database. It runs one
// statement at a time and must not be used by two goroutines at once.
type Conn struct {
	lib      *Library
	handle   unsafe.Pointer // chdb_connection *
	database string
	settings map[string]string
}

// Connect opens a connection. args are those of clickhouse-local; every connection of a process
// must give the same.
func (l *Library) Connect(args []string) (*Conn, error) {
	argv := make([]unsafe.Pointer, 0, len(args)+1)
	for _, a := range append([]string{"clickhouse"}, args...) {
		argv = append(argv, unsafe.Pointer(unsafe.SliceData(append([]byte(a), 0))))
	}
	handle := l.connect(int32(len(argv)), argv)
	runtime.KeepAlive(argv)
	if handle == nil {
		return nil, errors.New("libchdb cannot open the data folder; its reason is on standard error")
	}
	return &Conn{lib: l, handle: handle, database: "default", settings: map[string]string{}}, nil
}

// Close closes the connection.
func (c *Conn) Close() { c.lib.closeConn(c.handle) }

// raw is the chdb_connection that statements take.
func (c *Conn) raw() unsafe.Pointer { return *(*unsafe.Pointer)(c.handle) }

// call runs fn with a statement, an output format and query parameters.
func (c *Conn) call(fn queryFunc, statement, format string, params map[string]string) unsafe.Pointer {
	var names, values []unsafe.Pointer
	var nameLens, valueLens []uintptr
	for name, value := range params {
		// The extra byte makes the pointer of an empty string valid.
		n, v := append([]byte(name), 0), append([]byte(value), 0)
		names, nameLens = append(names, unsafe.Pointer(unsafe.SliceData(n))), append(nameLens, uintptr(len(name)))
		values, valueLens = append(values, unsafe.Pointer(unsafe.SliceData(v))), append(valueLens, uintptr(len(value)))
	}
	q, f := append([]byte(statement), 0), append([]byte(format), 0)
	result := fn(c.raw(), q, uintptr(len(statement)), f, uintptr(len(format)), names, nameLens, values, valueLens, uintptr(len(params)))
	runtime.KeepAlive(names)
	runtime.KeepAlive(values)
	runtime.KeepAlive(q)
	runtime.KeepAlive(f)
	return result
}

// Result owns memory of the library until Free.
type Result struct {
	lib    *Library
	handle unsafe.Pointer
}

// Err returns the engine's error, whose text begins with "Code: N.".
func (r Result) Err() error {
	if r.handle == nil {
		return errors.New("libchdb returned no result")
	}
	if text := r.lib.resultError(r.handle); text != "" {
		return errors.New(text)
	}
	return nil
}

// Bytes returns the output, valid until Free.
func (r Result) Bytes() []byte {
	if r.handle == nil {
		return nil
	}
	return unsafe.Slice((*byte)(r.lib.resultBuffer(r.handle)), int(r.lib.resultLength(r.handle)))
}

// Free gives the memory back.
func (r Result) Free() {
	if r.handle != nil {
		r.lib.destroyResult(r.handle)
	}
}

// Query runs any statement to its end.
func (c *Conn) Query(statement, format string, params map[string]string) Result {
	return Result{c.lib, c.call(c.lib.query, statement, format, params)}
}

// Exec runs a statement without output.
func (c *Conn) Exec(statement string) error {
	r := c.Query(statement, "Null", nil)
	defer r.Free()
	return r.Err()
}

// Stream is a SELECT whose output is fetched block by block.
type Stream struct {
	Result
	conn *Conn
}

// Stream starts a statement that begins with SELECT or WITH; libchdb refuses others (code 36).
func (c *Conn) Stream(statement, format string, params map[string]string) Stream {
	return Stream{Result{c.lib, c.call(c.lib.streamQuery, statement, format, params)}, c}
}

// Fetch returns the next block; one without bytes is the end. After an error it must not be
// called again: it would return the error for ever.
func (s Stream) Fetch() Result {
	return Result{s.lib, s.lib.streamFetch(s.conn.raw(), s.handle)}
}

// Insert is an INSERT whose data are appended piece by piece.
type Insert struct {
	lib    *Library
	handle unsafe.Pointer
}

// Insert starts an INSERT; statement has no FORMAT clause.
func (c *Conn) Insert(statement, format string, params map[string]string) Insert {
	return Insert{c.lib, c.call(c.lib.insert, statement, format, params)}
}

// Err returns the error of the last step.
func (i Insert) Err() error {
	if i.handle == nil {
		return errors.New("libchdb returned no insert")
	}
	if text := i.lib.insertError(i.handle); text != "" {
		return errors.New(text)
	}
	return nil
}

// Append gives the engine more of the data.
func (i Insert) Append(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if code := i.lib.insertAppend(i.handle, data, uintptr(len(data))); code != 0 {
		if err := i.Err(); err != nil {
			return err
		}
		return fmt.Errorf("libchdb refused a piece of the insert (code %d)", code)
	}
	return nil
}

// Done ends the data and waits until they are stored.
func (i Insert) Done() Result { return Result{i.lib, i.lib.insertDone(i.handle)} }

// Cancel drops the insert.
func (i Insert) Cancel() { i.lib.insertCancel(i.handle) }

// Free gives the memory back.
func (i Insert) Free() {
	if i.handle != nil {
		i.lib.insertDestroy(i.handle)
	}
}
