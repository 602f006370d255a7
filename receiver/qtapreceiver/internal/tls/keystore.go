// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"hash"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// KeyLimits bound a KeyStore. A zero field takes its default.
type KeyLimits struct {
	// MaxEntries is the number of handshake stages whose secrets are kept, about 300 bytes each.
	// The oldest goes first. Default 65536.
	MaxEntries int
	// TTL is how long a secret waits for its connection. Default 15 s: a Conn waits for a secret
	// at most 5 s, and takes its own copy when it finds one.
	TTL time.Duration
}

// KeyStats are the books of a KeyStore: Added = Entries + Expired + Evicted.
type KeyStats struct {
	// Secrets counts the events that were given to Add.
	Secrets uint64
	// Added counts new entries. Merged counts secrets that joined an entry or repeated it: both
	// ends of a local connection report the same ones.
	Added, Merged uint64
	// Ignored counts secrets of labels that decrypt nothing (exporter, resumption), Malformed those
	// whose lengths cannot be right.
	Ignored, Malformed uint64
	// Unreadable counts secrets that could not be read from their program's memory.
	Unreadable uint64
	// Expired and Evicted count entries that were wiped because of TTL and MaxEntries.
	Expired, Evicted uint64
	// Entries is the number of entries now.
	Entries uint64
}

// stage is the part of a connection that a secret protects.
type stage uint8

const (
	stageEarly stage = iota + 1
	stageHandshake
	stageApplication
	stageMaster12
)

// maxSecret is the length of the longest secret or transcript hash, SHA-384's.
const maxSecret = 48

// secret is a traffic secret (or TLS 1.2 master secret) by value, so that wiping it leaves no copy behind.
type secret struct {
	b [maxSecret]byte
	n int
}

func (s *secret) set(b []byte)  { clear(s.b[:]); s.n = copy(s.b[:], b) }
func (s *secret) bytes() []byte { return s.b[:s.n] }
func (s *secret) wipe()         { clear(s.b[:]); s.n = 0 }

// keyID is what a connection knows about the secret it needs: the stage and either the
// transcript hash or the client random.
type keyID struct {
	stage   stage
	random  bool // context is the client random
	n       uint8
	context [maxSecret]byte
}

func newKeyID(st stage, random bool, context []byte) keyID {
	id := keyID{stage: st, random: random, n: uint8(len(context))}
	copy(id.context[:], context)
	return id
}

type entry struct {
	client, server secret
	unreadable     bool // one of them was there, and could not be read
}

// KeyStore holds traffic secrets until their connections ask for them. It is not safe for
// concurrent use: the goroutine that feeds the Conns feeds it.
type KeyStore struct {
	limits  KeyLimits
	entries map[keyID]*entry
	queue   []queued // oldest first
	head    int
	gen     uint64 // grows with each secret, so that a waiting Conn knows when to look again
	now     int64
	stats   KeyStats

	bufs [][]byte // free record buffers, shared by the Conns of the goroutine
}

type queued struct {
	id keyID
	t  int64
}

// NewKeyStore returns an empty store.
func NewKeyStore(limits KeyLimits) *KeyStore {
	if limits.MaxEntries <= 0 {
		limits.MaxEntries = 65536
	}
	if limits.TTL <= 0 {
		limits.TTL = 15 * time.Second
	}
	return &KeyStore{limits: limits, entries: map[keyID]*entry{}}
}

// Stats returns the books.
func (k *KeyStore) Stats() KeyStats { return k.stats }

// Add takes a secret, derives what decrypts records, and wipes s.Secret. Secrets that decrypt
// nothing are only counted.
func (k *KeyStore) Add(s *event.Secret) {
	defer clear(s.Secret)
	k.stats.Secrets++
	k.now = max(k.now, s.Time)
	if len(s.Secret) == 0 {
		k.stats.Unreadable++
	}
	switch s.Kind {
	case event.SecretTLS13Derive:
		k.addDerive(s)
	case event.SecretKeyLog:
		k.addKeyLog(s)
	default:
		k.stats.Ignored++
	}
}

// addDerive takes a parent secret: RFC 8446 §7.1, Derive-Secret(PRK, label, transcript).
func (k *KeyStore) addDerive(s *event.Secret) {
	var st stage
	switch s.Label {
	case "c e traffic":
		st = stageEarly
	case "c hs traffic", "s hs traffic":
		st = stageHandshake
	case "c ap traffic", "s ap traffic":
		st = stageApplication
	default:
		k.stats.Ignored++
		return
	}
	h := hashOfLen(len(s.Context))
	if h == nil || len(s.Secret) != len(s.Context) && len(s.Secret) > 0 {
		k.stats.Malformed++
		return
	}
	e := k.entry(newKeyID(st, false, s.Context), s.Time)
	if len(s.Secret) == 0 {
		e.unreadable = true
		return
	}
	if e.client.n != 0 {
		return // the same parent and transcript give the same secrets
	}
	labels := [2]string{"c hs traffic", "s hs traffic"}
	switch st {
	case stageEarly:
		labels = [2]string{"c e traffic"}
	case stageApplication:
		labels = [2]string{"c ap traffic", "s ap traffic"}
	}
	for i, to := range [...]*secret{&e.client, &e.server} {
		if labels[i] != "" {
			b := expandLabel(h, s.Secret, labels[i], s.Context, len(s.Context))
			to.set(b)
			clear(b)
		}
	}
}

// addKeyLog takes a secret in the form of RFC 9850.
func (k *KeyStore) addKeyLog(s *event.Secret) {
	var st stage
	server := false
	switch s.Label {
	case "CLIENT_EARLY_TRAFFIC_SECRET":
		st = stageEarly
	case "CLIENT_HANDSHAKE_TRAFFIC_SECRET":
		st = stageHandshake
	case "SERVER_HANDSHAKE_TRAFFIC_SECRET":
		st, server = stageHandshake, true
	case "CLIENT_TRAFFIC_SECRET_0":
		st = stageApplication
	case "SERVER_TRAFFIC_SECRET_0":
		st, server = stageApplication, true
	case "CLIENT_RANDOM":
		st = stageMaster12
	default:
		k.stats.Ignored++
		return
	}
	unreadable := len(s.Secret) == 0
	if len(s.Context) != 32 || !unreadable && (hashOfLen(len(s.Secret)) == nil || st == stageMaster12 && len(s.Secret) != 48) {
		k.stats.Malformed++
		return
	}
	e := k.entry(newKeyID(st, true, s.Context), s.Time)
	if unreadable {
		e.unreadable = true
		return
	}
	to := &e.client
	if server {
		to = &e.server
	}
	if to.n == 0 {
		to.set(s.Secret)
	}
}

func (k *KeyStore) entry(id keyID, t int64) *entry {
	k.gen++
	if e := k.entries[id]; e != nil {
		k.stats.Merged++
		return e
	}
	for len(k.entries) >= k.limits.MaxEntries {
		k.dropOldest()
		k.stats.Evicted++
	}
	e := &entry{}
	k.entries[id] = e
	k.queue = append(k.queue, queued{id, t})
	k.stats.Added++
	k.stats.Entries++
	return e
}

// find copies the secret of one direction into dst and says whether there was one.
func (k *KeyStore) find(id keyID, client bool, dst *secret) bool {
	e := k.entries[id]
	if e == nil {
		return false
	}
	from := &e.server
	if client {
		from = &e.client
	}
	if from.n == 0 {
		return false
	}
	*dst = *from
	return true
}

// unreadable says that a secret was there that could not be read.
func (k *KeyStore) unreadable(id keyID) bool {
	e := k.entries[id]
	return e != nil && e.unreadable
}

func (k *KeyStore) dropOldest() {
	id := k.queue[k.head].id
	e := k.entries[id]
	e.client.wipe()
	e.server.wipe()
	delete(k.entries, id)
	k.stats.Entries--
	k.queue[k.head] = queued{}
	if k.head++; k.head > 1024 && k.head*2 > len(k.queue) {
		k.queue = append(k.queue[:0], k.queue[k.head:]...)
		k.head = 0
	}
}

// Tick wipes what is older than TTL. now is in Unix nanoseconds.
func (k *KeyStore) Tick(now int64) {
	k.now = max(k.now, now)
	for k.head < len(k.queue) && now-k.queue[k.head].t >= int64(k.limits.TTL) {
		k.dropOldest()
		k.stats.Expired++
	}
}

// SetBack says that the clock was set back to now: nothing is kept longer for that.
func (k *KeyStore) SetBack(now int64) {
	k.now = min(k.now, now)
	for i := k.head; i < len(k.queue); i++ {
		k.queue[i].t = min(k.queue[i].t, now)
	}
}

// Close wipes everything.
func (k *KeyStore) Close() {
	for k.head < len(k.queue) {
		k.dropOldest()
		k.stats.Expired++
	}
	k.bufs = nil
}

func hashOfLen(n int) func() hash.Hash {
	switch n {
	case 32:
		return sha256.New
	case 48:
		return sha512.New384
	}
	return nil
}

// expandLabel is HKDF-Expand-Label of RFC 8446 §7.1.
func expandLabel(h func() hash.Hash, prk []byte, label string, context []byte, n int) []byte {
	info := make([]byte, 0, 4+6+len(label)+len(context))
	info = binary.BigEndian.AppendUint16(info, uint16(n))
	info = append(info, byte(6+len(label)))
	info = append(info, "tls13 "...)
	info = append(info, label...)
	info = append(info, byte(len(context)))
	info = append(info, context...)
	b, err := hkdf.Expand(h, prk, string(info), n)
	if err != nil {
		// Only a length above 255 hashes can be wrong, and ours are constants.
		panic("tls: hkdf: " + err.Error())
	}
	return b
}

// takeBuf returns an empty buffer with room for one record.
func (k *KeyStore) takeBuf() []byte {
	if n := len(k.bufs); n > 0 {
		b := k.bufs[n-1]
		k.bufs = k.bufs[:n-1]
		return b
	}
	return make([]byte, 0, maxRecord)
}

// giveBuf takes a buffer back, if it is of the common size and few are kept already.
func (k *KeyStore) giveBuf(b []byte) {
	if cap(b) == maxRecord && len(k.bufs) < 64 {
		k.bufs = append(k.bufs, b[:0])
	}
}
