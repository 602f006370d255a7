// SPDX-License-Identifier: Apache-2.0

// Command instrumented is a web server that traces itself with the OpenTelemetry SDK: each request makes one to -call,
// and its spans go to -otlp, over HTTP or, with -grpc, over gRPC.
package main

import (
	"context"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
)

func main() {
	listen := flag.String("listen", "", "address to serve on")
	call := flag.String("call", "", "URL that each request calls")
	endpoint := flag.String("otlp", "", "host:port that spans are sent to")
	overGRPC := flag.Bool("grpc", false, "send them over gRPC")
	flag.Parse()
	if err := run(*listen, *call, *endpoint, *overGRPC); err != nil {
		log.Fatal(err)
	}
}

func run(listen, call, endpoint string, overGRPC bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var exporter *otlptrace.Exporter
	var err error
	if overGRPC {
		exporter, err = otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(endpoint), otlptracegrpc.WithInsecure())
	} else {
		exporter, err = otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(endpoint), otlptracehttp.WithInsecure())
	}
	if err != nil {
		return err
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter, trace.WithBatchTimeout(100*time.Millisecond)))
	defer func() { _ = provider.Shutdown(context.WithoutCancel(ctx)) }()
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})

	client := &http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport)}
	server := &http.Server{Addr: listen, ReadHeaderTimeout: time.Minute, Handler: otelhttp.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, call, nil)
		if err == nil {
			var res *http.Response
			if res, err = client.Do(req); err == nil {
				_, err = io.Copy(w, res.Body)
				_ = res.Body.Close()
			}
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	}), "serve")}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}
