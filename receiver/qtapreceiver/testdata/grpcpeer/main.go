// SPDX-License-Identifier: Apache-2.0

// Command grpcpeer is a gRPC health server whose status changes twice a second, or a client that watches it for three
// seconds, for tests.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

var listen = flag.String("listen", "", "serve here")

func main() {
	flag.Parse()
	if *listen != "" {
		l, err := net.Listen("tcp", *listen)
		check(err)
		h, s := health.NewServer(), grpc.NewServer()
		healthpb.RegisterHealthServer(s, h)
		go func() {
			for i := 0; ; i++ {
				h.SetServingStatus("lab", []healthpb.HealthCheckResponse_ServingStatus{healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING}[i%2])
				time.Sleep(500 * time.Millisecond)
			}
		}()
		check(s.Serve(l))
	}
	cc, err := grpc.NewClient("passthrough:///"+flag.Arg(0), grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	c := healthpb.NewHealthClient(cc)
	_, err = c.Check(ctx, &healthpb.HealthCheckRequest{Service: "none"})
	fmt.Println(status.Code(err))
	_, err = c.Check(ctx, &healthpb.HealthCheckRequest{Service: "lab"})
	check(err)
	w, err := c.Watch(ctx, &healthpb.HealthCheckRequest{Service: "lab"})
	check(err)
	n := 0
	for err == nil {
		if _, err = w.Recv(); err == nil {
			n++
		}
	}
	fmt.Println(n, status.Code(err))
	check(cc.Close())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
