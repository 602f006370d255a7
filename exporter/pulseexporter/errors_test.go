// SPDX-License-Identifier: Apache-2.0

package pulseexporter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
)

func TestClassify(t *testing.T) {
	exception := func(code int32) error {
		return fmt.Errorf("insert into requests: %w", &clickhouse.Exception{Code: code, Message: "m"})
	}
	for _, c := range []struct {
		name string
		err  error
		want outcome
	}{
		{"no such column", exception(16), permanent},
		{"type mismatch", exception(53), permanent},
		{"unknown table", exception(60), permanent},
		{"unknown database", exception(81), permanent},
		{"unknown setting", exception(115), permanent},
		{"incorrect data", exception(117), permanent},
		{"user may not write", exception(164), permanent},
		{"access denied", exception(497), permanent},
		{"authentication failed", exception(516), permanent},
		{"too many queries", exception(202), throttle},
		{"quota", exception(201), throttle},
		{"memory limit", exception(241), throttle},
		{"disk full", exception(243), throttle},
		{"too many parts", exception(252), throttle},
		{"overloaded", exception(745), throttle},
		{"statement timed out", exception(159), retry},
		{"socket timeout", exception(209), retry},
		{"network", exception(210), retry},
		{"aborted", exception(236), retry},
		{"table is read-only for a while", exception(242), retry},
		{"too few replicas", exception(285), retry},
		{"unknown status of insert", exception(319), retry},
		{"cancelled", exception(394), retry},
		{"keeper", exception(999), retry},
		{"a code of the future", exception(100_000), retry},
		{"http, with exception", &clickhouse.HTTPError{StatusCode: 500, Err: exception(60)}, permanent},
		{"http 401", &clickhouse.HTTPError{StatusCode: 401, Err: errors.New("x")}, permanent},
		{"http 404", &clickhouse.HTTPError{StatusCode: 404, Err: errors.New("x")}, permanent},
		{"http 408", &clickhouse.HTTPError{StatusCode: 408, Err: errors.New("x")}, retry},
		{"http 429", &clickhouse.HTTPError{StatusCode: 429, Err: errors.New("x")}, throttle},
		{"http 502", &clickhouse.HTTPError{StatusCode: 502, Err: errors.New("x")}, retry},
		{"http 503", &clickhouse.HTTPError{StatusCode: 503, Err: errors.New("x")}, throttle},
		{"connection refused", &net.OpError{Op: "dial", Err: errors.New("refused")}, retry},
		{"timeout", context.DeadlineExceeded, retry},
	} {
		t.Run(c.name, func(t *testing.T) {
			assert.Equal(t, c.want, classify(c.err))
			err := forHelper(c.err)
			assert.ErrorIs(t, err, c.err)
			assert.Equal(t, c.want == permanent, consumererror.IsPermanent(err))
			// exporterhelper has no way to ask for a throttle but its type.
			assert.Equal(t, c.want == throttle, fmt.Sprintf("%T", err) == fmt.Sprintf("%T", exporterhelper.NewThrottleRetry(err, 1)))
		})
	}
}
