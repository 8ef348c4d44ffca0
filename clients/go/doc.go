// Package gotapi is the Go client of gotapi-ws: publish, read, recall, and be a
// member of groups, over HTTP and WebSocket. Package gotapirpc does the same
// over gRPC, for services that reach the history service itself.
//
// A group is a path such as "/room/9527/". What is published is a packet; a data
// packet, {"type":2,"uuid":U,"body":{...}}, is stored before it is acked.
// TextPacket and DataPacket write them.
//
// # Delivery
//
// Publishing is idempotent: a data packet is sent again with its own uuid
// until it is acked, refused for good, or the context ends, and the server
// stores it once. When the context ended first, the outcome is unknown.
//
// A Member comes back by itself when its connection ends, and goes on exactly after the
// last message it has had: no hole, nothing twice, nothing in another order. When
// the server cannot do that, because messages were lost, trimmed or expired, the
// member gets an event of kind Gap, and should read the history. Packets
// that are not stored (low-level packets, receipts) come at most once.
//
// # Concurrency
//
// All methods may be called by several goroutines at the same time, but for
// Member.Next, which is for one. Calls of Publish that follow one another keep their
// order; of calls at the same time, any may be first.
package gotapi
