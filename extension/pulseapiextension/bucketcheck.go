// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"crypto/rand"
	"fmt"
	"net/http"
)

type bucketCheckAnswer struct {
	// URL is absent where Pulse has no credentials for the bucket.
	URL       string `json:"url,omitempty"`
	ExpiresAt string `json:"expires_at"`
}

// getBucketCheck signs a GET of an object that is not there and never was: by what becomes of it a page finds out whether
// its browser reaches the bucket, may read what it answers, and whether the bucket takes the signature. It opens no payload.
func (a *api) getBucketCheck(q *question) (any, error) {
	if a.signer == nil {
		return nil, fail(http.StatusNotFound, "no_bucket", "this Pulse knows no bucket: set `storage` or `s3` of `pulse_api`")
	}
	now := a.now()
	answer := bucketCheckAnswer{ExpiresAt: timeText(now.Add(linkLifetime))}
	if a.signer.byBrowser {
		return answer, nil
	}
	var err error
	if answer.URL, err = a.signer.link(q.Context(), place{environment: "pulse-check", key: rand.Text()}, now); err != nil {
		return nil, fmt.Errorf("cannot sign a link: %w", err)
	}
	return answer, nil
}
