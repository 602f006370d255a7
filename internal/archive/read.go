// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// maxEntry bounds one file of an archive that is read: a small ZIP can claim to hold any amount.
const maxEntry = 256 << 20

// Read returns the exchanges of an archive by their file names, without those that were erased.
func Read(b []byte) (map[string]Exchange, error) {
	zr, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	out := make(map[string]Exchange, len(zr.File))
	for _, f := range zr.File {
		if strings.HasPrefix(f.Name, erasedName) {
			continue
		}
		if strings.HasSuffix(f.Name, SealedExtension) {
			return nil, fmt.Errorf("read archive: %s is encrypted", f.Name)
		}
		rc, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("read archive: %s: %w", f.Name, err)
		}
		har, err := io.ReadAll(io.LimitReader(rc, maxEntry+1))
		if err = errors.Join(err, rc.Close()); err != nil {
			return nil, fmt.Errorf("read archive: %s: %w", f.Name, err)
		}
		if len(har) > maxEntry {
			return nil, fmt.Errorf("read archive: %s is larger than %d bytes", f.Name, maxEntry)
		}
		x, err := ReadHAR(har)
		if err != nil {
			return nil, fmt.Errorf("read archive: %s: %w", f.Name, err)
		}
		out[f.Name] = x
	}
	return out, nil
}

// ReadHAR returns the exchange of one HAR file that this package wrote.
func ReadHAR(b []byte) (Exchange, error) {
	var f harFile
	if err := json.Unmarshal(b, &f); err != nil {
		return Exchange{}, fmt.Errorf("not a HAR file: %w", err)
	}
	if len(f.Log.Entries) != 1 {
		return Exchange{}, fmt.Errorf("a HAR file of %d entries, expected one", len(f.Log.Entries))
	}
	e := &f.Log.Entries[0]
	started, err := time.Parse(timeFormat, e.StartedDateTime)
	if err != nil {
		return Exchange{}, errors.New("`startedDateTime` is not a time")
	}
	x := Exchange{
		TraceID: e.TraceID, SpanID: e.SpanID, Started: started.UTC(),
		Send: fromMillis(e.Timings.Send), Wait: fromMillis(e.Timings.Wait), Receive: fromMillis(e.Timings.Receive),
		Scheme: e.Scheme, ServerAddress: e.ServerAddress, ServerPort: e.ServerPort,
		ServerIP: e.ServerIPAddress, ConnectionID: e.Connection, Incomplete: e.Incomplete, Resource: e.Resource,
		Request: Message{
			Method:   e.Request.Method,
			Version:  strings.TrimPrefix(e.Request.HTTPVersion, "HTTP/"),
			BodySize: e.Request.BodySize,
		},
	}
	x.Part = e.Part
	if r := e.Redaction; r != nil {
		x.RedactionPolicy, x.Redactions = r.Policy, r.Removed
	}
	var errs [9]error
	x.Messages, errs[6] = fromMessages(e.Messages)
	x.Request.Target, errs[0] = original(e.Request.Target, e.Request.TargetBase64)
	x.Request.Headers, errs[1] = fromPairs(e.Request.Headers)
	x.Request.Trailers, errs[7] = fromPairs(e.Request.Trailers)
	if p := e.Request.PostData; p != nil {
		x.Request.Truncated, x.Request.Decoded = p.Truncated, p.Decoded
		x.Request.Body, errs[2] = fromText(p.Text, p.Encoding)
	}
	if r := &e.Response; !r.NotSeen {
		x.Response = &Message{
			Status:    r.Status,
			Version:   strings.TrimPrefix(r.HTTPVersion, "HTTP/"),
			BodySize:  r.BodySize,
			Truncated: r.Content.Truncated,
			Decoded:   r.Content.Decoded,
		}
		x.Response.Reason, errs[3] = original(r.StatusText, r.StatusTextBase64)
		x.Response.Headers, errs[4] = fromPairs(r.Headers)
		x.Response.Trailers, errs[8] = fromPairs(r.Trailers)
		x.Response.Body, errs[5] = fromText(r.Content.Text, r.Content.Encoding)
	}
	return x, errors.Join(errs[:]...)
}

func fromMillis(ms float64) time.Duration {
	if ms < 0 {
		return NotMeasured
	}
	return time.Duration(math.Round(ms * 1e6))
}

func fromPairs(ps []harPair) (hs []Header, err error) {
	for _, p := range ps {
		var h Header
		if h.Name, err = original(p.Name, p.NameBase64); err != nil {
			return nil, err
		}
		if h.Value, err = original(p.Value, p.ValueBase64); err != nil {
			return nil, err
		}
		hs = append(hs, h)
	}
	return hs, nil
}

func original(text, b64 string) (string, error) {
	if b64 == "" {
		return text, nil
	}
	b, err := base64.StdEncoding.DecodeString(b64)
	return string(b), err
}

func fromText(text, encoding string) ([]byte, error) {
	switch {
	case encoding == encodingBase64:
		return base64.StdEncoding.DecodeString(text)
	case encoding != "":
		return nil, errors.New("unknown body encoding")
	case text == "":
		return nil, nil
	}
	return []byte(text), nil
}
