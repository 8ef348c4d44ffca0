// Package check decides whether what a run of the system recorded is what the
// protocol promises (docs/protocol.md). It knows nothing of how the recording
// came about, only what clients sent and received, what Redis holds at the end,
// and when Redis itself may have lost something.
package check

import "time"

// Time is what has passed since the run began.
type Time = time.Duration

// Span is a part of the run.
type Span struct{ From, To Time }

func (s Span) holds(at Time) bool { return s.From <= at && at <= s.To }

// Recording is everything that happened in the groups of a run.
type Recording struct {
	Groups []*Group
	// Acks waited for all replicas: nothing that was acked, or passed on, may be lost,
	// Lossy or not. Otherwise what is lost while Lossy must have been reported.
	Replicated bool
	// When the recording ended. Connections that are not Closed were open then:
	// they had the time to receive everything.
	End Time
}

// Group is what happened in one group.
type Group struct {
	Name string
	// By uuid.
	Messages map[string]*Message
	Recalls  map[string]*Recall
	// In the order in which they were dialled.
	Conns []*Conn
	Pages []*Page
	// What Redis holds at the end, oldest first.
	Final []Entry
	// When Redis may have forgotten what it had accepted for this group, because
	// a master died or was replaced by force. Members must have heard of the loss by the
	// end of the span.
	Lossy []Span
}

// Entry is one place in the history.
type Entry struct {
	UUID string
	// The packet; "" if it was recalled.
	Text string
}

// Message is a data packet that somebody sent.
type Message struct {
	UUID, Text string
	Sends      []Send
}

// Send is one attempt to publish a message.
type Send struct {
	At Time
	// The connection that it was sent on; nil: it was a request with its own answer.
	Conn *Conn `json:"-"`
	// The answer to a request: its status, 0 if none came, and when it came. Other
	// sends are answered among their connection's events.
	Code     int
	Answered Time
}

// Recall is a message that somebody recalled, perhaps in several attempts.
type Recall struct {
	UUID string
	// When it was first asked for.
	Asked Time
	// When it was answered with 200; 0: never.
	Done Time
	// A 404 was among the answers.
	NotFound bool
}

// Page is an answer to a request for history.
type Page struct {
	Asked, Answered Time
	// As in the request.
	Position, Size int
	Before, After  string
	// The answer, newest first (with After, too).
	Texts []string
}

// Kind is what a connection received.
type Kind uint8

// The kinds.
const (
	Got      Kind = iota + 1 // a data packet
	Ack                      // command 1
	Recalled                 // command 6
	Refused                  // command 7, with Code
	Low                      // a low-level packet
	Gap                      // events were lost, the stream goes on (readers with Positions)
	Foreign                  // anything else
)

// Event is something that a connection received.
type Event struct {
	At   Time
	Kind Kind
	UUID string
	// Got, Low, Foreign: the packet.
	Text string
	// Refused: why.
	Code int
	// Of readers with Positions: the number of the message, the place after the event ("": it
	// has none), and whether an Ack says that there was a copy before.
	Seq       uint64
	Pos       string
	Duplicate bool
}

// Reader is a way to receive a group's stream.
type Reader struct {
	Name string
	// ThroughEdge: edges serve it; otherwise one history service does.
	ThroughEdge bool
	// LossCode is the close code after 410; 0: the client ends the stream itself.
	LossCode int
	// AllRecalls: it gets every later recall, also of messages that it does not have.
	AllRecalls bool
	// Positions: its events have places, from which it goes on exactly, also after recalls. A
	// Gap does not end its stream.
	Positions bool
}

// The readers.
var (
	WebSocket = &Reader{Name: "WebSocket", ThroughEdge: true, LossCode: 1012}
	Watch     = &Reader{Name: "Watch", AllRecalls: true} // of the gRPC API

	V2          = &Reader{Name: "gotapi.v2", ThroughEdge: true, AllRecalls: true, Positions: true}
	EventStream = &Reader{Name: "event stream", ThroughEdge: true, AllRecalls: true, Positions: true}
	LongPoll    = &Reader{Name: "long polls", ThroughEdge: true, AllRecalls: true, Positions: true}
)

// Conn is one connection of a reader; of several groups, what concerns one of them.
type Conn struct {
	Reader *Reader
	// The client that opened it, and the address of the server.
	Member, Edge string
	// The uuid in ?after=; "": none.
	After string
	// The one that it goes on from, at the newest position there; nil: none.
	Prev *Conn `json:"-"`
	// When it was dialled, and when the 101 came, or the answer to the join.
	Dialed, Opened Time
	Events         []Event
	Closed         bool
	ClosedAt       Time
	// How the server closed it; 0: it did not say.
	Code int
}
