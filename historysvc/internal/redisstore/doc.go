// Package redisstore keeps the history of groups in Redis: one node, Sentinel
// or Cluster. It is the only package that knows Redis.
//
// Store implements history.Log, history.Bus and history.Presence.
//
// # Order
//
// Publications wait in lanes, a group always in the same one. A lane has one
// pipeline on its way at a time, and in it at most one call per group, so
// Redis sees a group's publications in the order of Submit, whatever fails and
// is tried again. While a group's call fails, its later publications wait
// behind it.
//
// # What is atomic
//
// Everything that touches a group is one Lua script in the group's hash slot:
// an append with its deduplication, numbering, trimming and announcement; a
// recall as compare-and-set of the exact texts that were read. Long searches
// run outside scripts, in chunks.
//
// # When Redis fails
//
// Open needs a Redis that answers. After that every outage is survived:
// appends are retried until their deadline, other calls report
// history.ErrUnavailable or history.ErrUnknown, subscriptions are made anew.
package redisstore
