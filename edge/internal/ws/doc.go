// Package ws is the edge's WebSocket: upgrade, frames, and the queue of what a
// connection has to send. It is the only package that imports gorilla/websocket,
// which does the handshake and the reading.
//
// Writing is our own. A broadcast is made into a Frame once and put on the
// Outbox of every receiver. The few workers of a Flusher write for all of them, and
// send everything that waits for a peer in one write: the system call is what a delivery
// costs.
//
// Nothing here blocks a sender. A peer that does not read fills its Outbox and is
// closed with 1013; it never gets a stream with holes.
package ws
