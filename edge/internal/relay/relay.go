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
	UUID    string
	Payload []byte
	// The session that sent it; 0 for HTTP.
	Session uint32
	// Called exactly once, from a goroutine of the relay: it must not block.
	Done func(Receipt)
}

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
)

// Receipt answers a Publication.
type Receipt struct {
	Outcome Outcome
	// Accepted and Duplicate messages: where it stands.
	Epoch stream.Epoch
	Seq   uint64
	// Refusals: why, for the client.
	Reason string
}

// Handler hears what happens to channels. Its calls come from one goroutine,
// one after another, and must not block.
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
