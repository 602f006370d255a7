// SPDX-License-Identifier: Apache-2.0

// Package pulsetokensextension implements the `pulse_tokens` extension: the authenticator of a Pulse
// gateway. A bearer token says which environment its sender writes to; the data never does.
package pulsetokensextension
