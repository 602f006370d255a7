// SPDX-License-Identifier: Apache-2.0

// Package anonymizeprocessor implements the `anonymize` processor: what leaves a host as
// metadata passes through it. It keeps what is on the allow-list of package semantic, cleans
// what stays by its privacy class, removes everything else, and stamps each resource with
// the hash of its policy, without which `pulse` accepts nothing.
package anonymizeprocessor
