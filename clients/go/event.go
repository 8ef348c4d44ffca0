package gotapi

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
	// Err is the cause of a Gap or Disconnected.
	Err error
}
