// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"errors"
	"fmt"
)

// ErrSchema says that the tables are not those that this binary writes.
var ErrSchema = errors.New("the schema is not up to date")

// CheckSchema returns an ErrSchema when the database has not the schema of this binary. One that is newer is fine.
func (s *Store) CheckSchema(ctx context.Context) error {
	schema := schema{database: s.database}
	steps, err := schema.migrations()
	if err != nil {
		return err
	}
	const remedy = "let one collector make them by `pulse` with `create_schema: true` and a user that may"
	applied, err := s.appliedMigrations(ctx, schema)
	if errors.Is(classify(err), ErrNoTables) {
		return fmt.Errorf("%w: database %q has no tables of ours: %s", ErrSchema, s.database, remedy)
	}
	if err != nil {
		return fmt.Errorf("read the schema's version, as `create_schema` is false: %w", err)
	}
	for _, step := range steps {
		if !applied[step.version] {
			return fmt.Errorf("%w: database %q lacks version %d (%s) of its tables, this binary writes version %d: %s", ErrSchema, s.database,
				step.version, step.name, steps[len(steps)-1].version, remedy)
		}
	}
	return nil
}
