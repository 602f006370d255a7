// SPDX-License-Identifier: Apache-2.0

// Package privacyguardextension implements the `privacy_guard` extension: before any
// receiver starts it walks the pipeline graph and aborts Start if payloads could reach
// anything but the user's bucket, or metadata anything without `anonymize`.
package privacyguardextension
