// SPDX-License-Identifier: Apache-2.0

package process

// Collector returns what records about the host itself carry as their resource: the host's names and the collector's.
func Collector(host Host) *Info { return &Info{ServiceName: "otelcol-qpoint", host: host} }
