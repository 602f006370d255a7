// SPDX-License-Identifier: Apache-2.0

package qpointeraseextension

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/extension/qpointeraseextension/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/internal/archive"
	"github.com/qpoint-io/otelcol-qpoint/internal/erasure"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

type eraser struct {
	cfg     *Config
	logger  *zap.Logger
	entries metric.Int64Counter

	mu    sync.Mutex // one order at a time, so that none reads what another one overwrites
	store *objectstore.S3
}

var (
	_ extension.Extension             = (*eraser)(nil)
	_ extensioncapabilities.Dependent = (*eraser)(nil)
	_ erasure.Eraser                  = (*eraser)(nil)
)

func newEraser(set extension.Settings, cfg *Config) (*eraser, error) {
	entries, err := set.MeterProvider.Meter(metadata.ScopeName).Int64Counter("otelcol_extension_qpoint_erase_entries",
		metric.WithDescription("Exchanges, and parts of them, that were erased in the bucket."), metric.WithUnit("{entry}"))
	return &eraser{cfg: cfg, logger: set.Logger, entries: entries}, err
}

// Dependencies makes the bucket start before.
func (e *eraser) Dependencies() []component.ID {
	if e.cfg.Storage == nil {
		return nil
	}
	return []component.ID{*e.cfg.Storage}
}

// Start looks for the bucket. Whether it may be changed is seen with the first order.
func (e *eraser) Start(ctx context.Context, host component.Host) error {
	set := e.cfg.settings()
	if e.cfg.Storage != nil {
		ext, ok := host.GetExtensions()[*e.cfg.Storage]
		if !ok {
			return fmt.Errorf("`qpoint_erase`: `storage` names %s, which is not among the service's extensions: add it to `service::extensions`", e.cfg.Storage)
		}
		storage, ok := ext.(s3settings.Storage)
		if !ok {
			return fmt.Errorf("`qpoint_erase`: `storage` names %s, which does not serve a bucket: use `local_s3`", e.cfg.Storage)
		}
		set = storage.S3Settings()
	}
	store, err := objectstore.NewS3(ctx, set, objectstore.Options{})
	if err != nil {
		return fmt.Errorf("`qpoint_erase`: %w", err)
	}
	e.store = store
	return nil
}

// Shutdown implements component.Component.
func (e *eraser) Shutdown(context.Context) error {
	if e.store != nil {
		e.store.CloseIdle()
	}
	return nil
}

var errVersions = errors.New("the bucket keeps versions: what is overwritten or deleted would stay readable as an older version: " +
	"turn versioning off and remove older versions, or erase them with the tools of the service")

// Erase implements erasure.Eraser.
func (e *eraser) Erase(ctx context.Context, tasks []erasure.Task, dryRun bool) (results []erasure.Result, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	versions, err := e.store.KeepsVersions(ctx)
	if err != nil {
		return nil, err
	}
	if versions {
		return nil, errVersions
	}
	for _, task := range tasks {
		if objectkey.Validate(task.Key) != nil || !semantic.ValidEnvironment(task.Environment) {
			continue // a row can say anything: qpoint_s3 has not written this
		}
		keys, err := e.objects(ctx, task)
		for _, key := range keys {
			if err == nil {
				results, err = e.eraseObject(ctx, task, key, dryRun, results)
			}
		}
		if err != nil {
			return results, err
		}
	}
	return results, nil
}

// objects returns the names of the objects that a segment may lie in: whole or in parts, and where a class that was not
// declared has put it.
func (e *eraser) objects(ctx context.Context, task erasure.Task) (keys []string, err error) {
	classes := []string{objectkey.Class(task.Key)}
	if classes[0] != objectkey.DefaultClass {
		classes = append(classes, objectkey.DefaultClass)
	}
	for _, class := range classes {
		stem := objectkey.InBucket(e.cfg.Prefix, task.Environment, objectkey.Stem(objectkey.WithClass(task.Key, class)))
		if err := e.store.List(ctx, stem, func(o objectstore.Listed) bool {
			keys = append(keys, o.Key)
			return true
		}); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// eraseObject erases the spans of a task in one object. Names in the archive say where they are: receipts are not needed.
func (e *eraser) eraseObject(ctx context.Context, task erasure.Task, name string, dryRun bool, results []erasure.Result) ([]erasure.Result, error) {
	was, err := e.store.Get(ctx, name)
	if err != nil || was == nil {
		return results, err
	}
	doomed := make(map[string][8]byte, len(task.Spans))
	for _, span := range task.Spans {
		doomed[hex.EncodeToString(span[:])] = span
	}
	var found [][8]byte
	erased, err := archive.Erase(was.Body, func(name string) bool {
		span, ok := doomed[name]
		if ok && !slices.Contains(found, span) {
			found = append(found, span)
		}
		return ok
	})
	if err != nil {
		return results, fmt.Errorf("object %s: %w", name, err)
	}
	if erased.Files == 0 {
		return results, nil
	}
	// A segment of which qpoint_s3 has not heard that it is stored is sent again: it must not find its key free.
	young := time.Since(objectkey.Opened(task.Key)) < erasure.OnItsWay
	r := erasure.Result{
		Environment: task.Environment, Key: strings.TrimPrefix(name, e.cfg.Prefix+task.Environment+"/"), Spans: found,
		Entries: erased.Files, Bytes: erased.Removed, Left: erased.Left, Deleted: erased.Left == 0 && !young, Size: int64(len(erased.Bytes)), SHA256: sha256.Sum256(erased.Bytes),
	}
	if dryRun {
		return append(results, r), nil
	}
	if r.Deleted {
		err = e.store.Delete(ctx, name)
	} else {
		err = e.store.Rewrite(ctx, was, erased.Bytes, hex.EncodeToString(r.SHA256[:]))
	}
	if err != nil {
		return results, fmt.Errorf("object %s: %w", name, err)
	}
	e.entries.Add(ctx, int64(r.Entries))
	return append(results, r), nil
}
