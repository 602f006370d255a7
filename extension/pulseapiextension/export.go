// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"
)

// writeTimeout is how long a client may take for a piece of a stream.
const writeTimeout = 30 * time.Second

// export is a list as lines, page after page.
type export[J any] struct {
	format string
	limit  int
	// page returns up to n rows and whether there are more; it remembers where it is.
	page func(ctx context.Context, n int) (rows []J, more bool, err error)
}

// rowWriter writes rows in one format.
type rowWriter[J any] interface {
	row(*J) error
	flush() error
}

// stream asks for the first page at once, so that what is wrong is an answer and not a broken stream.
func (e export[J]) stream(ctx context.Context) (any, error) {
	first, more, err := e.page(ctx, min(e.limit, maxLimit))
	if err != nil {
		return nil, err
	}
	return stream(func(w http.ResponseWriter) error {
		var out rowWriter[J]
		if e.format == "csv" {
			w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
			out = newCSVWriter[J](w)
		} else {
			w.Header().Set("Content-Type", "application/x-ndjson")
			out = ndjsonWriter[J]{json.NewEncoder(w)}
		}
		w.Header().Set("Content-Disposition", "attachment")
		control := http.NewResponseController(w)
		for rows, left := first, e.limit; ; {
			_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // where it is not supported the server's own holds
			for i := range rows {
				if err := out.row(&rows[i]); err != nil {
					return err
				}
			}
			if err := out.flush(); err != nil {
				return err
			}
			if left -= len(rows); !more || left <= 0 {
				return nil
			}
			if rows, more, err = e.page(ctx, min(left, maxLimit)); err != nil {
				return err
			}
		}
	}), nil
}

type ndjsonWriter[J any] struct{ *json.Encoder }

func (w ndjsonWriter[J]) row(row *J) error { return w.Encode(row) }
func (ndjsonWriter[J]) flush() error       { return nil }

// csvWriter writes RFC 4180 with a header line. Fields of fields have names with a dot.
type csvWriter[J any] struct {
	*csv.Writer
	head []string
}

func newCSVWriter[J any](w http.ResponseWriter) *csvWriter[J] {
	c := &csvWriter[J]{Writer: csv.NewWriter(w)}
	c.UseCRLF = true
	return c
}

func (w *csvWriter[J]) row(row *J) error {
	names, cells := flatten("", reflect.ValueOf(row).Elem(), nil, nil)
	if w.head == nil {
		w.head = names
		if err := w.Write(names); err != nil {
			return err
		}
	}
	return w.Write(cells)
}

func (w *csvWriter[J]) flush() error {
	if w.head == nil {
		var none J
		w.head, _ = flatten("", reflect.ValueOf(none), nil, nil)
		if err := w.Write(w.head); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// flatten returns the JSON names and the texts of a row's fields.
func flatten(prefix string, v reflect.Value, names, cells []string) ([]string, []string) {
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		field := v.Field(i)
		if field.Kind() == reflect.Struct {
			if name != "" {
				name += "."
			}
			names, cells = flatten(prefix+name, field, names, cells)
			continue
		}
		text := ""
		if !field.IsZero() || field.Kind() == reflect.Bool {
			text = fmt.Sprint(reflect.Indirect(field).Interface())
		}
		names, cells = append(names, prefix+name), append(cells, harmless(text))
	}
	return names, cells
}

// harmless keeps a spreadsheet from running what a stranger sent as a host name: a formula gets an apostrophe.
func harmless(cell string) string {
	if cell != "" && strings.IndexByte("=+-@\t\r", cell[0]) >= 0 {
		return "'" + cell
	}
	return cell
}

// exportLimit is the limit of a list as lines.
func (q *question) exportLimit(format string) (int, error) {
	if format != "ndjson" && format != "csv" {
		return 0, badParam("format", "is none of json, ndjson and csv")
	}
	return q.int("limit", maxExport, maxExport)
}

func (a *api) exportRequests(q *question, format string) (any, error) {
	limit, err := q.exportLimit(format)
	if err != nil {
		return nil, err
	}
	delete(q.params, "limit")
	ask, err := q.requestQuery(a.now())
	if err != nil {
		return nil, err
	}
	return export[requestJSON]{format, limit, func(ctx context.Context, n int) ([]requestJSON, bool, error) {
		ask.Limit = n
		rows, next, err := a.requestPage(ctx, ask)
		ask.After = next
		return rows, next != nil, err
	}}.stream(q.Context())
}

func (a *api) exportConnections(q *question, format string) (any, error) {
	limit, err := q.exportLimit(format)
	if err != nil {
		return nil, err
	}
	delete(q.params, "limit")
	ask, err := q.connectionQuery(a.now())
	if err != nil {
		return nil, err
	}
	return export[connectionJSON]{format, limit, func(ctx context.Context, n int) ([]connectionJSON, bool, error) {
		ask.Limit = n
		rows, next, err := a.connectionPage(ctx, ask)
		ask.After = next
		return rows, next != nil, err
	}}.stream(q.Context())
}
