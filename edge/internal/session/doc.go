// Package session is one WebSocket connection's life: upgrade, the reader, what a
// packet makes the server do, keepalive, and the end.
//
// A session has one goroutine, which reads. What a member sends goes to the relay
// and comes back through its room, its ack too. While too much is unanswered the
// session does not read on, and TCP slows its peer down. Writing is ws.Outbox's:
// nothing here waits for a peer to read, except a page of history and the
// catching up of a member that resumes, which have goroutines of their own.
//
// Whatever ends a session first becomes its close frame, once.
package session
