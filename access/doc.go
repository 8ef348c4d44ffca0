// Package access identifies callers and decides what they may do: it turns tokens
// and keys into an Identity with rights per group. The same rules hold over HTTP,
// WebSockets and gRPC; the package knows none of the three.
//
// An Authorizer without settings is open: everyone may do everything except
// administer. With keys of tokens, API keys or a policy, callers without a credential
// may do only what the policy grants to "anonymous", by default nothing.
//
// Rights are lists of patterns of group names (Pattern). They are compiled once
// for each token, and a connection checks them once for its group: nothing here is
// on the path of a message.
//
// While Run runs, files are read again when they change, and keys behind a URL are
// fetched again. If that fails, the previous state stays in use.
package access
