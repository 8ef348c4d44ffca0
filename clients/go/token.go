package gotapi

import "github.com/gotapi/gotapi-ws/clients/go/internal/token"

// TokenSource returns a token and must return when ctx ends. A client calls it before
// its first request, and when the server stops accepting the token; it keeps the token
// in between, and makes one call at a time.
//
// A request whose token is refused is sent once more with a new one. A member whose
// token expires connects again with a new one, and resumes. An error of the source counts
// as trouble on the way: members try again until they are closed, unless the error
// is an *Error with a code such as 401 that ends them for good.
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
