// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// keyLog reads a key log (RFC 9850): label to secret, and to the client random.
func keyLog(t *testing.T, path string) (secret, random map[string][]byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	secret, random = map[string][]byte{}, map[string][]byte{}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		random[f[0]], err = hex.DecodeString(f[1])
		require.NoError(t, err)
		secret[f[0]], err = hex.DecodeString(f[2])
		require.NoError(t, err)
	}
	return secret, random
}

// expandLabel is HKDF-Expand-Label of RFC 8446 §7.1.
func expandLabel(t *testing.T, prk []byte, label string, context []byte) []byte {
	t.Helper()
	info := []byte{0, byte(len(context)), byte(6 + len(label))}
	info = append(append(info, "tls13 "+label...), byte(len(context)))
	info = append(info, context...)
	h := sha256.New
	if len(context) == sha512.Size384 {
		h = sha512.New384
	}
	out, err := hkdf.Expand(h, prk, string(info), len(context))
	require.NoError(t, err)
	return out
}

// secretsOf waits for the secrets of a process.
func (h *host) secretsOf(pid uint32) []event.Secret {
	h.t.Helper()
	h.settle()
	var found []event.Secret
	for _, s := range h.secrets {
		if s.TGID == pid {
			found = append(found, s)
		}
	}
	return found
}

// TestSecrets compares what is captured with curl's own key log.
func TestSecrets(t *testing.T) {
	h := openHost(t)
	n := startNginx(t, h.cgroup, 100_000)
	url := fmt.Sprintf("https://127.0.0.1:%d/file", n.https)

	for cipher, size := range map[string]int{"TLS_AES_128_GCM_SHA256": 32, "TLS_AES_256_GCM_SHA384": 48, "TLS_CHACHA20_POLY1305_SHA256": 32} {
		t.Run(cipher, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "keys")
			c := curlIn(t, h.cgroup, []string{"SSLKEYLOGFILE=" + log}, "--tls13-ciphers", cipher, url)
			require.True(t, bytes.Equal(n.file, c.body))
			want, _ := keyLog(t, log)
			client := h.secretsOf(c.pid)
			require.Len(t, client, 2)
			for i, label := range []string{"c hs traffic", "c ap traffic"} {
				s := client[i]
				require.Equal(t, event.SecretTLS13Derive, s.Kind)
				require.Equal(t, label, s.Label)
				require.Len(t, s.Secret, size)
				require.Len(t, s.Context, size)
				require.WithinDuration(t, time.Now(), time.Unix(0, s.Time), 10*time.Second)
				names := [][2]string{{"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET"}, {"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}}[i]
				require.Equal(t, want[names[0]], expandLabel(t, s.Secret, label, s.Context))
				require.Equal(t, want[names[1]], expandLabel(t, s.Secret, "s"+label[1:], s.Context))
			}
			// The server derives the same.
			var server []event.Secret
			for _, pid := range n.workers(t) {
				for _, s := range h.secretsOf(pid) {
					if bytes.Equal(s.Context, client[0].Context) || bytes.Equal(s.Context, client[1].Context) {
						server = append(server, s)
					}
				}
			}
			require.Len(t, server, 2)
			for i := range server {
				require.Equal(t, client[i].Secret, server[i].Secret)
			}
		})
	}
	t.Run("TLS 1.2", func(t *testing.T) {
		log := filepath.Join(t.TempDir(), "keys")
		c := curlIn(t, h.cgroup, []string{"SSLKEYLOGFILE=" + log}, "--tls-max", "1.2", url)
		secret, random := keyLog(t, log)
		got := h.secretsOf(c.pid)
		require.Len(t, got, 1)
		require.Equal(t, event.SecretKeyLog, got[0].Kind)
		require.Equal(t, "CLIENT_RANDOM", got[0].Label)
		require.Equal(t, secret["CLIENT_RANDOM"], got[0].Secret)
		require.Equal(t, random["CLIENT_RANDOM"], got[0].Context)
		require.Len(t, got[0].Secret, 48)
	})
	t.Run("not TLS", func(t *testing.T) {
		for _, args := range [][]string{
			{"kdf", "-keylen", "32", "-kdfopt", "digest:SHA256", "-kdfopt", "key:secret", "-kdfopt", "salt:salt", "-kdfopt", "info:c hs traffic", "HKDF"},
			{"kdf", "-keylen", "32", "-kdfopt", "digest:SHA256", "-kdfopt", "pass:secret", "-kdfopt", "salt:salt", "-kdfopt", "iter:2", "PBKDF2"},
			{"kdf", "-keylen", "32", "-kdfopt", "digest:SHA256", "-kdfopt", "secret:012345678901234567890123456789012345678901234567", "-kdfopt", "seed:other label", "TLS1-PRF"},
		} {
			cmd := h.command("openssl", args...)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
			require.Empty(t, h.secretsOf(uint32(cmd.Process.Pid)), args)
		}
	})
}

// TestLibraryOfItsOwn runs a program with a copy of the library that no well-known path has.
func TestLibraryOfItsOwn(t *testing.T) {
	h := openHost(t)
	n := startNginx(t, h.cgroup, 1000)
	libs, err := filepath.Glob("/usr/lib/*/libcrypto.so.3")
	require.NoError(t, err)
	require.NotEmpty(t, libs)
	b, err := os.ReadFile(libs[0])
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "libcrypto.so.3"), b, 0o755))

	// Its handshake starts later than the libraries are looked for, as a service's would.
	cmd := h.command("sh", "-c", fmt.Sprintf("(sleep 1; printf 'GET /file HTTP/1.0\\r\\n\\r\\n'; sleep 1) | "+
		"LD_LIBRARY_PATH=%[1]s sh -c 'exec openssl s_client -quiet -connect 127.0.0.1:%[2]d'; "+
		"LD_LIBRARY_PATH=%[1]s openssl s_client -connect 127.0.0.1:%[2]d </dev/null", dir, n.https))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, h.capture.Summary().Libraries, filepath.Join(dir, "libcrypto.so.3"))
	require.Contains(t, h.capture.Summary().Libraries, libs[0])
	h.settle()
	workers := n.workers(t)
	clients := map[uint32]int{}
	for _, s := range h.secrets {
		clients[s.TGID]++
	}
	for _, w := range workers {
		delete(clients, w)
	}
	require.NotEmpty(t, clients, "no secret of the client that runs with the copy")
	for pid, n := range clients {
		require.Equal(t, 2, n, "secrets of %d", pid)
	}
}

// TestDenied checks that the secrets of processes on the deny-list are never read.
func TestDenied(t *testing.T) {
	h := openHost(t)
	n := startNginx(t, h.cgroup, 1000)
	b, err := os.ReadFile("/usr/bin/curl")
	require.NoError(t, err)
	sshd := filepath.Join(t.TempDir(), "sshd")
	require.NoError(t, os.WriteFile(sshd, b, 0o755))
	cmd := h.command(sshd, "-sk", "-o", os.DevNull, fmt.Sprintf("https://127.0.0.1:%d/file", n.https))
	require.NoError(t, cmd.Run())
	require.Empty(t, h.secretsOf(uint32(cmd.Process.Pid)))
	require.NotEmpty(t, h.secrets, "the server is not on the list")
}

// TestHeartbeat checks that no secret is written while nobody reads.
func TestHeartbeat(t *testing.T) {
	dir := newCgroup(t)
	n := startNginx(t, dir, 1000)
	c, err := Open(Config{CgroupPath: dir, Level: LevelFull, Keys: true})
	require.NoError(t, err)
	defer c.Close()
	url := fmt.Sprintf("https://127.0.0.1:%d/file", n.https)
	heartbeat := c.coll.Variables[bpf.CaptureVarHeartbeat]
	var now uint64
	require.NoError(t, heartbeat.Get(&now))
	before := curlIn(t, dir, nil, url)
	require.NoError(t, heartbeat.Set(now-uint64(31*time.Second)))
	silent := curlIn(t, dir, nil, url)

	h := &host{t: t, cgroup: dir, capture: c, rec: newRecorder()}
	h.run()
	require.Len(t, h.secretsOf(before.pid), 2)
	require.Empty(t, h.secretsOf(silent.pid))
	require.NotZero(t, h.lost["secret"], "what is not written is counted")
	require.Len(t, h.secretsOf(h.curl(url).pid), 2)
}

// TestUnreadableSecret checks that a secret that is not in memory is not passed over in silence.
func TestUnreadableSecret(t *testing.T) {
	h := openHost(t)
	python := h.command("python3", "-c", `
import ctypes
keep = []
class Param(ctypes.Structure):
    _fields_ = [("key", ctypes.c_char_p), ("type", ctypes.c_uint), ("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("ret", ctypes.c_size_t)]
def text(b):
    keep.append(ctypes.create_string_buffer(b, len(b)))
    return ctypes.addressof(keep[-1])
crypto = ctypes.CDLL("libcrypto.so.3")
for key, hash in ((8, text(bytes(range(32)))), (text(bytes(32)), 8)):
    p = (Param * 5)((b"prefix", 5, text(b"tls13 "), 6, 0), (b"label", 5, text(b"c hs traffic"), 12, 0), (b"key", 5, key, 32, 0), (b"data", 5, hash, 32, 0))
    crypto.EVP_KDF_derive(None, None, ctypes.c_size_t(32), p) # without a context it looks at nothing
`)
	require.NoError(t, python.Run())
	found := h.secretsOf(uint32(python.Process.Pid))
	require.Len(t, found, 2)
	require.Equal(t, "c hs traffic", found[0].Label)
	require.Empty(t, found[0].Secret)
	require.Len(t, found[0].Context, 32)
	require.Empty(t, found[1].Secret)
	require.Empty(t, found[1].Context)
}
