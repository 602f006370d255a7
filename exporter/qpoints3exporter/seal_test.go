// SPDX-License-Identifier: Apache-2.0

package qpoints3exporter_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"

	"github.com/qpoint-io/otelcol-qpoint/exporter/qpoints3exporter"
	"github.com/qpoint-io/otelcol-qpoint/internal/archive"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// TestEncryption stores encrypted payloads in a real bucket, and reads one exchange of them by its receipt, with the command
// lines that the README names.
func TestEncryption(t *testing.T) {
	h, set := startBucket(t)
	id, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	var sink consumertest.LogsSink
	c := startConnector(t, h, &sink, func(cfg *qpoints3exporter.Config) {
		onLocalS3(cfg)
		cfg.Encryption.AgeRecipients = []string{id.Recipient().String()}
	})
	require.True(t, c.Capabilities().MutatesData, "payloads are replaced, so nobody else may hold them")
	key := newKey()
	require.NoError(t, c.ConsumeLogs(t.Context(), logs(key, 0, 3, 3)))
	objects := stored(t, set)
	require.Len(t, objects, 1)
	for name, object := range objects {
		for _, secret := range []string{"canary", "example.com", "hello", "token", "curl"} {
			require.NotContains(t, string(object), secret)
			require.NotContains(t, name, secret)
		}
		_, err := archive.Read(object)
		require.ErrorContains(t, err, "is encrypted")
	}

	keyFile := filepath.Join(t.TempDir(), "key.txt")
	require.NoError(t, os.WriteFile(keyFile, []byte("# created by age-keygen\n"+id.String()+"\n"), 0o600))
	tool := filepath.Join(t.TempDir(), "age")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-modfile=../../tools/go.mod", "-o", tool, "filippo.io/age/cmd/age").CombinedOutput()
	require.NoError(t, err, "%s", out)

	seen := 0
	for _, rl := range sink.AllLogs()[0].ResourceLogs().All() {
		require.Equal(t, map[string]any{semantic.ServiceName: "curl"}, rl.Resource().Attributes().AsRaw(), "the receipt is as without encryption")
		for _, lr := range rl.ScopeLogs().At(0).LogRecords().All() {
			if lr.EventName() != semantic.EventObjectEntry {
				continue
			}
			at := lr.Attributes().AsRaw()
			from, length := at[semantic.ObjectEntryOffset].(int64), at[semantic.ObjectEntryLength].(int64)
			entry := objects[inDefault(key)][from : from+length]
			header := 30 + int(binary.LittleEndian.Uint16(entry[26:])) + int(binary.LittleEndian.Uint16(entry[28:]))
			require.Equal(t, lr.SpanID().String()+".har.gz.age", string(entry[30:header]))

			cmd := exec.CommandContext(t.Context(), "sh", "-c", `"$0" -d -i "$1" | gunzip`, tool, keyFile)
			cmd.Stdin = bytes.NewReader(entry[header:])
			har, err := cmd.Output()
			require.NoError(t, err)
			x, err := archive.ReadHAR(har)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("/%d?token=canary", seen), x.Request.Target)
			require.Equal(t, lr.SpanID().String(), x.SpanID)
			require.Equal(t, "curl", x.Resource[semantic.ServiceName])
			seen++
		}
	}
	require.Equal(t, 3, seen)
}
