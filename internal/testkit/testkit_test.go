// SPDX-License-Identifier: Apache-2.0

package testkit

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { Main(m) }

func TestPort(t *testing.T) {
	given := map[int]bool{}
	for range 50 {
		port := Port(t)
		require.False(t, given[port], "given twice")
		given[port] = true
		_, err := net.Listen("unix", fmt.Sprintf("@qpoint-test-port-%d", port))
		require.Error(t, err, "another process could have it, too")
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		require.NoError(t, err)
		require.False(t, free(port))
		require.NoError(t, l.Close())
		require.True(t, free(port))
	}
	var once int
	t.Run("while it runs", func(t *testing.T) { once = Port(t) })
	claim, err := net.Listen("unix", fmt.Sprintf("@qpoint-test-port-%d", once))
	require.NoError(t, err, "a port is given back")
	require.NoError(t, claim.Close())
}

func TestLeaked(t *testing.T) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() { <-end; close(ended) }()
	require.Error(t, leaked(0))
	time.AfterFunc(time.Second, func() { close(end) })
	require.NoError(t, leaked(Patience), "it ends later than goleak looks")
	<-ended
}
