// Package session is one WebSocket connection's life: upgrade, the reader, what a
// packet makes the server do, keepalive, and the end.
//
// A session has one goroutine, which reads. A member's packets go to the relay and
// come back through its room, which also settles each of them (room.Pending). While
// too many are not settled the session does not read on, and TCP slows its peer down.
// Writing is ws.Outbox's: nothing here waits for a peer to read. A page of history and
// the catching up of a member that resumes do wait, and have goroutines of their own.
//
// A connection of the first protocol (session) is in one group. One of gotapi.v2
// (multiplexed) is in many. Its reader puts requests into a lane for each group (lane),
// which has a goroutine only while a request in it waits.
//
// Whatever ends a session first becomes its close frame, once.
package session
