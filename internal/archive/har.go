// SPDX-License-Identifier: Apache-2.0

package archive

// The types below are the HAR 1.2 objects, with our custom fields ('_'). They are both what is
// written and what is read back.

type harFile struct {
	Log harLog `json:"log"`
}

type harLog struct {
	Version string     `json:"version"`
	Creator harCreator `json:"creator"`
	Entries []harEntry `json:"entries"`
}

type harCreator struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

type harEntry struct {
	StartedDateTime string      `json:"startedDateTime"`
	Time            float64     `json:"time"` // milliseconds, the sum of the measured timings
	Request         harRequest  `json:"request"`
	Response        harResponse `json:"response"`
	Cache           struct{}    `json:"cache"`
	Timings         harTimings  `json:"timings"`
	ServerIPAddress string      `json:"serverIPAddress,omitempty"`
	Connection      string      `json:"connection,omitempty"`

	TraceID       string            `json:"_traceId"`
	SpanID        string            `json:"_spanId"`
	Scheme        string            `json:"_scheme,omitempty"`
	ServerAddress string            `json:"_serverAddress,omitempty"`
	ServerPort    int64             `json:"_serverPort,omitempty"`
	Incomplete    string            `json:"_incomplete,omitempty"`
	Resource      map[string]string `json:"_resource,omitempty"`

	Redaction *harRedaction `json:"_redaction,omitempty"`

	Part         int64        `json:"_part,omitempty"`
	ResourceType string       `json:"_resourceType,omitempty"` // "websocket" makes browsers show the messages
	Messages     []harMessage `json:"_webSocketMessages,omitempty"`
	Events       []harEvent   `json:"_eventStream,omitempty"`
}

type harRequest struct {
	Method      string       `json:"method"`
	URL         string       `json:"url"`
	HTTPVersion string       `json:"httpVersion"`
	Cookies     []harCookie  `json:"cookies"`
	Headers     []harPair    `json:"headers"`
	QueryString []harPair    `json:"queryString"`
	PostData    *harPostData `json:"postData,omitempty"`
	HeadersSize int64        `json:"headersSize"` // -1: white space around values is not kept
	BodySize    uint64       `json:"bodySize"`

	Trailers     []harPair `json:"_trailers,omitempty"`
	Target       string    `json:"_target"`
	TargetBase64 string    `json:"_targetBase64,omitempty"`
}

type harResponse struct {
	Status      int         `json:"status"`
	StatusText  string      `json:"statusText"`
	HTTPVersion string      `json:"httpVersion"`
	Cookies     []harCookie `json:"cookies"`
	Headers     []harPair   `json:"headers"`
	Content     harContent  `json:"content"`
	RedirectURL string      `json:"redirectURL"`
	HeadersSize int64       `json:"headersSize"`
	BodySize    uint64      `json:"bodySize"`

	Trailers         []harPair `json:"_trailers,omitempty"`
	StatusTextBase64 string    `json:"_statusTextBase64,omitempty"`
	// NotSeen says that no response was seen; the other fields are then empty.
	NotSeen bool `json:"_notSeen,omitempty"`
}

// harPair is a header field or a query parameter.
type harPair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// The exact bytes, when they are not UTF-8.
	NameBase64  string `json:"_nameBase64,omitempty"`
	ValueBase64 string `json:"_valueBase64,omitempty"`
}

type harCookie struct {
	Name     string `json:"name"`
	Value    string `json:"value"`
	Path     string `json:"path,omitempty"`
	Domain   string `json:"domain,omitempty"`
	Expires  string `json:"expires,omitempty"`
	HTTPOnly bool   `json:"httpOnly,omitempty"`
	Secure   bool   `json:"secure,omitempty"`
}

type harPostData struct {
	MimeType string `json:"mimeType"`
	Text     string `json:"text"`

	Encoding        string `json:"_encoding,omitempty"` // "base64", as content.encoding
	ContentEncoding string `json:"_contentEncoding,omitempty"`
	Decoded         bool   `json:"_decoded,omitempty"` // whatever Content-Encoding says
	Truncated       bool   `json:"_truncated,omitempty"`
	OriginalSize    uint64 `json:"_originalSize,omitempty"`
}

// harRedaction says by which policy an exchange was redacted, and what was taken out.
type harRedaction struct {
	Policy  string      `json:"policy"`
	Removed []Redaction `json:"removed"`
}

type harContent struct {
	Size     uint64 `json:"size"`
	MimeType string `json:"mimeType"`
	Text     string `json:"text,omitempty"`
	Encoding string `json:"encoding,omitempty"`

	ContentEncoding string `json:"_contentEncoding,omitempty"`
	Decoded         bool   `json:"_decoded,omitempty"` // whatever Content-Encoding says
	Truncated       bool   `json:"_truncated,omitempty"`
	OriginalSize    uint64 `json:"_originalSize,omitempty"`
}

// harTimings are milliseconds; -1 was not measured.
type harTimings struct {
	Send    float64 `json:"send"`
	Wait    float64 `json:"wait"`
	Receive float64 `json:"receive"`
	// NotMeasured names the timings that are -1, which HAR itself does not allow for these three.
	NotMeasured []string `json:"_notMeasured,omitempty"`
}
