package gotapi

import "github.com/gotapi/gotapi-ws/clients/go/internal/token"

// TokenSource returns a token. It must return when ctx ends. A client calls it before its
// first request, and again when the server stops accepting the token. It makes one call at
// a time.
//
// If the server refuses a token, the client repeats the request once with a new one. If a
// member's token expires, the member reconnects with a new one and resumes. Members treat
// an error of the source like a network failure and retry until they are closed. An *Error
// with a code such as 401 makes them fail for good.
type TokenSource = token.Source

// TokenReason is why a client calls its TokenSource.
type TokenReason = token.Reason

// The reasons.
const (
	// TokenFirst: the client has no token yet.
	TokenFirst = token.First
	// TokenExpired: the server ended a connection because its token has expired.
	TokenExpired = token.Expired
	// TokenRefused: the server has refused the last token.
	TokenRefused = token.Refused
)
