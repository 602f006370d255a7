// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

// peerEnv makes this test's binary a program of its own: an http server of the files of a folder
// (`serve address folder`), or a client that writes what a URL gives it (`get url`). These tests
// need no compiler, interpreter or web server, so that they run in bare virtual machines too.
const peerEnv = "QPOINT_TEST_PEER"

func peer(args []string) {
	var err error
	switch args[0] {
	case "serve":
		err = http.ListenAndServe(args[1], http.FileServer(http.Dir(args[2])))
	case "get":
		var resp *http.Response
		if resp, err = http.Get(args[1]); err == nil {
			_, err = io.Copy(os.Stdout, resp.Body)
			resp.Body.Close()
		}
		http.DefaultClient.CloseIdleConnections()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
