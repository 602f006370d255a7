// SPDX-License-Identifier: Apache-2.0

// Package objectstore is the small part of S3 that storing payload segments needs, with errors
// that say what to do about them.
package objectstore

// Object is what is known of a stored object without reading it.
type Object struct {
	// Size is in bytes.
	Size int64
	// ETag is as the server gives it, quotes included.
	ETag string
	// Digest and Sum are the values that Put was given, or "" for an object that was not stored by Put.
	Digest string
	Sum    string
}

// Put describes an object to store.
type Put struct {
	Key  string
	Body []byte
	// Digest is a checksum of what the object holds. It is stored with the object, so that the
	// same content can be told from other content without reading either.
	Digest string
	// Sum is the SHA-256 of Body in hexadecimal digits. It is stored too: equal content in equal bytes.
	Sum string
	// Tags are put on the object.
	Tags map[string]string
}
