// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	goflag "flag"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/require"
)

func newIdentity(t testing.TB) *age.X25519Identity {
	id, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	return id
}

// unseal reads a sealed file as `age -d | gunzip` does.
func unseal(t testing.TB, sealed []byte, id age.Identity) []byte {
	r, err := age.Decrypt(bytes.NewReader(sealed), id)
	require.NoError(t, err)
	z, err := gzip.NewReader(r)
	require.NoError(t, err)
	har, err := io.ReadAll(z)
	require.NoError(t, err)
	return har
}

func TestSealedEntries(t *testing.T) {
	a, b := newIdentity(t), newIdentity(t)
	recipients, err := ParseRecipients([]string{a.Recipient().String(), " " + b.Recipient().String() + "\n"})
	require.NoError(t, err)
	s := NewSealer(recipients)

	x := sample()
	res, rec := toRecord(x)
	require.NoError(t, s.SealRecord(res, rec))
	require.ElementsMatch(t, []string{"qpoint.payload.sealed", "qpoint.connection.id"}, slices.Collect(func(yield func(string) bool) {
		for k := range rec.Attributes().All() {
			if !yield(k) {
				return
			}
		}
	}), "nothing else of the payload is left in the record")

	sealed := FromRecord(res, rec)
	archive := pack(t, sealed, sealed)
	for _, secret := range []string{"example.com", "caf", "POST", "curl", "192.0.2.1", "startedDateTime", "text/html", "q=1"} {
		require.NotContains(t, string(archive.Bytes), secret)
	}
	zr, err := zip.NewReader(bytes.NewReader(archive.Bytes), int64(len(archive.Bytes)))
	require.NoError(t, err)
	require.Equal(t, "0000000000000002.har.gz.age", zr.File[0].Name)
	require.Equal(t, "0000000000000002.2.har.gz.age", zr.File[1].Name)
	require.Equal(t, 1980, zr.File[0].Modified.Year(), "the time is inside")
	_, err = Read(archive.Bytes)
	require.ErrorContains(t, err, "encrypted")

	// One range of bytes is one exchange, whoever reads it.
	want := x
	want.TraceID, want.SpanID = sealed.TraceID, sealed.SpanID
	for _, id := range []age.Identity{a, b} {
		e := archive.Entries[1]
		entry := archive.Bytes[e.Offset : e.Offset+e.Length]
		data := entry[localHeader+len("0000000000000002.2.har.gz.age"):]
		got, err := ReadHAR(unseal(t, data, id))
		require.NoError(t, err)
		want.Response.Arrivals = nil
		require.Equal(t, want, got)
	}
	_, err = age.Decrypt(bytes.NewReader(sealed.Sealed), newIdentity(t))
	require.Error(t, err, "another key opens nothing")

	// What a disk queue gives back is the same object.
	require.Equal(t, archive.Digest, pack(t, FromRecord(res, rec), FromRecord(res, rec)).Digest)
}

// TestSealedSizes has bodies of all lengths: the sizes of their files fall into few classes.
func TestSealedSizes(t *testing.T) {
	id := newIdentity(t)
	s := NewSealer([]age.Recipient{id.Recipient()})
	sizes := map[int]int{}
	rng := rand.New(rand.NewPCG(1, 2))
	gunzip, err := exec.LookPath("gunzip")
	require.NoError(t, err)
	for n := range 3000 {
		x := sample()
		x.Request.Body = make([]byte, n) // noise does not shrink
		for i := range x.Request.Body {
			x.Request.Body[i] = byte(rng.Uint32())
		}
		sealed, err := s.Seal(&x)
		require.NoError(t, err)
		sizes[len(sealed)]++
		if n%100 == 0 {
			require.Contains(t, string(unseal(t, sealed, id)), `"version":"1.2"`)
		}
		if n == 1234 {
			r, err := age.Decrypt(bytes.NewReader(sealed), id)
			require.NoError(t, err)
			cmd := exec.Command(gunzip)
			cmd.Stdin = r
			out, err := cmd.Output()
			require.NoError(t, err, "another gunzip reads it, without a warning")
			require.Equal(t, unseal(t, sealed, id), out)
		}
	}
	require.Less(t, len(sizes), 60, "3000 lengths became that many")
	for n := range 1 << 16 {
		require.GreaterOrEqual(t, padded(n), n)
		require.LessOrEqual(t, padded(n), n+n/8+1)
	}
}

func TestParseRecipients(t *testing.T) {
	id := newIdentity(t)
	for bad, keys := range map[string][]string{
		"entry 2 is not a recipient": {id.Recipient().String(), "age1nothing"},
		"entry 1 is a secret key":    {id.String()},
		"names no recipient":         {},
		"entry 1 is not":             {""},
	} {
		_, err := ParseRecipients(keys)
		require.ErrorContains(t, err, bad)
		require.NotContains(t, err.Error(), id.String())
	}
	pq, err := age.GenerateHybridIdentity()
	require.NoError(t, err)
	_, err = ParseRecipients([]string{pq.Recipient().String()})
	require.NoError(t, err, "a post-quantum one")
	_, err = ParseRecipients([]string{pq.Recipient().String(), id.Recipient().String()})
	require.ErrorContains(t, err, "together")
}

func BenchmarkSeal(b *testing.B) {
	s := NewSealer([]age.Recipient{newIdentity(b).Recipient()})
	x := sample()
	x.Request.Body = bytes.Repeat([]byte("some text of a body "), 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Seal(&x); err != nil {
			b.Fatal(err)
		}
	}
}

var update = goflag.Bool("update", false, "write what the page's own test opens")

// sealedFixture is an entry of an archive as the page reads it from the bucket, its key, and what is in it.
type sealedFixture struct {
	Identity string `json:"identity"`
	Name     string `json:"name"`
	Entry    []byte `json:"entry"` // local header and data
	HAR      string `json:"har"`
}

// TestSealedFixture holds the file that the page's test opens against this package.
func TestSealedFixture(t *testing.T) {
	const file = "testdata/sealed.json"
	if *update {
		id := newIdentity(t)
		x := sample()
		sealed, err := NewSealer([]age.Recipient{id.Recipient()}).Seal(&x)
		require.NoError(t, err)
		a := pack(t, Exchange{SpanID: x.SpanID, Sealed: sealed})
		b, err := json.MarshalIndent(sealedFixture{id.String(), x.SpanID + Extension, a.Bytes[a.Entries[0].Offset:][:a.Entries[0].Length], string(unseal(t, sealed, id))}, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, append(b, '\n'), 0o644))
	}
	b, err := os.ReadFile(file)
	require.NoError(t, err, "run the test with -update once")
	var f sealedFixture
	require.NoError(t, json.Unmarshal(b, &f))
	id, err := age.ParseX25519Identity(f.Identity)
	require.NoError(t, err)
	got := unseal(t, f.Entry[localHeader+len(f.Name+SealedExtension):], id)
	require.Equal(t, f.HAR, string(got))
	x, err := ReadHAR(got)
	require.NoError(t, err)
	require.Equal(t, sample(), x, "the file is of this format: run the test with -update")
}
