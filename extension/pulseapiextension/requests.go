// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

const (
	// receiptTimeout is how long a segment may take until it counts as lost.
	receiptTimeout = 60 * time.Second
	// reasonNoReceipt says that no segment record ever arrived.
	reasonNoReceipt = "no_receipt"
	// payloadStored is the state of an object whose receipt came.
	payloadStored = "stored"
	// payloadErased is the state of an object that was removed on purpose.
	payloadErased = "erased"
)

type requestJSON struct {
	Time         string `json:"time"`
	TraceID      string `json:"trace_id"`
	SpanID       string `json:"span_id"`
	ParentSpanID string `json:"parent_span_id,omitempty"`
	Kind         string `json:"kind"`
	Environment  string `json:"environment"`
	ServiceName  string `json:"service_name"`
	HostID       string `json:"host_id,omitempty"`
	HostName     string `json:"host_name,omitempty"`
	PID          uint32 `json:"pid,omitempty"`
	Executable   string `json:"executable,omitempty"`
	User         string `json:"user,omitempty"`
	ContainerID  string `json:"container_id,omitempty"`
	PodUID       string `json:"pod_uid,omitempty"`
	kubernetesJSON
	ConnectionID     string      `json:"connection_id,omitempty"`
	ExchangeSequence uint32      `json:"exchange_sequence"`
	Method           string      `json:"method"`
	Scheme           string      `json:"scheme"`
	ServerAddress    string      `json:"server_address"`
	ServerPort       uint16      `json:"server_port,omitempty"`
	ClientAddress    string      `json:"client_address,omitempty"`
	ClientPort       uint16      `json:"client_port,omitempty"`
	PeerAddress      string      `json:"peer_address,omitempty"`
	PeerPort         uint16      `json:"peer_port,omitempty"`
	Path             string      `json:"path"`
	Template         string      `json:"template,omitempty"`
	Query            string      `json:"query,omitempty"`
	Status           uint16      `json:"status,omitempty"`
	ErrorType        string      `json:"error_type,omitempty"`
	ProtocolVersion  string      `json:"protocol_version,omitempty"`
	TLSVersion       string      `json:"tls_version,omitempty"`
	TLSCipher        string      `json:"tls_cipher,omitempty"`
	Duration         int64       `json:"duration_ns"`
	TimingSend       int64       `json:"timing_send_ns,omitempty"`
	TimingWait       int64       `json:"timing_wait_ns,omitempty"`
	TimingReceive    int64       `json:"timing_receive_ns,omitempty"`
	RequestBodySize  uint64      `json:"request_body_size"`
	ResponseBodySize uint64      `json:"response_body_size"`
	Part             uint32      `json:"part,omitempty"`
	RPCSystem        string      `json:"rpc_system,omitempty"`
	RPCMethod        string      `json:"rpc_method,omitempty"`
	RPCStatus        string      `json:"rpc_status,omitempty"`
	RequestMessages  uint32      `json:"request_messages,omitempty"`
	ResponseMessages uint32      `json:"response_messages,omitempty"`
	CloseCode        uint16      `json:"close_code,omitempty"`
	Payload          payloadJSON `json:"payload"`
}

// kubernetesJSON is where in a cluster a process runs.
type kubernetesJSON struct {
	ServiceNamespace string `json:"service_namespace,omitempty"`
	PodName          string `json:"pod_name,omitempty"`
	K8sNamespace     string `json:"k8s_namespace,omitempty"`
	K8sNode          string `json:"k8s_node,omitempty"`
	K8sContainer     string `json:"k8s_container,omitempty"`
	K8sDeployment    string `json:"k8s_deployment,omitempty"`
}

func kubernetesView(o *pulsestore.Origin) kubernetesJSON {
	return kubernetesJSON{o.ServiceNamespace, o.PodName, o.K8sNamespace, o.K8sNode, o.K8sContainer, o.K8sDeployment}
}

type payloadJSON struct {
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Object  string `json:"object,omitempty"` // without the prefix
	Visible bool   `json:"visible"`
}

type requestsAnswer struct {
	Requests   []requestJSON `json:"requests"`
	NextCursor string        `json:"next_cursor,omitempty"`
}

// requestQuery turns parameters into the typed question; the store never sees text of a client as SQL.
func (q *question) requestQuery(now time.Time) (r pulsestore.RequestQuery, err error) {
	if r.Selection, err = q.selection(pulsestore.OfRequests, now); err != nil {
		return r, err
	}
	if text, ok := q.params["cursor"]; ok {
		at, id, err := decodeCursor(text, pulsestore.OfRequests, r.Selection)
		if err != nil {
			return r, err
		}
		r.After = &pulsestore.Cursor{Time: at, SpanID: id}
	}
	r.Limit, err = q.int("limit", defaultLimit, maxLimit)
	return r, err
}

func (a *api) getRequests(q *question) (any, error) {
	if format, ok := q.params["format"]; ok && format != "json" {
		return a.exportRequests(q, format)
	}
	ask, err := q.requestQuery(a.now())
	if err != nil {
		return nil, err
	}
	rows, next, err := a.requestPage(q.Context(), ask)
	if err != nil {
		return nil, err
	}
	answer := requestsAnswer{Requests: rows}
	if next != nil {
		answer.NextCursor = encodeCursor(next.Time, next.SpanID, pulsestore.OfRequests, ask.Selection)
	}
	return answer, nil
}

// requestPage returns the rows of one page, and where the next begins.
func (a *api) requestPage(ctx context.Context, q pulsestore.RequestQuery) (page []requestJSON, next *pulsestore.Cursor, err error) {
	page = []requestJSON{}
	err = a.query(ctx, func(ctx context.Context) error {
		var rows []pulsestore.Request
		if rows, next, err = a.reader.Requests(ctx, q); err != nil {
			return err
		}
		objects, err := a.receipts(ctx, q.Scope, rows)
		for i := range rows {
			page = append(page, requestView(&rows[i], objects, a.now()))
		}
		return err
	})
	return page, next, err
}

func (a *api) getRequest(q *question) (any, error) {
	trace, err := parseTraceID(q.PathValue("trace"))
	if err != nil {
		return nil, err
	}
	span, err := parseSpanID(q.PathValue("span"))
	if err != nil {
		return nil, err
	}
	row, objects, err := a.request(q.Context(), q.scope, trace, span)
	if err != nil {
		return nil, err
	}
	answer := requestAnswer{requestJSON: requestView(row, objects, a.now()), Stored: storedView(row, objects)}
	err = a.query(q.Context(), func(ctx context.Context) error {
		keep, err := a.reader.Retention(ctx)
		if ttl := keep.Of(pulsestore.TableRequests, row.Environment); err == nil && ttl > 0 {
			answer.ExpiresAt = timeText(row.Time.Add(ttl))
		}
		return err
	})
	return answer, err
}

// requestAnswer is one request, with until when what is known of it is kept.
type requestAnswer struct {
	requestJSON
	ExpiresAt string      `json:"expires_at,omitempty"`
	Stored    *storedJSON `json:"stored,omitempty"`
}

// storedJSON is what the receipt of an object says.
type storedJSON struct {
	Size           uint64 `json:"size"`
	SHA256         string `json:"sha256,omitempty"`
	ExpiresAt      string `json:"expires_at,omitempty"`
	RetentionClass string `json:"retention_class,omitempty"`
}

// storedView is nil before a receipt.
func storedView(row *pulsestore.Request, objects map[pulsestore.ObjectID]pulsestore.PayloadObject) *storedJSON {
	o, ok := objects[pulsestore.ObjectID{Environment: row.Environment, Key: row.PayloadObject}]
	if !ok || o.Size == 0 {
		return nil
	}
	v := &storedJSON{Size: o.Size, RetentionClass: o.RetentionClass}
	if o.SHA256 != [32]byte{} {
		v.SHA256 = hex.EncodeToString(o.SHA256[:])
	}
	if !o.Expires.IsZero() {
		v.ExpiresAt = timeText(o.Expires)
	}
	return v
}

// request returns one row and the receipt of its segment, or the problem that there is none.
func (a *api) request(ctx context.Context, scope pulsestore.Scope, trace [16]byte, span [8]byte) (row *pulsestore.Request, objects map[pulsestore.ObjectID]pulsestore.PayloadObject, err error) {
	err = a.query(ctx, func(ctx context.Context) error {
		if row, err = a.reader.Request(ctx, scope, trace, span); err != nil {
			return err
		}
		if row == nil {
			return fail(http.StatusNotFound, "not_found", "there is no request with this trace and span id: it may be older than the store keeps rows, or not have arrived yet")
		}
		objects, err = a.receipts(ctx, scope, []pulsestore.Request{*row})
		return err
	})
	return row, objects, err
}

// receipts asks once for the segments of all rows.
func (a *api) receipts(ctx context.Context, scope pulsestore.Scope, rows []pulsestore.Request) (map[pulsestore.ObjectID]pulsestore.PayloadObject, error) {
	seen := map[string]bool{}
	var keys []string
	for i := range rows {
		if key := rows[i].PayloadObject; key != "" && awaitsReceipt(rows[i].PayloadState) && !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	return a.reader.PayloadObjects(ctx, scope, keys)
}

// awaitsReceipt reports whether a state can still change with the segment's record.
func awaitsReceipt(state string) bool {
	return state == semantic.PayloadPending || state == semantic.PayloadTruncated
}

// payloadState is what is known now of a payload that was on its way when its span was written.
func payloadState(row *pulsestore.Request, objects map[pulsestore.ObjectID]pulsestore.PayloadObject, now time.Time) (state, reason string) {
	if !awaitsReceipt(row.PayloadState) {
		return row.PayloadState, row.PayloadReason
	}
	object, ok := objects[pulsestore.ObjectID{Environment: row.Environment, Key: row.PayloadObject}]
	switch {
	case ok && (object.State == semantic.PayloadLost || object.State == payloadErased):
		return object.State, object.Reason
	case row.PayloadState == semantic.PayloadTruncated:
		return row.PayloadState, row.PayloadReason
	case ok:
		return semantic.PayloadSent, ""
	case now.Sub(row.Time.Add(row.Duration)) > receiptTimeout:
		return semantic.PayloadLost, reasonNoReceipt
	}
	return semantic.PayloadPending, row.PayloadReason
}

func requestView(row *pulsestore.Request, objects map[pulsestore.ObjectID]pulsestore.PayloadObject, now time.Time) requestJSON {
	v := requestJSON{
		Time: timeText(row.Time), TraceID: hex.EncodeToString(row.TraceID[:]), SpanID: hex.EncodeToString(row.SpanID[:]),
		Kind: row.Kind, Environment: row.Environment, ServiceName: row.ServiceName,
		HostID: row.HostID, HostName: row.HostName, PID: row.PID, Executable: row.Executable, User: row.User,
		ContainerID: row.ContainerID, PodUID: row.PodUID, kubernetesJSON: kubernetesView(&row.Origin), ConnectionID: connectionText(row.ConnectionID), ExchangeSequence: row.ExchangeSequence,
		Method: row.Method, Scheme: row.Scheme, ServerAddress: row.ServerAddress, ServerPort: row.ServerPort,
		ClientAddress: addrText(row.ClientAddress), ClientPort: row.ClientPort,
		PeerAddress: addrText(row.PeerAddress), PeerPort: row.PeerPort,
		Path: row.Path, Template: row.Template, Query: row.Query, Status: row.Status, ErrorType: row.ErrorType,
		ProtocolVersion: row.ProtocolVersion, TLSVersion: row.TLSVersion, TLSCipher: row.TLSCipher,
		Duration: int64(row.Duration), TimingSend: int64(row.TimingSend), TimingWait: int64(row.TimingWait), TimingReceive: int64(row.TimingReceive),
		RequestBodySize: row.RequestBodySize, ResponseBodySize: row.ResponseBodySize,
		Part: row.Part, RPCSystem: row.RPCSystem, RPCMethod: row.RPCMethod, RPCStatus: row.RPCStatus,
		RequestMessages: row.RequestMessages, ResponseMessages: row.ResponseMessages, CloseCode: row.CloseCode,
		Payload: payloadJSON{Object: row.PayloadObject, Visible: row.PayloadVisible},
	}
	if row.ParentSpanID != [8]byte{} {
		v.ParentSpanID = hex.EncodeToString(row.ParentSpanID[:])
	}
	v.Payload.State, v.Payload.Reason = payloadState(row, objects, now)
	return v
}

// timeText is RFC 3339 in UTC with all nine digits, so that text sorts as time.
func timeText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z") }

func connectionText(id uint64) string {
	if id == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", id)
}

func addrText(a netip.Addr) string {
	if !a.IsValid() || a.IsUnspecified() {
		return ""
	}
	return a.Unmap().String()
}
