package packet

// Close codes: why the server ends a connection (docs/protocol.md, section 2.6).
const (
	// CloseNormal answers a close without a code.
	CloseNormal = 1000
	// CloseGoingAway: the server stops; connect again elsewhere.
	CloseGoingAway = 1001
	// CloseProtocolError: the peer broke the WebSocket protocol.
	CloseProtocolError = 1002
	// CloseInvalidPayload: a text message was not UTF-8.
	CloseInvalidPayload = 1007
	// ClosePolicyViolation: an illegal or reserved name was joined.
	ClosePolicyViolation = 1008
	// CloseTooBig: a message was larger than the limit.
	CloseTooBig = 1009
	// CloseServiceRestart: messages were lost; connect and pull again.
	CloseServiceRestart = 1012
	// CloseExpired: the member's token has expired; connect again with a new one. It
	// is one of the codes that are for applications, and named after the status 401.
	CloseExpired = 4401
	// CloseTryAgainLater: the member was too slow to keep up.
	CloseTryAgainLater = 1013
)
