// SPDX-License-Identifier: Apache-2.0

//go:build linux

package chdb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// chunkSize is how much of an INSERT is handed to the engine at once. Pieces always have this
// size (but the last): a retried insert then falls into the same blocks, which is what the
// engine's deduplication counts on.
const chunkSize = 1 << 20

// killInterval is how often a cancelled statement is killed again: a KILL QUERY that comes
// before the statement is registered finds nothing.
const killInterval = 50 * time.Millisecond

// exceptionTag marks an error within an answer that has begun. ClickHouse draws one per answer
// so that data cannot look like an error by chance; the reader of the answer checks it.
const exceptionTag = "otelcolqpointerr"

// Server answers the ClickHouse HTTP interface: what clickhouse-go v2 and curl speak.
type Server struct {
	lib      *Library
	pool     *pool
	version  string
	timezone string
	id       atomic.Uint64

	adminMu sync.Mutex
	admin   *Conn // for KILL QUERY, which must not wait for a free connection
}

// NewServer opens the data folder. args are those of clickhouse-local, connections is how many
// statements may run at once.
func NewServer(lib *Library, args []string, connections int) (*Server, error) {
	open := func() (*Conn, error) { return lib.Connect(args) }
	admin, err := open()
	if err != nil {
		return nil, err
	}
	s := &Server{lib: lib, admin: admin, pool: newPool(connections, open)}
	r := admin.Query("SELECT version(), timezone()", "TSV", nil)
	defer r.Free()
	if err := r.Err(); err != nil {
		admin.Close()
		return nil, err
	}
	s.version, s.timezone, _ = strings.Cut(strings.TrimSpace(string(r.Bytes())), "\t")
	return s, nil
}

// Close closes the engine. No request may be running.
func (s *Server) Close() {
	s.pool.close()
	s.admin.Close()
	s.lib.Shutdown()
}

// request is one statement as the HTTP interface carries it.
type request struct {
	statement string
	data      io.Reader // of an INSERT; nil otherwise
	format    string
	database  string
	settings  map[string]string
	params    map[string]string
	marker    string // comment by which KILL QUERY finds the statement
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/ping" {
		_, _ = io.WriteString(w, "Ok.\n")
		return
	}
	q, err := s.parse(r)
	if err != nil {
		writeError(w, err)
		return
	}
	if q.statement == helloStatement {
		_, _ = w.Write(hello(s.version, s.timezone))
		return
	}
	conn, err := s.pool.get(r.Context())
	if err != nil {
		writeError(w, err)
		return
	}
	if err := conn.apply(q.database, q.settings); err != nil {
		s.pool.drop(conn)
		writeError(w, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	release := s.killOnCancel(ctx, q.marker)
	defer func() {
		release()
		if ctx.Err() != nil {
			// What was killed may leave a statement that never ends in its session; closing ends it.
			s.pool.drop(conn)
		} else {
			s.pool.put(conn)
		}
	}()
	switch {
	case q.data != nil:
		s.insert(w, conn, q)
	case streamable.MatchString(q.statement):
		s.stream(w, conn, q, cancel)
	default:
		result := conn.Query(q.marker+q.statement, q.format, q.params)
		defer result.Free()
		if err := result.Err(); err != nil {
			writeError(w, err)
			return
		}
		writeSummary(w, result)
		_, _ = w.Write(result.Bytes())
	}
}

var (
	streamable   = regexp.MustCompile(`(?is)^\s*(SELECT|WITH)\b`)
	insertFormat = regexp.MustCompile(`(?is)^\s*INSERT\b.*\bFORMAT\s+(\w+)\s*;?\s*$`)
	formatClause = regexp.MustCompile(`(?is)\s*\bFORMAT\s+\w+\s*;?\s*$`)
)

// notSettings are parameters of the HTTP interface that are not settings of the engine.
var notSettings = map[string]bool{
	"query": true, "database": true, "default_format": true, "client_protocol_version": true, "query_id": true,
	"quota_key": true, "compress": true, "decompress": true, "network_compression_method": true, "wait_end_of_query": true,
	"user": true, "password": true, "session_id": true, "session_timeout": true, "session_check": true, "stacktrace": true,
}

func (s *Server) parse(r *http.Request) (request, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return request{}, fmt.Errorf("Code: 36. DB::Exception: malformed URL query: %w", err) //nolint:staticcheck // the engine's form
	}
	for _, name := range []string{"compress", "decompress"} {
		if v := values.Get(name); v != "" && v != "0" {
			return request{}, errors.New("Code: 48. DB::Exception: compression is not supported on the local socket; turn it off in the client") //nolint:staticcheck // the engine's form
		}
	}
	q := request{
		statement: values.Get("query"), format: values.Get("default_format"), database: values.Get("database"),
		settings: map[string]string{}, params: map[string]string{},
		marker: "/*q" + strconv.FormatUint(s.id.Add(1), 10) + "*/ ",
	}
	if q.format == "" {
		q.format = "TabSeparated"
	}
	for name, v := range values {
		if parameter, ok := strings.CutPrefix(name, "param_"); ok {
			q.params[parameter] = v[0]
		} else if !notSettings[name] {
			if !settingName.MatchString(name) {
				return request{}, fmt.Errorf("Code: 115. DB::Exception: %q is not the name of a setting", name) //nolint:staticcheck // the engine's form
			}
			q.settings[name] = v[0]
		}
	}
	if m := insertFormat.FindStringSubmatch(q.statement); m != nil {
		q.format, q.data = m[1], r.Body
		q.statement = formatClause.ReplaceAllString(q.statement, "")
		return q, nil
	}
	// The statement is in the URL, the body, or begun in one and continued in the other.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return request{}, err
	}
	q.statement += string(body)
	if strings.TrimSpace(q.statement) == "" {
		return request{}, errors.New("Code: 62. DB::Exception: Empty query") //nolint:staticcheck // the engine's form
	}
	return q, nil
}

var settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// insert streams the body into the table.
func (s *Server) insert(w http.ResponseWriter, conn *Conn, q request) {
	insert := conn.Insert(q.statement, q.format, q.params)
	defer insert.Free()
	if err := insert.Err(); err != nil {
		writeError(w, err)
		return
	}
	buf := chunks.Get().(*[]byte)
	defer chunks.Put(buf)
	for {
		n, err := readFull(q.data, *buf)
		if aerr := insert.Append((*buf)[:n]); aerr != nil {
			insert.Cancel()
			writeError(w, aerr)
			return
		}
		if errors.Is(err, errEndOfData) {
			break
		}
		if err != nil { // the client left: nobody reads an answer
			insert.Cancel()
			return
		}
	}
	result := insert.Done()
	defer result.Free()
	if err := result.Err(); err != nil {
		writeError(w, err)
		return
	}
	writeSummary(w, result)
}

// errEndOfData is the regular end of a body. A chunked body that was cut off ends with
// io.ErrUnexpectedEOF, and io.ReadFull gives that same error for a regular short last piece.
var errEndOfData = errors.New("end of data")

func readFull(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) {
		var m int
		m, err = r.Read(buf[n:])
		n += m
		if err == io.EOF {
			return n, errEndOfData
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

var chunks = sync.Pool{New: func() any { b := make([]byte, chunkSize); return &b }}

// stream writes a SELECT's answer block by block. kill ends the statement early.
func (s *Server) stream(w http.ResponseWriter, conn *Conn, q request, kill func()) {
	stream := conn.Stream(q.marker+q.statement, q.format, q.params)
	defer stream.Free()
	if err := stream.Err(); err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("X-ClickHouse-Exception-Tag", exceptionTag)
	for first := true; ; first = false {
		block := stream.Fetch()
		err := block.Err()
		data := block.Bytes()
		switch {
		case err != nil && first: // most errors come with the first block and get a status of their own
			w.Header().Del("X-ClickHouse-Exception-Tag")
			writeError(w, err)
		case err != nil:
			// The layout is that of ClickHouse's WriteBufferFromHTTPServerResponse.
			text := err.Error()
			_, _ = fmt.Fprintf(w, "\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n", exceptionTag, text, len(text)+1, exceptionTag)
		case len(data) == 0:
			if first {
				w.Header().Set("Content-Length", "0")
			}
		default:
			if _, werr := w.Write(data); werr == nil {
				block.Free()
				continue
			}
			// The client left. Killed and read to its end: a stream that is cancelled by
			// chdb_stream_cancel_query after a KILL QUERY stays in the list of processes for ever.
			block.Free()
			kill()
			for {
				rest := stream.Fetch()
				end := rest.Err() != nil || len(rest.Bytes()) == 0
				rest.Free()
				if end {
					return
				}
			}
		}
		block.Free()
		return
	}
}

// killOnCancel kills the marked statement when ctx ends before release was called.
func (s *Server) killOnCancel(ctx context.Context, marker string) (release func()) {
	done, finished := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
		tick := time.NewTicker(killInterval)
		defer tick.Stop()
		for {
			s.adminMu.Lock()
			_ = s.admin.Exec("KILL QUERY WHERE startsWith(query, " + quoteString(strings.TrimSpace(marker)) + ") ASYNC")
			s.adminMu.Unlock()
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(done); <-finished }
}

var errorCode = regexp.MustCompile(`^Code: (\d+)\.`)

// writeError answers as ClickHouse does; err may come from the engine or from this package.
func writeError(w http.ResponseWriter, err error) {
	text := err.Error()
	status := http.StatusInternalServerError
	if m := errorCode.FindStringSubmatch(text); m != nil {
		w.Header().Set("X-ClickHouse-Exception-Code", m[1])
	} else {
		text = "Code: 210. DB::NetException: " + text // NETWORK_ERROR: the client may try again
		w.Header().Set("X-ClickHouse-Exception-Code", "210")
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func writeSummary(w http.ResponseWriter, r Result) {
	w.Header().Set("X-ClickHouse-Summary", fmt.Sprintf(`{"read_rows":"%d","read_bytes":"%d","written_rows":"%d","written_bytes":"%d"}`,
		r.lib.rowsRead(r.handle), r.lib.bytesRead(r.handle), r.lib.rowsWritten(r.handle), r.lib.bytesWritten(r.handle)))
}

// helloStatement is what clickhouse-go asks first on a connection.
const helloStatement = "SELECT displayName(), version(), revision(), timezone()"

// hello answers helloStatement. The client decodes this one answer at its own protocol
// revision, and all later ones at the revision this one reports: 0, plain FORMAT Native, which
// is the only one that libchdb writes.
func hello(version, timezone string) []byte {
	// Block info (is_overflows = 0, bucket_num = -1), 4 columns, 1 row.
	b := []byte{1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 4, 1}
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	column := func(name, typ string) {
		text(name)
		text(typ)
		b = append(b, 0) // no custom serialization
	}
	column("displayName()", "String")
	text("local_clickhouse")
	column("version()", "String")
	text(version)
	column("revision()", "UInt32")
	b = append(b, 0, 0, 0, 0)
	column("timezone()", "String")
	text(timezone)
	return b
}
