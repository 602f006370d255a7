// SPDX-License-Identifier: Apache-2.0

package qpoints3exporter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
	"github.com/qpoint-io/otelcol-qpoint/internal/retention"
)

// Values of Config.Lifecycle.
const (
	LifecycleVerify  = "verify"
	LifecycleRequire = "require"
	LifecycleOff     = "off"
)

// keeping is what is known of how long objects are kept.
type keeping struct {
	classes retention.Classes
	// verified says that the bucket does what classes say. Else nobody knows when an object goes.
	verified atomic.Bool
	// unseen says that the bucket's lifecycle is still to be looked at; looking is held by whoever does.
	unseen  atomic.Bool
	looking sync.Mutex
	// midnight says that objects go at the end of a day (UTC), as in the lifecycle of S3.
	midnight bool
	withdraw []func()
}

// startRetention makes the classes known, and sees to it that somebody removes what is older: a storage that does so itself
// is told to, and a bucket's lifecycle is to be looked at, both whether the bucket answers yet or not.
func (e *s3Exporter) startRetention(storage s3settings.Storage) {
	e.keep.classes = e.cfg.RetentionClasses
	e.keep.withdraw = append(e.keep.withdraw, retention.Declare(e.cfg.RetentionClasses))
	if len(e.cfg.RetentionClasses) == 0 {
		return // the bucket's lifecycle is its owner's
	}
	if expirer, ok := storage.(s3settings.Expirer); ok {
		var rules []s3settings.Expiry
		for _, name := range slices.Sorted(maps.Keys(e.cfg.RetentionClasses)) {
			if ttl := e.cfg.RetentionClasses[name]; ttl > 0 {
				rules = append(rules, s3settings.Expiry{Prefix: e.classPrefix(name), After: ttl})
			}
		}
		e.keep.withdraw = append(e.keep.withdraw, expirer.Expire(rules))
		e.keep.verified.Store(true)
		return
	}
	e.keep.midnight = true
	e.keep.unseen.Store(e.cfg.Lifecycle != LifecycleOff)
}

// lookAtLifecycle verifies the lifecycle unless that is done: at start, or once the bucket answers.
func (e *s3Exporter) lookAtLifecycle(ctx context.Context) error {
	if !e.keep.unseen.Load() {
		return nil
	}
	e.keep.looking.Lock()
	defer e.keep.looking.Unlock()
	if !e.keep.unseen.Load() {
		return nil
	}
	if err := e.verifyLifecycle(ctx); err != nil {
		return err
	}
	e.keep.unseen.Store(false)
	return nil
}

// verifyLifecycle holds the bucket's lifecycle against the classes. What differs is said, with the configuration to apply: as
// an error under LifecycleRequire.
func (e *s3Exporter) verifyLifecycle(ctx context.Context) error {
	want := e.expirations()
	rules, err := e.store.Lifecycle(ctx)
	if err != nil {
		err = fmt.Errorf("%s: the lifecycle cannot be verified: %w: allow s3:GetLifecycleConfiguration, or set `lifecycle: off`", e.where, err)
		if e.cfg.Lifecycle == LifecycleRequire {
			return err
		}
		e.logger.Warn("Nobody knows whether payloads go when `retention_classes` says.", zap.Error(err))
		return nil
	}
	differences := objectstore.Differences(rules, want)
	if len(differences) == 0 {
		e.keep.verified.Store(true)
		e.logger.Info("The bucket's lifecycle keeps payloads as `retention_classes` says.")
		return nil
	}
	apply, err := objectstore.LifecycleJSON(rules, want)
	if err != nil {
		return err
	}
	if e.cfg.Lifecycle == LifecycleRequire {
		return fmt.Errorf("%s: the lifecycle is not as `retention_classes` says: %s: apply this one: %s", e.where, strings.Join(differences, "; "), apply)
	}
	e.logger.Warn("The bucket's lifecycle is not as `retention_classes` says. Apply the configuration, which leaves the rules of others as they are.",
		zap.String("bucket", e.where), zap.Strings("differences", differences), zap.String("configuration", apply))
	return nil
}

// expirations is what the bucket's lifecycle is to do, by class.
func (e *s3Exporter) expirations() (want []objectstore.Expiration) {
	for _, name := range slices.Sorted(maps.Keys(e.cfg.RetentionClasses)) {
		want = append(want, objectstore.Expiration{
			ID: "qpoint-" + e.cfg.Environment + "-" + name, Prefix: e.classPrefix(name),
			TagKey: retention.Tag, TagValue: name, Days: int32(e.cfg.RetentionClasses[name] / retention.Day),
		})
	}
	return want
}

// classPrefix begins the keys of all objects of a class.
func (e *s3Exporter) classPrefix(name string) string {
	return objectkey.InBucket(e.cfg.Prefix, e.cfg.Environment, name+"/")
}

// expires is when an object that is stored now goes; zero when that is not known, or never.
func (e *s3Exporter) expires(class string, now time.Time) time.Time {
	ttl := e.keep.classes[class]
	if ttl == 0 || !e.keep.verified.Load() {
		return time.Time{}
	}
	at := now.Add(ttl)
	if e.keep.midnight {
		if day := at.UTC().Truncate(retention.Day); day.Before(at) {
			at = day.Add(retention.Day)
		}
	}
	return at
}

// tags are those of every object of a class.
func (e *s3Exporter) tags(class string) map[string]string {
	if len(e.cfg.RetentionClasses) == 0 {
		return e.cfg.Tags
	}
	tags := maps.Clone(e.cfg.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	tags[retention.Tag] = class
	return tags
}

// class returns the key under which a segment is stored: one of a class that nobody declared is kept as the default
// one says, and not lost.
func (e *s3Exporter) declaredKey(ctx context.Context, key string, records int) string {
	class := objectkey.Class(key)
	if e.cfg.RetentionClasses.Has(class) {
		return key
	}
	e.telemetry.undeclared.Add(ctx, int64(records))
	if _, said := e.undeclared.LoadOrStore(class, true); !said {
		e.logger.Warn("Rules name a class that `retention_classes` does not declare: its payloads are kept under the class default.", zap.String("retention_class", class))
	}
	return objectkey.WithClass(key, objectkey.DefaultClass)
}

func (c *Config) validateRetention() error {
	errs := []error{c.RetentionClasses.Validate(c.Storage == nil)}
	switch c.Lifecycle {
	case LifecycleVerify, LifecycleRequire, LifecycleOff:
	default:
		errs = append(errs, fmt.Errorf("`lifecycle` is %q: it is verify, require or off", c.Lifecycle))
	}
	if _, ok := c.Tags[retention.Tag]; ok {
		errs = append(errs, fmt.Errorf("`tags` has %q, which is the retention class: rules give it (`retention_class`)", retention.Tag))
	}
	if len(c.RetentionClasses) > 0 && len(c.Tags) == 10 {
		errs = append(errs, errors.New("`tags` has 10 entries, and with `retention_classes` each object has one more: S3 takes at most 10"))
	}
	return errors.Join(errs...)
}
