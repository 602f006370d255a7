// SPDX-License-Identifier: Apache-2.0

package canary

import _ "embed"

// Actor is a Python program that holds one end of the conversations of a plan. Its arguments are the role, "client" or
// "server", the path of the plan in JSON, the ports without and with TLS, and the paths of a certificate and its key;
// further ones are ignored.
//
//go:embed actor.py
var Actor string

// Datagrams is a Python program that sends its arguments over UDP: to ports of nothing that is read, and in questions of DNS and answers
// to them, which it gives itself. The first two arguments are the ports that it sends from.
//
//go:embed datagrams.py
var Datagrams string
