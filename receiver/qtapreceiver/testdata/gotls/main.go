// SPDX-License-Identifier: Apache-2.0

// Command gotls is an HTTPS server or client of crypto/tls, for tests. Go 1.18 can build it.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

var (
	listen   = flag.String("listen", "", "serve here")
	cert     = flag.String("cert", "", "certificate, also of the authority")
	key      = flag.String("key", "", "its key")
	mutual   = flag.Bool("mutual", false, "with client certificates")
	tls12    = flag.Bool("tls12", false, "TLS 1.2 only")
	keyLog   = flag.String("keylog", "", "append the session's secrets to this file")
	wait     = flag.Duration("wait", 0, "before the first request")
	conns    = flag.Int("conns", 1, "connections")
	requests = flag.Int("requests", 1, "requests per connection")
)

func main() {
	flag.Parse()
	c := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}
	if *tls12 {
		c.MaxVersion = tls.VersionTLS12
	}
	if *keyLog != "" {
		f, err := os.OpenFile(*keyLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		check(err)
		c.KeyLogWriter = f
	}
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		check(err)
		c.Certificates = []tls.Certificate{pair}
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		check(err)
		c.ClientCAs = x509.NewCertPool()
		c.ClientCAs.AddCert(leaf)
	}
	if *mutual {
		c.ClientAuth = tls.RequireAnyClientCert
	}
	if *listen != "" {
		serve(c)
	}
	time.Sleep(*wait)
	get(c, flag.Arg(0))
}

// serve answers every request with its path, three times.
func serve(c *tls.Config) {
	l, err := net.Listen("tcp", *listen)
	check(err)
	check(http.Serve(tls.NewListener(l, c), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, strings.Repeat(r.URL.Path, 3))
	})))
}

// get asks for url/<connection>-<request>, or url alone when there is only one, and prints that
// answer.
func get(c *tls.Config, url string) {
	var wg sync.WaitGroup
	for i := 0; i < *conns; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			client := http.Client{Transport: &http.Transport{TLSClientConfig: c}}
			for j := 0; j < *requests; j++ {
				u := url
				if *conns**requests > 1 {
					u = fmt.Sprintf("%s/%d-%d", url, i, j)
				}
				r, err := client.Get(u)
				check(err)
				b, err := io.ReadAll(r.Body)
				check(err)
				check(r.Body.Close())
				if *conns**requests == 1 {
					os.Stdout.Write(b)
				}
			}
		}(i)
	}
	wg.Wait()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
