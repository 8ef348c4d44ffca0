package gotapi

// Kind is what an Event tells of.
type Kind uint8

// The kinds of events.
const (
	// Message: a stored data packet, in the order of the history.
	Message Kind = iota + 1
	// Recalled: the message UUID was recalled; its text is to be forgotten.
	Recalled
	// Packet: a packet that is broadcast and not stored.
	Packet
	// Receipt: somebody has received the message UUID (commands 3 and 4).
	Receipt
	// Gap: messages before this place were lost, trimmed or expired before they
	// could be sent. Err says why. The retained history may follow, with messages that
	// have come before.
	Gap
	// Connected: what is published from now on comes.
	Connected
	// Disconnected: Err says why. It is being tried again.
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

// Event is something that a member hears of.
type Event struct {
	Kind  Kind
	Group string
	// Of Message ("" if it has none), Recalled and Receipt.
	UUID string
	// The packet, byte for byte: of Message, Packet and Receipt.
	Data []byte
	// Whether Data is not text.
	Binary bool
	// Of Gap and Disconnected.
	Err error
}
