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
// Each publish of a member is settled once, whether its delivery comes first or its
// result (Pending).
//
// A member that resumes reads the store first, and is handed over to the room at
// the place that both have reached (resume.go).
//
// When the relay's stream is lost, rooms keep their members and positions, and go
// on from there. When events are lost for good, members get code 410 and are closed
// (1012). The package does not read from members: that is package session.
//
// What a member sees of all this are the frames of frames.go: one for each event,
// made once for all members, and its own acks and refusals.
package room
