// SPDX-License-Identifier: Apache-2.0

package pulseexporter

import (
	"errors"
	"net/http"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
)

// throttleDelay is how long a server that is overloaded is left alone.
const throttleDelay = 10 * time.Second

// outcome says what a failed push deserves.
type outcome int

const (
	retry     outcome = iota // as retry_on_failure says: the network, a restart, a lost replica
	throttle                 // later: the server has too much to do, or no room
	permanent                // never: the same data would fail again until somebody changes something
)

// codes classifies ClickHouse's error codes (src/Common/ErrorCodes.cpp). What is not here is
// retried: nearly all of the other codes are of the network, of replicas or of a moment.
var codes = map[int32]outcome{
	6:   permanent, // CANNOT_PARSE_TEXT
	8:   permanent, // THERE_IS_NO_COLUMN
	10:  permanent, // NOT_FOUND_COLUMN_IN_BLOCK
	16:  permanent, // NO_SUCH_COLUMN_IN_TABLE
	20:  permanent, // NUMBER_OF_COLUMNS_DOESNT_MATCH
	27:  permanent, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
	33:  permanent, // CANNOT_READ_ALL_DATA
	36:  permanent, // BAD_ARGUMENTS
	41:  permanent, // CANNOT_PARSE_DATETIME
	43:  permanent, // ILLEGAL_TYPE_OF_ARGUMENT
	44:  permanent, // ILLEGAL_COLUMN
	47:  permanent, // UNKNOWN_IDENTIFIER
	48:  permanent, // NOT_IMPLEMENTED
	50:  permanent, // UNKNOWN_TYPE
	53:  permanent, // TYPE_MISMATCH
	60:  permanent, // UNKNOWN_TABLE
	62:  permanent, // SYNTAX_ERROR
	70:  permanent, // CANNOT_CONVERT_TYPE
	73:  permanent, // UNKNOWN_FORMAT
	81:  permanent, // UNKNOWN_DATABASE
	115: permanent, // UNKNOWN_SETTING
	117: permanent, // INCORRECT_DATA
	164: permanent, // READONLY: the user may not write
	192: permanent, // UNKNOWN_USER
	193: permanent, // WRONG_PASSWORD
	194: permanent, // REQUIRED_PASSWORD
	195: permanent, // IP_ADDRESS_NOT_ALLOWED
	271: permanent, // DATA_TYPE_CANNOT_BE_PROMOTED
	291: permanent, // DATABASE_ACCESS_DENIED
	349: permanent, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
	452: permanent, // SETTING_CONSTRAINT_VIOLATION
	497: permanent, // ACCESS_DENIED
	516: permanent, // AUTHENTICATION_FAILED

	201: throttle, // QUOTA_EXCEEDED
	202: throttle, // TOO_MANY_SIMULTANEOUS_QUERIES
	241: throttle, // MEMORY_LIMIT_EXCEEDED
	243: throttle, // NOT_ENOUGH_SPACE
	252: throttle, // TOO_MANY_PARTS: merges must catch up
	290: throttle, // LIMIT_EXCEEDED
	439: throttle, // CANNOT_SCHEDULE_TASK
	745: throttle, // SERVER_OVERLOADED
}

// classify says what err deserves.
func classify(err error) outcome {
	var exception *clickhouse.Exception
	if errors.As(err, &exception) {
		return codes[exception.Code]
	}
	var httpErr *clickhouse.HTTPError
	if errors.As(err, &httpErr) { // a proxy, or a server that could not say more
		switch {
		case httpErr.StatusCode == http.StatusTooManyRequests || httpErr.StatusCode == http.StatusServiceUnavailable:
			return throttle
		case httpErr.StatusCode == http.StatusRequestTimeout:
			return retry
		case httpErr.StatusCode >= 400 && httpErr.StatusCode < 500:
			return permanent
		}
	}
	return retry
}

// forHelper wraps err in what exporterhelper understands.
func forHelper(err error) error {
	switch classify(err) {
	case permanent:
		return consumererror.NewPermanent(err)
	case throttle:
		return exporterhelper.NewThrottleRetry(err, throttleDelay)
	}
	return err
}
