// SPDX-License-Identifier: Apache-2.0

package pulsestore

import "context"

// MigrateTo is Migrate of a binary that knew the migrations up to last only.
func (s *Store) MigrateTo(ctx context.Context, opts SchemaOptions, last uint32) error {
	return s.migrateTo(ctx, opts, last)
}
