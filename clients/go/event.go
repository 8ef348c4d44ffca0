package gotapi

import "time"

// Kind is the kind of an Event.
type Kind uint8

// The kinds of events.
const (
	// Message: a stored data packet, in the order of the history.
	Message Kind = iota + 1
	// Recalled: the message UUID was recalled; forget its text.
	Recalled
	// Packet: a packet that was broadcast and not stored.
	Packet
	// Receipt: a member has received the message UUID (commands 3 and 4).
	Receipt
	// Gap: messages were lost, trimmed or expired before they could be delivered. Err
	// holds the reason. The retained history may follow, including messages that were
	// delivered before. If a gotapirpc.Watch is read too slowly, a Gap also reports
	// dropped packets that are not stored; no history has them.
	Gap
	// Connected: packets published from now on are delivered.
	Connected
	// Disconnected: the connection ended, for the reason in Err. The member reconnects.
	Disconnected
)

var kinds = [...]string{
	Message: "message", Recalled: "recalled", Packet: "packet", Receipt: "receipt",
	Gap: "gap", Connected: "connected", Disconnected: "disconnected",
}

func (k Kind) String() string {
	if int(k) < len(kinds) && kinds[k] != "" {
		return kinds[k]
	}
	return "unknown"
}

// Event is what Member.Next returns.
type Event struct {
	Kind  Kind
	Group string
	// UUID of a Message, which may have none, a Recalled or a Receipt.
	UUID string
	// Data is the packet of a Message, Packet or Receipt, byte for byte.
	Data []byte
	// Binary reports whether Data is not text.
	Binary bool
	// Meta is what the server knows of a Message or Packet; of a Recalled, Seq is the number
	// of the message, and the rest is about the recall. Only a gotapirpc.Watch has it.
	Meta
	// Position is the position after the event, an opaque text for gotapirpc's
	// Client.WatchFrom. Only a gotapirpc.Watch has it.
	Position string
	// Err is the cause of a Gap or Disconnected.
	Err error
}

// Meta is what the server knows of a message beside its packet.
type Meta struct {
	// Seq is the message's number in its group; 0 if it is unknown, or the packet is not
	// stored.
	Seq uint64
	// At is when it was stored, by the server's clock; zero if that is unknown. Only Seq is an
	// order.
	At time.Time
	// By is the user who published it. Key is the API key that did so instead of a user. Both
	// are "" if the group keeps no names, or there is none.
	By, Key string
}
