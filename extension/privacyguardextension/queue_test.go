// SPDX-License-Identifier: Apache-2.0

package privacyguardextension

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
)

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Mode().Perm()
}

func TestQueueFolder(t *testing.T) {
	t.Parallel()
	for _, place := range []string{"exporters", "connectors"} {
		folder := t.TempDir()
		require.NoError(t, os.Chmod(folder, 0o750))
		file := filepath.Join(folder, "exporter_qpoint_s3__logs")
		require.NoError(t, os.WriteFile(file, nil, 0o644))
		notify := func(text string) error {
			g := newGuard(t).(extensioncapabilities.ConfigSnapshotWatcher)
			return g.NotifyConfigSnapshot(t.Context(), extensioncapabilities.NewConfigSnapshot(conf(t, text), nil))
		}
		text := "extensions: {file_storage/q: {directory: " + folder + "}}\n" + place + ": {qpoint_s3: {sending_queue: {storage: file_storage/q}}}"
		require.NoError(t, notify(text))
		require.Equal(t, os.FileMode(0o700), mode(t, folder), "mended")
		require.Equal(t, os.FileMode(0o600), mode(t, file), "mended")
		require.NoError(t, notify(text), "as it should be")

		require.NoError(t, os.Chmod(folder, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(folder, "somebody-elses"), nil, 0o600))
		require.ErrorContains(t, notify(text), "0755 lets others in, and it has more than queues (such as \"somebody-elses\")")
		require.Equal(t, os.FileMode(0o755), mode(t, folder), "a folder that serves others is left alone")

		require.ErrorContains(t, notify("extensions: {file_storage: {directory: "+folder+"/none}}\n"+place+": {qpoint_s3: {sending_queue: {storage: file_storage}}}"), "no such file")
		require.ErrorContains(t, notify("extensions: {redis_storage: {}}\n"+place+": {qpoint_s3: {sending_queue: {storage: redis_storage}}}"),
			"must be a `file_storage`, whose files stay on this host")
		require.NoError(t, notify("extensions: {redis_storage: {}, file_storage: {directory: "+folder+"}}\nexporters: {pulse: {sending_queue: {storage: redis_storage}}}\n"+
			"connectors: {qpoint_s3: {sending_queue: {queue_size: 100}}}"), "queues of metadata are not its business")
	}
}
