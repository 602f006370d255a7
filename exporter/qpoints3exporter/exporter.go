// SPDX-License-Identifier: Apache-2.0

package qpoints3exporter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/internal/archive"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
)

// checkTimeout bounds how long Start waits for a bucket that does not answer.
const checkTimeout = 5 * time.Second

// Reasons of dropped entries.
const (
	dropForeign   = "foreign"   // not a payload of a segment
	dropRefused   = "refused"   // the bucket or the credentials
	dropCollision = "collision" // other content under the same key
	dropInvalid   = "invalid"   // the server takes no such request
)

type s3Exporter struct {
	cfg       *Config
	logger    *zap.Logger
	telemetry *telemetry
	packers   sync.Pool
	receipts  consumer.Logs // nil for the exporter, which gives none

	host  component.Host
	where string
	store *objectstore.S3
	close func()
	// unhealthy is true after a recoverable status was reported, until the bucket takes an object.
	unhealthy atomic.Bool

	keep       keeping
	undeclared sync.Map // classes of which was said that nobody declared them
}

func newExporter(set exporter.Settings, cfg *Config, receipts consumer.Logs) (*s3Exporter, error) {
	t, err := newTelemetry(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	return &s3Exporter{
		cfg:       cfg,
		logger:    set.Logger,
		telemetry: t,
		receipts:  receipts,
		packers:   sync.Pool{New: func() any { return archive.NewPacker() }},
	}, nil
}

// start refuses a bucket that refuses us. A bucket that cannot be reached is not an error: it
// may come, and the queue keeps the payloads meanwhile.
func (e *s3Exporter) start(ctx context.Context, host component.Host) error {
	set, storage, err := e.settings(host)
	if err != nil {
		return err
	}
	store, err := objectstore.NewS3(ctx, set, objectstore.Options{
		ServerSideEncryption: e.cfg.SSE,
		KMSKeyID:             e.cfg.SSEKMSKeyID,
		StorageClass:         e.cfg.StorageClass,
	})
	if err != nil {
		return err
	}
	e.host, e.store, e.close = host, store, store.CloseIdle
	e.where = describe(set)

	e.startRetention(storage)

	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err = store.CheckBucket(ctx); err == nil {
		if err = e.lookAtLifecycle(ctx); err != nil {
			return errors.Join(err, e.shutdown(ctx))
		}
		return nil
	}
	err = fmt.Errorf("%s: %w%s", e.where, err, fix(err))
	if objectstore.ClassOf(err) == objectstore.Refused || errors.Is(err, objectstore.ErrCredentials) {
		return errors.Join(err, e.shutdown(ctx))
	}
	e.logger.Warn("The bucket cannot be used yet; payloads wait in `sending_queue`.", zap.Error(err))
	e.setHealth(err)
	return nil
}

// settings returns where the bucket is, from the config or from the extension it names.
func (e *s3Exporter) settings(host component.Host) (s3settings.Settings, s3settings.Storage, error) {
	if e.cfg.Storage == nil {
		set, err := e.cfg.settings()
		return set, nil, err
	}
	ext, ok := host.GetExtensions()[*e.cfg.Storage]
	if !ok {
		return s3settings.Settings{}, nil, fmt.Errorf("`storage: %s`: there is no such extension: add it under `extensions` and `service::extensions`", e.cfg.Storage)
	}
	storage, ok := ext.(s3settings.Storage)
	if !ok {
		return s3settings.Settings{}, nil, fmt.Errorf("`storage: %s`: this extension does not serve a bucket: use `local_s3`", e.cfg.Storage)
	}
	return storage.S3Settings(), storage, nil
}

func describe(set s3settings.Settings) string {
	if set.Endpoint == "" {
		return fmt.Sprintf("bucket %q in region %s of AWS", set.Bucket, set.Region)
	}
	return fmt.Sprintf("bucket %q at %s", set.Bucket, set.Endpoint)
}

// fix says what to change, for the errors where that is known.
func fix(err error) string {
	var e *objectstore.Error
	if !errors.As(err, &e) {
		return ""
	}
	switch e.Code {
	case "NoSuchBucket":
		return ": create the bucket or correct `bucket`"
	case "InvalidAccessKeyId":
		return ": correct `access_key`"
	case "SignatureDoesNotMatch":
		return ": correct `secret_key`"
	case "AccessDenied":
		return ": the credentials need s3:ListBucket on the bucket and s3:PutObject and s3:GetObject on its objects"
	case "AuthorizationHeaderMalformed", "PermanentRedirect":
		return ": correct `region`"
	case "RequestTimeTooSkewed":
		return ": set the clock of this host"
	}
	switch {
	case errors.Is(err, objectstore.ErrCredentials):
		return ": set `access_key` and `secret_key`, or provide credentials for the AWS SDK's default chain"
	case e.Class == objectstore.Refused:
		return ": check `endpoint`, `bucket`, `region`, `access_key` and `secret_key`"
	case e.Status == 0:
		return ": check `endpoint` and `ssl`, and that the service runs"
	}
	return ""
}

func (e *s3Exporter) shutdown(context.Context) error {
	for _, withdraw := range e.keep.withdraw {
		withdraw()
	}
	e.keep.withdraw = nil
	if e.close != nil {
		e.close()
	}
	return nil
}

// push stores every segment of the request. Segments that may succeed later come back in the
// error as the records to retry; those that cannot are counted, logged and left out of it.
func (e *s3Exporter) push(ctx context.Context, ld plog.Logs) error {
	segments, foreign := regroup(ld)
	var lost error
	if foreign > 0 {
		lost = fmt.Errorf("%d log records are not payloads of a segment: only `qtap_payload` may feed `qpoint_s3`", foreign)
		e.telemetry.dropped.Add(ctx, int64(foreign), reason(dropForeign))
	}
	var retry error
	again := plog.NewLogs()
	for _, s := range segments {
		err := e.putSegment(ctx, s)
		switch {
		case err == nil:
		case consumererror.IsPermanent(err):
			if lost == nil { // the others are in the counters; one line is enough
				lost = err
			}
		default:
			retry = err
			s.copyTo(again)
		}
	}
	switch {
	case retry == nil && lost == nil:
		return nil
	case retry == nil:
		return consumererror.NewPermanent(lost)
	case lost != nil:
		// One error cannot say both, and a permanent one would take the others with it.
		e.logger.Error("Payloads were given up.", zap.Error(lost))
	}
	return consumererror.NewLogs(retry, again)
}

// putSegment stores one segment, or the part of it that this request holds.
func (e *s3Exporter) putSegment(ctx context.Context, s *segment) error {
	packer := e.packers.Get().(*archive.Packer)
	defer e.packers.Put(packer)
	packed, err := packer.Pack(s.exchanges())
	if err != nil {
		e.telemetry.dropped.Add(ctx, int64(s.records()), reason(dropInvalid))
		return consumererror.NewPermanent(fmt.Errorf("segment %s: %w", s.key, err))
	}
	digest := hex.EncodeToString(packed.Digest[:])
	bare := e.declaredKey(ctx, s.key, s.records())
	if !s.complete() {
		// Named by its content: sent again it finds itself, and no other part of the segment.
		bare = objectkey.Part(bare, digest[:16])
	}
	key := objectkey.InBucket(e.cfg.Prefix, e.cfg.Environment, bare)
	if e.cfg.Lifecycle == LifecycleRequire {
		// Nothing is stored before it is known to go. Whoever mends the lifecycle loses nothing: it is tried again.
		if err := e.lookAtLifecycle(ctx); err != nil {
			e.telemetry.failures.Add(ctx, 1, class(objectstore.Retry.String()))
			e.setHealth(err)
			return err
		}
	}
	bytes := sha256.Sum256(packed.Bytes)
	sum := hex.EncodeToString(bytes[:])
	err = e.store.Put(ctx, objectstore.Put{Key: key, Body: packed.Bytes, Digest: digest, Sum: sum, Tags: e.tags(objectkey.Class(bare))})
	if err == nil {
		e.telemetry.objects.Add(ctx, 1)
		e.telemetry.bytes.Add(ctx, int64(len(packed.Bytes)))
		return e.stored(ctx, s, e.receipt(ctx, s, bare, packed, sum))
	}
	if objectstore.ClassOf(err) == objectstore.Exists {
		var there objectstore.Object
		there, err = e.store.Head(ctx, key)
		switch {
		case err == nil && there.Digest == digest:
			e.telemetry.duplicates.Add(ctx, 1)
			if there.Sum != sum { // another build packed the same into other bytes, and has given the receipt for them
				return e.stored(ctx, s, nil)
			}
			return e.stored(ctx, s, e.receipt(ctx, s, bare, packed, sum))
		case err == nil:
			e.telemetry.failures.Add(ctx, 1, class(objectstore.Exists.String()))
			e.telemetry.dropped.Add(ctx, int64(s.records()), reason(dropCollision))
			return consumererror.NewPermanent(fmt.Errorf("%s: object %s exists with other content and is left as it is", e.where, key))
		case notFound(err):
			// Deleted since. The next try finds the key free.
			return fmt.Errorf("%s: object %s is gone again", e.where, key)
		}
	}
	return e.failed(ctx, s, err)
}

// stored counts a segment that is in the bucket. Not while its receipt is refused: it then comes again, and would be counted again.
func (e *s3Exporter) stored(ctx context.Context, s *segment, receipt error) error {
	if receipt == nil {
		e.telemetry.entries.Add(ctx, int64(s.records()))
	}
	e.setHealth(nil)
	if err := e.lookAtLifecycle(ctx); err != nil {
		e.logger.Warn("The bucket's lifecycle cannot be held against `retention_classes`.", zap.Error(err))
	}
	return receipt
}

// failed counts a failed request and makes the error that exporterhelper acts on.
func (e *s3Exporter) failed(ctx context.Context, s *segment, err error) error {
	c := objectstore.ClassOf(err)
	e.telemetry.failures.Add(ctx, 1, class(c.String()))
	var oe *objectstore.Error
	errors.As(err, &oe)
	err = fmt.Errorf("%s: %w%s", e.where, err, fix(err))
	if c != objectstore.Invalid {
		e.setHealth(err)
	}
	switch c {
	case objectstore.Refused:
		e.telemetry.dropped.Add(ctx, int64(s.records()), reason(dropRefused))
		return consumererror.NewPermanent(err)
	case objectstore.Invalid:
		e.telemetry.dropped.Add(ctx, int64(s.records()), reason(dropInvalid))
		return consumererror.NewPermanent(err)
	case objectstore.Throttle:
		return exporterhelper.NewThrottleRetry(err, oe.RetryAfter)
	}
	return err
}

func notFound(err error) bool {
	var e *objectstore.Error
	return errors.As(err, &e) && e.Status == 404 && e.Code != "NoSuchBucket"
}

// setHealth reports a change of the component's status.
func (e *s3Exporter) setHealth(err error) {
	switch {
	case err != nil && e.unhealthy.CompareAndSwap(false, true):
		componentstatus.ReportStatus(e.host, componentstatus.NewRecoverableErrorEvent(err))
	case err == nil && e.unhealthy.CompareAndSwap(true, false):
		componentstatus.ReportStatus(e.host, componentstatus.NewEvent(componentstatus.StatusOK))
	}
}
