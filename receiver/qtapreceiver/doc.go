// SPDX-License-Identifier: Apache-2.0

// Package qtapreceiver watches the TCP connections of a Linux host with eBPF and says what
// happened on them.
//
// It has two receiver types on one engine, so that the two kinds of data stay apart by type:
// `qtap` emits a span per request and connection logs, and never a payload; `qtap_payload`
// emits nothing but payloads.
package qtapreceiver // import "github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver"
