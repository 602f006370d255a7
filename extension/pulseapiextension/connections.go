// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"encoding/binary"
	"net/http"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

type connectionJSON struct {
	handshakeJSON
	Time         string `json:"time"`
	Start        string `json:"start"`
	ConnectionID string `json:"connection_id"`
	Sequence     uint32 `json:"sequence"`
	State        string `json:"state"`
	Role         string `json:"role"`
	CloseReason  string `json:"close_reason,omitempty"`
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
	LocalAddress    string `json:"local_address,omitempty"`
	LocalPort       uint16 `json:"local_port,omitempty"`
	PeerAddress     string `json:"peer_address,omitempty"`
	PeerPort        uint16 `json:"peer_port,omitempty"`
	ServerAddress   string `json:"server_address,omitempty"`
	Protocol        string `json:"protocol,omitempty"`
	ProtocolVersion string `json:"protocol_version,omitempty"`
	TLSVersion      string `json:"tls_version,omitempty"`
	TLSCipher       string `json:"tls_cipher,omitempty"`
	TLSNextProtocol string `json:"tls_next_protocol,omitempty"`
	SentBytes       uint64 `json:"sent_bytes"`
	ReceivedBytes   uint64 `json:"received_bytes"`
	SentPackets     uint64 `json:"sent_packets"`
	ReceivedPackets uint64 `json:"received_packets"`
	Retransmits     uint32 `json:"retransmits"`
	RTT             int64  `json:"rtt_ns,omitempty"`
	Duration        int64  `json:"duration_ns"`
	Requests        uint32 `json:"requests"`
	Visibility      string `json:"visibility"`
	Reason          string `json:"reason,omitempty"`
	Transport       string `json:"transport,omitempty"`
	NameSource      string `json:"name_source,omitempty"`
}

type connectionsAnswer struct {
	Connections []connectionJSON `json:"connections"`
	NextCursor  string           `json:"next_cursor,omitempty"`
}

func (q *question) connectionQuery(now time.Time) (c pulsestore.ConnectionQuery, err error) {
	if c.Selection, err = q.selection(pulsestore.OfConnections, now); err != nil {
		return c, err
	}
	if text, ok := q.params["cursor"]; ok {
		at, id, err := decodeCursor(text, pulsestore.OfConnections, c.Selection)
		if err != nil {
			return c, err
		}
		c.After = &pulsestore.ConnectionCursor{Start: at, ConnectionID: binary.BigEndian.Uint64(id[:])}
	}
	c.Limit, err = q.int("limit", defaultLimit, maxLimit)
	return c, err
}

func (a *api) getConnections(q *question) (any, error) {
	if format, ok := q.params["format"]; ok && format != "json" {
		return a.exportConnections(q, format)
	}
	ask, err := q.connectionQuery(a.now())
	if err != nil {
		return nil, err
	}
	rows, next, err := a.connectionPage(q.Context(), ask)
	if err != nil {
		return nil, err
	}
	answer := connectionsAnswer{Connections: rows}
	if next != nil {
		answer.NextCursor = encodeCursor(next.Start, [8]byte(binary.BigEndian.AppendUint64(nil, next.ConnectionID)), pulsestore.OfConnections, ask.Selection)
	}
	return answer, nil
}

// connectionPage returns the rows of one page, and where the next begins.
func (a *api) connectionPage(ctx context.Context, q pulsestore.ConnectionQuery) (page []connectionJSON, next *pulsestore.ConnectionCursor, err error) {
	page = []connectionJSON{}
	err = a.query(ctx, func(ctx context.Context) error {
		var rows []pulsestore.Connection
		rows, next, err = a.reader.Connections(ctx, q)
		for i := range rows {
			page = append(page, connectionView(&rows[i]))
		}
		return err
	})
	return page, next, err
}

func (a *api) getConnection(q *question) (any, error) {
	id, err := parseSpanID(q.PathValue("id"))
	if err != nil {
		return nil, badParam("id", "is not an id of 16 hex digits")
	}
	var row *pulsestore.Connection
	if err := a.query(q.Context(), func(ctx context.Context) error {
		row, err = a.reader.Connection(ctx, q.scope, binary.BigEndian.Uint64(id[:]))
		return err
	}); err != nil {
		return nil, err
	}
	if row == nil {
		return nil, fail(http.StatusNotFound, "not_found", "there is no connection with this id: it may be older than the store keeps rows, or not have arrived yet")
	}
	return connectionView(row), nil
}

func connectionView(row *pulsestore.Connection) connectionJSON {
	return connectionJSON{
		handshakeJSON: handshakeView(&row.Handshake),
		Time:          timeText(row.Time), Start: timeText(row.Start), ConnectionID: connectionText(row.ConnectionID), Sequence: row.Sequence,
		State: row.State, Role: row.Role, CloseReason: row.CloseReason, Environment: row.Environment, ServiceName: row.ServiceName,
		HostID: row.HostID, HostName: row.HostName, PID: row.PID, Executable: row.Executable, User: row.User,
		ContainerID: row.ContainerID, PodUID: row.PodUID, kubernetesJSON: kubernetesView(&row.Origin),
		LocalAddress: addrText(row.LocalAddress), LocalPort: row.LocalPort, PeerAddress: addrText(row.PeerAddress), PeerPort: row.PeerPort,
		ServerAddress: row.ServerAddress, Protocol: row.Protocol, ProtocolVersion: row.ProtocolVersion,
		TLSVersion: row.TLSVersion, TLSCipher: row.TLSCipher, TLSNextProtocol: row.TLSNextProtocol,
		SentBytes: row.SentBytes, ReceivedBytes: row.ReceivedBytes, SentPackets: row.SentPackets, ReceivedPackets: row.ReceivedPackets,
		Retransmits: row.Retransmits, RTT: int64(row.RTT), Duration: int64(row.Duration), Requests: row.Requests,
		Visibility: row.Visibility, Reason: row.Reason, Transport: row.Transport, NameSource: row.NameSource,
	}
}
