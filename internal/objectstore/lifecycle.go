// SPDX-License-Identifier: Apache-2.0

package objectstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Expiration is what a bucket's lifecycle is to do with the objects of one class.
type Expiration struct {
	// ID names the rule. Rules of other names are others'.
	ID string
	// Prefix begins the keys of the class and of no other.
	Prefix string
	// TagKey and TagValue are on every object of the class, and on no other.
	TagKey, TagValue string
	// Days is how long objects are kept; 0 is for ever.
	Days int32
}

// Lifecycle returns the rules of the bucket's lifecycle; none is no error.
func (s *S3) Lifecycle(ctx context.Context) ([]types.LifecycleRule, error) {
	out, err := s.client.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &s.bucket})
	if err == nil {
		return out.Rules, nil
	}
	err = classify("GetBucketLifecycleConfiguration", err)
	var e *Error
	if errors.As(err, &e) && e.Code == "NoSuchLifecycleConfiguration" {
		return nil, nil
	}
	return nil, err
}

// Differences says, for each class that the rules would not keep as wanted, what they do instead.
func Differences(rules []types.LifecycleRule, want []Expiration) (differences []string) {
	for _, w := range want {
		var by string
		days := int32(math.MaxInt32)
		var disabled []string
		say := func(format string, args ...any) {
			differences = append(differences, fmt.Sprintf("objects below %q ", w.Prefix)+fmt.Sprintf(format, args...))
		}
		for _, r := range rules {
			if r.Expiration == nil || r.Expiration.Days == nil && r.Expiration.Date == nil {
				continue
			}
			name := aws.ToString(r.ID)
			all, some := w.selected(r)
			switch {
			case !all && !some:
			case r.Status != types.ExpirationStatusEnabled:
				if all {
					disabled = append(disabled, name)
				}
			case r.Expiration.Date != nil:
				say("are removed at a date by rule %q", name)
			case !all:
				if n := *r.Expiration.Days; w.Days == 0 || n < w.Days {
					say("are in part removed after %d days by rule %q", n, name)
				}
			case *r.Expiration.Days < days: // of several rules, the shortest counts
				days, by = *r.Expiration.Days, name
			}
		}
		switch {
		case w.Days == 0 && by != "":
			say("are to be kept for ever, and rule %q removes them after %d days", by, days)
		case w.Days > 0 && by == "" && len(disabled) > 0:
			say("are never removed: rule %q is disabled", disabled[0])
		case w.Days > 0 && by == "":
			say("are never removed: no rule does it after %d days", w.Days)
		case w.Days > 0 && days != w.Days:
			say("are removed after %d days by rule %q, and not after %d", days, by, w.Days)
		}
	}
	return differences
}

// selected says whether a rule is for all objects of the class, or for some of them.
func (w Expiration) selected(r types.LifecycleRule) (all, some bool) {
	prefix, conditions := aws.ToString(r.Prefix), false //nolint:staticcheck // older rules have it
	var tags []types.Tag
	if f := r.Filter; f != nil {
		if f.Prefix != nil {
			prefix = *f.Prefix
		}
		if f.Tag != nil {
			tags = append(tags, *f.Tag)
		}
		conditions = f.ObjectSizeGreaterThan != nil || f.ObjectSizeLessThan != nil
		if a := f.And; a != nil {
			prefix, tags = aws.ToString(a.Prefix), a.Tags
			conditions = a.ObjectSizeGreaterThan != nil || a.ObjectSizeLessThan != nil
		}
	}
	if !strings.HasPrefix(w.Prefix, prefix) && !strings.HasPrefix(prefix, w.Prefix) {
		return false, false
	}
	for _, t := range tags {
		if aws.ToString(t.Key) != w.TagKey {
			conditions = true // somebody else's tag, which some may have
		} else if aws.ToString(t.Value) != w.TagValue {
			return false, false
		}
	}
	return strings.HasPrefix(w.Prefix, prefix) && !conditions, true
}

// LifecycleJSON returns the configuration that keeps classes as wanted, in the form that `aws s3api
// put-bucket-lifecycle-configuration --lifecycle-configuration` takes. Rules of other names stay as they are: whoever
// puts a configuration replaces all of it.
func LifecycleJSON(rules []types.LifecycleRule, want []Expiration) (string, error) {
	ours := func(r types.LifecycleRule) bool {
		return slices.ContainsFunc(want, func(w Expiration) bool { return w.ID == aws.ToString(r.ID) })
	}
	all := slices.DeleteFunc(slices.Clone(rules), ours)
	for _, w := range want {
		if w.Days > 0 {
			all = append(all, types.LifecycleRule{
				ID: &w.ID, Status: types.ExpirationStatusEnabled,
				Filter:     &types.LifecycleRuleFilter{Prefix: &w.Prefix},
				Expiration: &types.LifecycleExpiration{Days: &w.Days},
				// In a bucket that keeps versions, an object that has expired is still there as an older one.
				NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(1)},
			})
		}
	}
	b, err := json.Marshal(map[string]any{"Rules": all})
	if err != nil {
		return "", err
	}
	var tree any
	if err := json.Unmarshal(b, &tree); err != nil {
		return "", err
	}
	b, err = json.Marshal(prune(tree))
	return string(b), err
}

// prune drops what is not set, which the SDK's types write as null.
func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if value == nil || value == "" {
				if key != "Prefix" || value == nil {
					delete(v, key)
				}
				continue
			}
			v[key] = prune(value)
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
	}
	return v
}
