// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"debug/elf"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

func TestPorts_bits(t *testing.T) {
	has := func(p Ports, port uint16) bool {
		bits, _ := p.bits()
		return bits[port/64]>>(port%64)&1 == 1
	}
	_, filter := Ports{}.bits()
	require.False(t, filter)
	require.True(t, has(Ports{}, 0))
	require.True(t, has(Ports{}, 65535))
	require.True(t, has(Ports{Include: []uint16{80, 443}}, 443))
	require.False(t, has(Ports{Include: []uint16{80, 443}}, 81))
	require.False(t, has(Ports{Include: []uint16{80}, Exclude: []uint16{80}}, 80))
	require.False(t, has(Ports{Exclude: []uint16{65535}}, 65535))
}

func TestConfigDefaults(t *testing.T) {
	c := Config{}.withDefaults()
	require.Equal(t, 64<<20, c.RingBytes)
	require.Equal(t, LevelFull, c.Level)
	require.Contains(t, c.DenyProcesses, "vault")
	require.Equal(t, 1<<16, Config{RingBytes: 1}.withDefaults().RingBytes)
	require.Equal(t, 128<<20, Config{RingBytes: 65 << 20}.withDefaults().RingBytes)
	require.False(t, Config{Level: LevelConnections, Keys: true}.withDefaults().Keys)
}

func TestMissingError(t *testing.T) {
	f := Features{
		{Name: "a", State: Missing, Required: true, Reason: "why a"},
		{Name: "b", State: Missing},
		{Name: "c", State: Unknown, Required: true},
		{Name: "d", State: Missing, Required: true, Reason: "why d"},
	}
	err := f.check()
	var missing *MissingError
	require.True(t, errors.As(err, &missing))
	require.Len(t, missing.Features, 2)
	require.Equal(t, "this host or process lacks what the capture needs: a (why a); d (why d)", err.Error())
	require.NoError(t, f[1:3].check())
	require.Equal(t, Missing, f.Get("b"))
	require.Equal(t, Unknown, f.Get("z"))
}

// opensslLibrary is the system's libcrypto.
func opensslLibrary(t testing.TB) string {
	t.Helper()
	libs, err := filepath.Glob("/usr/lib*/*/libcrypto.so.3")
	require.NoError(t, err)
	if len(libs) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs OpenSSL 3")
		}
		t.Skip("needs OpenSSL 3")
	}
	return libs[0]
}

// TestFindFunction compares with the standard library's reading of the whole table.
func TestFindFunction(t *testing.T) {
	path := opensslLibrary(t)
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	e, err := elf.NewFile(f)
	require.NoError(t, err)
	syms, err := e.DynamicSymbols()
	require.NoError(t, err)
	n := 0
	for i, s := range syms {
		if elf.ST_TYPE(s.Info) != elf.STT_FUNC || s.Section == elf.SHN_UNDEF || i%50 != 0 && s.Name != "EVP_KDF_derive" {
			continue
		}
		got, err := lookup(e, s.Name)
		require.NoError(t, err, s.Name)
		require.Equal(t, s.Value, got.Value, s.Name)
		require.Equal(t, s.Size, got.Size, s.Name)
		slow, err := lookupSlow(e, s.Name)
		require.NoError(t, err)
		require.Equal(t, got.Value, slow.Value)
		n++
	}
	require.Greater(t, n, 50)
	for _, name := range []string{"", "memcpy", "EVP_KDF_derive_", "no such symbol"} {
		_, err := lookup(e, name)
		require.ErrorIs(t, err, errNoSymbol, name)
	}
	fn, err := findFunction(e, "EVP_KDF_derive")
	require.NoError(t, err)
	code := make([]byte, len(fn.code))
	_, err = f.ReadAt(code, int64(fn.offset))
	require.NoError(t, err)
	require.Equal(t, code, fn.code)
	_, err = openELF(f, elf.EM_S390)
	require.ErrorIs(t, err, errNoSymbol)
}

func FuzzFindFunction(f *testing.F) {
	b, err := os.ReadFile("/bin/true")
	require.NoError(f, err)
	f.Add(b)
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := openELF(sliceReader(b), nativeMachine)
		if err != nil {
			return
		}
		if fn, err := findFunction(e, "main"); err == nil {
			probePoint(fn.code)
		}
		_, _ = findLocal(e, "main")
		if text, err := readTLSText(e); err == nil {
			_, _ = text.implementation()
			_, _, _ = findBoringSSL(e, text)
			_, _, _ = findOpenSSL(e, text)
		}
	})
}

type sliceReader []byte

func (s sliceReader) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(s)) {
		return 0, os.ErrInvalid
	}
	n := copy(b, s[off:])
	if n < len(b) {
		return n, os.ErrInvalid
	}
	return n, nil
}

// lastEvent keeps a copy of what came last.
type lastEvent struct {
	packet  event.Packet
	socket  event.Socket
	secret  event.Secret
	process event.Process
	n       int
}

func (l *lastEvent) Packet(p *event.Packet)   { l.packet = *p; l.n++ }
func (l *lastEvent) Socket(s *event.Socket)   { l.socket = *s; l.n++ }
func (l *lastEvent) Secret(s *event.Secret)   { l.secret = *s; l.n++ }
func (l *lastEvent) Process(p *event.Process) { l.process = *p; l.n++ }
func (l *lastEvent) Lost(string, uint64)      {}
func (l *lastEvent) Idle(int64)               {}

func TestDecodeSocket(t *testing.T) {
	var l lastEvent
	d := decoder{handler: &l, offset: 1000}
	d.socketEvent(&bpf.SocketRecord{
		What: uint8(event.SocketClosed), Role: uint8(event.RoleClient), Reason: uint8(event.CloseFIN), Time: 5,
		Flags: bpf.SocketSynAcked | bpf.SocketFinAcked | bpf.SocketFinReceived, BytesAcked: 102, BytesReceived: 201,
		Addr: bpf.Tuple{Local: netip.MustParseAddr("::ffff:10.0.0.1").As16(), LocalPort: 1, Remote: netip.MustParseAddr("2001:db8::1").As16(), RemotePort: 2},
		Comm: [16]byte{'a', 'b'},
	})
	require.EqualValues(t, 100, l.socket.BytesSent)
	require.EqualValues(t, 200, l.socket.BytesReceived)
	require.EqualValues(t, 1005, l.socket.Time)
	require.Equal(t, netip.MustParseAddrPort("10.0.0.1:1"), l.socket.Local)
	require.Equal(t, netip.MustParseAddrPort("[2001:db8::1]:2"), l.socket.Remote)
	require.Equal(t, "ab", l.socket.Comm)
	require.EqualValues(t, 0, without(1, 3))
}

func TestDecodeWipesSecrets(t *testing.T) {
	var l lastEvent
	d := decoder{handler: &l}
	b := make([]byte, bpf.SecretRecordSize)
	b[0], b[2], b[3], b[4] = bpf.RecordSecret, 12, 32, 32
	for i := 24; i < len(b); i++ {
		b[i] = 0xaa
	}
	d.decode(b)
	require.Equal(t, 1, l.n)
	require.Equal(t, make([]byte, len(b)), b)
}

func FuzzDecode(f *testing.F) {
	for kind := byte(0); kind < 6; kind++ {
		b := make([]byte, 300)
		b[0] = kind
		f.Add(b)
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		d := decoder{handler: &lastEvent{}, onExec: func(uint32) {}}
		d.decode(b)
	})
}

// discard is a handler that does nothing.
type discard struct{}

func (discard) Packet(*event.Packet)   {}
func (discard) Socket(*event.Socket)   {}
func (discard) Secret(*event.Secret)   {}
func (discard) Process(*event.Process) {}
func (discard) Lost(string, uint64)    {}
func (discard) Idle(int64)             {}

func BenchmarkDecodePacket(b *testing.B) {
	record := make([]byte, bpf.PacketRecordSize+4096)
	record[0] = bpf.RecordPacket
	record[37] = 4096 >> 8
	d := decoder{handler: discard{}}
	b.ReportAllocs()
	b.SetBytes(4096)
	for b.Loop() {
		d.decode(record)
	}
}

func TestDecodePacketDoesNotAllocate(t *testing.T) {
	record := make([]byte, bpf.PacketRecordSize+4096)
	record[0] = bpf.RecordPacket
	record[37] = 4096 >> 8
	var l lastEvent
	d := decoder{handler: &l}
	d.decode(record)
	require.Len(t, l.packet.Data, 4096)
	require.Zero(t, testing.AllocsPerRun(100, func() { d.decode(record) }))
}

// The sum of RFC 1071 §3's example, at every length and in both orders.
func TestChecksum(t *testing.T) {
	b := []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99, 0x88, 0x77, 0x66, 0x55}
	for n := range len(b) + 1 {
		var want uint32
		for i := 0; i < n; i += 2 {
			word := uint32(b[i])
			if i+1 < n {
				word |= uint32(b[i+1]) << 8
			}
			want += word
		}
		want = want>>16 + want&0xffff
		require.EqualValues(t, want>>16+want&0xffff, checksum(0, b[:n]), n)
	}
	require.EqualValues(t, 0xf2dd, checksum(0, b[:8]), "ddf2 in the other byte order")
	require.EqualValues(t, 1, checksum(0xffff, []byte{1, 0}), "with end-around carry")
}

func TestCorrupt(t *testing.T) {
	r := bpf.PacketRecord{Checks: bpf.PacketSummed, Len: 3, Data: []byte{1, 2, 3}}
	r.Sum = ^checksum(0, r.Data)
	require.False(t, corrupt(&r))
	r.Data[1] ^= 4
	require.True(t, corrupt(&r))
	r.Len = 4
	require.False(t, corrupt(&r), "not all of it is here")
	r.Len, r.Checks = 3, 0
	require.False(t, corrupt(&r), "nobody has computed it")
}
