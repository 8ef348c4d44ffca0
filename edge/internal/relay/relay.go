// Package relay is the edge's stream to a history service: it batches what is
// published, opens channels for the groups that have members here, and goes on
// with another history service when the one it uses is gone.
package relay

import (
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Publication is one packet on its way to the history service.
type Publication struct {
	Group group.Name
	// Message, Text or Binary.
	Kind stream.Kind
	// Of a Message; may be "".
	UUID string
	// Not to be changed from here on, even after Done.
	Payload []byte
	// Who sent it, as Publish.author of the protocol: 8 bytes, or none.
	Author []byte
	// The name of who sent it, for hooks; it does not leave the edge.
	User string
	// The session that sent it (0 for HTTP) and the session's own number for
	// it: together its id, which comes back as the Origin of the event.
	Session, Number uint32
	// The span that it belongs to, as tracing.Encode has it; nil: none.
	Trace []byte
	// Called exactly once: by a goroutine of the relay, or by Publish itself
	// when it is refused at once. It must not block.
	Done func(Receipt)
}

// ID is the publish id that the history service sees.
func (p *Publication) ID() uint64 { return uint64(p.Session)<<32 | uint64(p.Number) }

// Outcome is what became of a publication.
type Outcome uint8

// The outcomes.
const (
	// Accepted: stored (Message), or handed to the bus (Text, Binary).
	Accepted Outcome = iota + 1
	// Duplicate: a message with this uuid had been stored before, at Seq.
	Duplicate
	// Invalid: refused for good, code 400.
	Invalid
	// Busy: too much is waiting, code 429; certainly not stored.
	Busy
	// Unavailable: certainly not stored, code 503.
	Unavailable
	// Unknown: no answer within the publish timeout, code 504.
	Unknown
	// Denied: the application does not allow it, code 403. It is not the relay's.
	Denied
)

// Receipt answers a Publication.
type Receipt struct {
	Outcome Outcome
	// Accepted and Duplicate messages: where it stands.
	Epoch stream.Epoch
	Seq   uint64
	// Duplicate messages: the one that stands there has been recalled.
	Recalled bool
	// Refusals: why, for the client.
	Reason string
}

// Start says where Read begins: after the message AfterUUID if it is set, else
// after the position After.
type Start struct {
	AfterUUID string
	After     stream.Position
}

// Batch is a piece of a group's stream as the store remembers it.
type Batch struct {
	Epoch  stream.Epoch
	Events []stream.Event
	// The place after the last event.
	Position stream.Position
	// The start is unknown, or part of what follows it is lost: Events begin
	// with the oldest message that is retained.
	Gap bool
	// More can be read from Position at once. When false, Position was the
	// end of the stream at the moment of the read.
	More bool
}

// Handler hears what happens to channels. Its calls come from one goroutine,
// one after another, and must not block. They may call the Client.
type Handler interface {
	// Restored: a new stream is up, and no channel is open. Attach what is wanted.
	Restored()
	// Lost: the stream broke, and with it every channel.
	Lost()
	// Attached: the channel is live from at on. With gap, what stood between
	// the position asked for (or reached so far) and at is lost. With err, the
	// channel is over.
	Attached(channel uint32, at stream.Position, gap bool, err error)
	// Deliver: events of the channel, in order.
	Deliver(channel uint32, epoch stream.Epoch, events []stream.Event)
}
