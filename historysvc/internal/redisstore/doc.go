// Package redisstore keeps the history of groups in Redis: one node, Sentinel
// or Cluster. It composes a Store of the packages below it, which nothing else may
// import, and which alone know Redis:
//
//	layout       names of keys, and the bytes in them; no I/O
//	redisconn    the connection: URLs, TLS, permissions, scripts, outcomes, acks
//	groupcommit  queues publications and writes them in batches; order and retries
//	eventlog     messages and changes: the scripts
//	adoption     takes over lists of older servers and other programs
//	bus          pub/sub between history services
//	presence     member counts of edges
//
// Store implements history.Log, history.Bus and history.Presence.
package redisstore
