// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"net/http"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

type connectionJSON struct {
	handshakeJSON
	Time            string `json:"time"`
	Start           string `json:"start"`
	ConnectionID    string `json:"connection_id"`
	Sequence        uint32 `json:"sequence"`
	State           string `json:"state"`
	Role            string `json:"role"`
	CloseReason     string `json:"close_reason,omitempty"`
	Environment     string `json:"environment"`
	ServiceName     string `json:"service_name"`
	HostID          string `json:"host_id,omitempty"`
	HostName        string `json:"host_name,omitempty"`
	PID             uint32 `json:"pid,omitempty"`
	Executable      string `json:"executable,omitempty"`
	User            string `json:"user,omitempty"`
	ContainerID     string `json:"container_id,omitempty"`
	PodUID          string `json:"pod_uid,omitempty"`
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
}

type connectionsAnswer struct {
	Connections []connectionJSON `json:"connections"`
}

var connectionParams = []string{"from", "to", "limit", "connection"}

func (a *api) getConnections(r *http.Request) (any, error) {
	p, err := parseParams(r.URL.Query(), connectionParams)
	if err != nil {
		return nil, err
	}
	q := pulsestore.ConnectionQuery{Environment: a.environment}
	if q.From, q.To, err = p.span(a.now()); err != nil {
		return nil, err
	}
	if q.Limit, err = p.int("limit", defaultLimit, maxLimit); err != nil {
		return nil, err
	}
	if q.ConnectionID, err = p.connection(); err != nil {
		return nil, err
	}
	answer := connectionsAnswer{Connections: []connectionJSON{}}
	err = a.query(r.Context(), func(ctx context.Context) error {
		rows, err := a.reader.Connections(ctx, q)
		for i := range rows {
			answer.Connections = append(answer.Connections, connectionView(&rows[i]))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func connectionView(row *pulsestore.Connection) connectionJSON {
	return connectionJSON{
		handshakeJSON: handshakeView(&row.Handshake),
		Time:          timeText(row.Time), Start: timeText(row.Start), ConnectionID: connectionText(row.ConnectionID), Sequence: row.Sequence,
		State: row.State, Role: row.Role, CloseReason: row.CloseReason, Environment: row.Environment, ServiceName: row.ServiceName,
		HostID: row.HostID, HostName: row.HostName, PID: row.PID, Executable: row.Executable, User: row.User,
		ContainerID: row.ContainerID, PodUID: row.PodUID,
		LocalAddress: addrText(row.LocalAddress), LocalPort: row.LocalPort, PeerAddress: addrText(row.PeerAddress), PeerPort: row.PeerPort,
		ServerAddress: row.ServerAddress, Protocol: row.Protocol, ProtocolVersion: row.ProtocolVersion,
		TLSVersion: row.TLSVersion, TLSCipher: row.TLSCipher, TLSNextProtocol: row.TLSNextProtocol,
		SentBytes: row.SentBytes, ReceivedBytes: row.ReceivedBytes, SentPackets: row.SentPackets, ReceivedPackets: row.ReceivedPackets,
		Retransmits: row.Retransmits, RTT: int64(row.RTT), Duration: int64(row.Duration), Requests: row.Requests,
		Visibility: row.Visibility, Reason: row.Reason,
	}
}
