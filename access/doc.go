// Package access says who a caller is and what they may do: tokens and keys in,
// an Identity with rights per group out. It is the one place for the rules that
// hold over HTTP, WebSockets and gRPC alike; it knows none of the three.
//
// A Guard that is told nothing is open: everybody may do everything but
// administer. Once it knows any way to tell callers apart (keys of tokens, API
// keys, a policy), who comes without a credential may only do what the policy
// grants to "anonymous", by default nothing.
//
// Rights are lists of patterns of group names (Pattern). They are compiled once
// for each token, and a connection asks them once for its group: nothing here is
// on the path of a message.
//
// Files are read again when they change, and keys behind a URL are fetched anew,
// as long as Run does; what cannot be read or fetched leaves the last good state.
package access
