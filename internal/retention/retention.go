// SPDX-License-Identifier: Apache-2.0

// Package retention says how long payloads are kept: classes, which rules of the receiver name and
// `qpoint_s3` declares, and the rules of a bucket's lifecycle that keep them.
package retention

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
)

// Tag is the tag of an object that names its class.
const Tag = "qpoint.retention_class"

// Day is what the lifecycle of S3 counts in.
const Day = 24 * time.Hour

// maxClasses bounds a list: a bucket takes 1000 rules, and each class has one.
const maxClasses = 100

// Classes are how long the objects of each class are kept; 0 is for ever.
type Classes map[string]time.Duration

// Validate names what is wrong; whole says that only whole days can be kept.
func (c Classes) Validate(whole bool) error {
	var errs []error
	if len(c) > maxClasses {
		errs = append(errs, fmt.Errorf("`retention_classes` has %d classes: at most %d", len(c), maxClasses))
	}
	for _, name := range slices.Sorted(maps.Keys(c)) {
		switch ttl := c[name]; {
		case !objectkey.ValidClass(name):
			errs = append(errs, fmt.Errorf("`retention_classes`: %q is not the name of a class: a letter, then at most 31 of a-z, 0-9 and -", name))
		case ttl < 0 || ttl%time.Second != 0:
			errs = append(errs, fmt.Errorf("`retention_classes::%s` must be whole seconds, or 0 to keep objects for ever", name))
		case whole && ttl%Day != 0:
			errs = append(errs, fmt.Errorf("`retention_classes::%s` is %s: the lifecycle of a bucket counts whole days: give a multiple of 24h", name, ttl))
		}
	}
	return errors.Join(errs...)
}

// Names are the classes that objects can have, in order: those declared, and the default one.
func (c Classes) Names() []string {
	names := slices.Collect(maps.Keys(c))
	if _, ok := c[objectkey.DefaultClass]; !ok {
		names = append(names, objectkey.DefaultClass)
	}
	slices.Sort(names)
	return names
}

// Has says whether a class is declared.
func (c Classes) Has(name string) bool {
	_, ok := c[name]
	return ok || name == objectkey.DefaultClass
}

// declared are the classes of the components of this process that store payloads.
var declared = struct {
	sync.Mutex
	by map[*Classes]bool
}{by: map[*Classes]bool{}}

// Declare makes known that a component of this process stores objects of these classes, until withdraw is called.
func Declare(c Classes) (withdraw func()) {
	declared.Lock()
	defer declared.Unlock()
	declared.by[&c] = true
	return func() {
		declared.Lock()
		defer declared.Unlock()
		delete(declared.by, &c)
	}
}

// Check returns an error when a class is declared by none of the components of this process that store payloads.
// Where there are none, somebody else stores them, and knows.
func Check(class string) error {
	declared.Lock()
	defer declared.Unlock()
	if len(declared.by) == 0 || class == "" {
		return nil
	}
	known := map[string]bool{}
	for c := range declared.by {
		for _, name := range c.Names() {
			known[name] = true
		}
	}
	if known[class] {
		return nil
	}
	return fmt.Errorf("`retention_class: %s` is not among `retention_classes` of qpoint_s3: declare it there, or name one of %s",
		class, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
}
