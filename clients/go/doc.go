// Package gotapi is the Go client of gotapi-ws over HTTP and WebSocket. It publishes,
// reads histories, recalls messages, and joins groups. Package gotapirpc does the same
// over gRPC, for services that can reach the history service.
//
// A group is a path such as "/room/9527/". A packet is what members publish; a data
// packet, {"type":2,"uuid":U,"body":{...}}, is stored before it is acked.
// TextPacket and DataPacket make data packets.
//
// # Delivery
//
// Publishing is idempotent. The client sends a data packet again with the same
// uuid until it is acked, refused for good, or the context ends, and the server
// stores it once. If the context ends first, the outcome is unknown.
//
// A Member reconnects when its connection ends, and resumes after the last
// message it received: without gaps, duplicates or reordering. If the server cannot
// resume there, because messages were lost, trimmed or expired, the member gets an
// event of kind Gap and should read the history. Packets that are not stored
// (low-level packets, receipts) are delivered at most once.
//
// # Concurrency
//
// All methods are safe for concurrent use, except that only one goroutine may call
// Member.Next. Successive calls of Publish keep their order; concurrent calls have
// none.
package gotapi
