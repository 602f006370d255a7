// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

type storedTableJSON struct {
	Table       string `json:"table"`
	Environment string `json:"environment"`
	Rows        uint64 `json:"rows"`
	Bytes       uint64 `json:"bytes"`
	Oldest      string `json:"oldest"`
	Newest      string `json:"newest"`
}

type storedObjectsJSON struct {
	Environment    string `json:"environment"`
	RetentionClass string `json:"retention_class,omitempty"`
	State          string `json:"state"`
	Objects        uint64 `json:"objects"`
	Entries        uint64 `json:"entries"`
	Bytes          uint64 `json:"bytes"`
	Size           uint64 `json:"size,omitempty"`
	Oldest         string `json:"oldest"`
	Newest         string `json:"newest"`
	FirstExpiry    string `json:"first_expiry,omitempty"`
}

type storageAnswer struct {
	Tables  []storedTableJSON   `json:"tables"`
	Objects []storedObjectsJSON `json:"objects"`
}

// getStorage answers what is stored. Of the bucket it knows what the records of segments say; it never asks the bucket.
func (a *api) getStorage(q *question) (any, error) {
	var answer storageAnswer
	var err error
	if answer.Tables, err = view(a, q, func(ctx context.Context) ([]pulsestore.Stored, error) { return a.reader.Stored(ctx, q.scope) },
		func(t *pulsestore.Stored) storedTableJSON {
			return storedTableJSON{t.Table, t.Environment, t.Rows, t.Bytes, timeText(t.Oldest), timeText(t.Newest)}
		}); err != nil {
		return nil, err
	}
	answer.Objects, err = view(a, q, func(ctx context.Context) ([]pulsestore.StoredObjects, error) {
		return a.reader.StoredObjects(ctx, q.scope)
	},
		func(o *pulsestore.StoredObjects) storedObjectsJSON {
			out := storedObjectsJSON{
				Environment: o.Environment, RetentionClass: o.RetentionClass, State: o.State, Objects: o.Objects, Entries: o.Entries, Bytes: o.Bytes,
				Oldest: timeText(o.Oldest), Newest: timeText(o.Newest), FirstExpiry: knownTime(o.FirstExpiry),
			}
			if o.Sized == o.Objects {
				out.Size = o.Size
			}
			return out
		})
	return answer, err
}
