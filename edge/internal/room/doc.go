// Package room is the edge's side of groups: which members a group has here, and
// which event goes to whom.
//
// A Room holds the members of one group and a position in the group's stream. It
// takes from its channel of the relay only events that follow, in the order of the
// stream, so every member sees the order of the history. The sender of an event
// gets the ack in its place. The events of a room are passed on one batch after
// another, under the room's lock; that is memory work only, as members have queues
// (deliver.go). What one member gets that others do not is its outgoing.
//
// A Member is a cursor of one connection in one group. What the members of a connection
// share belongs to its Conn: the queue, the publishes that are not settled (Pending),
// and the turns in which they catch up.
//
// A room knows no protocol. A Dialect says what members get of what happens, as frames:
// one for each event, made once for all members that speak it, and their own answers.
// It also says how they are treated where protocols differ (Traits), and whether
// a connection ends where its member misses something.
//
// Each publish is settled once, whether its delivery comes first or its result. A result
// that comes first waits until the member has got to the message's place.
//
// A member that begins elsewhere than its room, or whose share of the queue is full, reads
// the store, and is handed over to the room at the place that both have reached
// (catchup.go).
//
// When the relay's stream is lost, rooms keep their members and positions, and go
// on from there. When events are lost for good, members are closed or go on after a gap
// (lost.go). The package does not read from members: that is package session.
package room
