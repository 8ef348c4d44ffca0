// Package relay is the edge's stream to a history service. It batches what is
// published, opens channels for the groups that have members here, and moves to
// another history service when the one it uses is gone.
package relay

import (
	"time"

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
	// Not to be changed once it is published, not even after its result.
	Payload []byte
	// The author, as Publish.author of the protocol: 8 bytes, or none.
	Author []byte
	// The name that belongs to Author, which members see if the group keeps names; zero: none.
	By stream.Author
	// The author's name, for hooks; it does not leave the edge.
	User string
	// Whose limits it counts for (limit.Limits.Key); it does not leave the edge.
	Client string
	// The session that sent it (0 for HTTP) and the session's own number for
	// it: together its id, which comes back as the Origin of the event.
	Session, Number uint32
	// Gets the result.
	From Sender

	span *span // nil: none
}

// ID is the publish id that the history service sees.
func (p *Publication) ID() uint64 { return uint64(p.Session)<<32 | uint64(p.Number) }

// End gives the sender the result. It is called exactly once, by whatever has taken
// the publication: the Client, or a Publisher in front of it that refuses it.
func (p *Publication) End(r Result) {
	p.span.end(r)
	p.From.Result(p, r)
}

// Sender gets the results of its publications.
type Sender interface {
	// Result is called exactly once for each publication: by a goroutine of the
	// relay, or by Publish itself if that refuses it at once. It must not block.
	Result(p *Publication, r Result)
}

// Outcome is the kind of a Result.
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
	// Denied: the application does not allow it, code 403. The relay never says so.
	Denied
	// Unchecked: the application gave no verdict, code 503; certainly
	// not stored. The relay never says so.
	Unchecked
)

// Result tells the Sender how its Publication ended.
type Result struct {
	Outcome Outcome
	// Accepted and Duplicate messages: the place of the stored message.
	Epoch stream.Epoch
	Seq   uint64
	// When it was stored, Unix milliseconds; 0 if that is not known.
	At int64
	// Duplicate messages: the stored one has been recalled.
	Recalled bool
	// Refusals: why, for the client.
	Reason string
	// Busy: when to try again, if known. Only Publish itself refuses with it.
	Again time.Duration
}

// Start says where Read begins: before the Newest messages, else after the message
// AfterUUID, else after the position After. It is comparable.
type Start struct {
	// 0: not with the newest messages.
	Newest    int
	AfterUUID string
	After     stream.Position
	// Where Read begins if the start is lost. With Newest none is.
	IfLost Fallback
}

// Fallback says where events begin if what came before is lost: with the newest so many
// messages, or one of these.
type Fallback int

const (
	// FromOldest begins with the oldest message that is retained.
	FromOldest Fallback = 0
	// FromNow begins with what is stored later.
	FromNow Fallback = -1
)

// Batch is a piece of a group's stream as the store remembers it.
type Batch struct {
	Epoch  stream.Epoch
	Events []stream.Event
	// The place after the last event.
	Position stream.Position
	// The start is unknown, or part of what follows it is lost: Events begin
	// where Start.IfLost says.
	Gap bool
	// More can be read from Position at once. When false, Position was the
	// end of the stream at the moment of the read.
	More bool
}

// Handler uses the streams of a Client. All calls but Members come one after another,
// and must not block. They may call the Client. The results that the service sends come
// between them, each after the deliveries of its frame. A move to another stream is
// nothing to a Handler: its channels stay as they are.
type Handler interface {
	// Restored: a new stream is up, and no channel is open. Attach what is wanted.
	Restored()
	// Lost: the stream broke, and with it every channel.
	Lost()
	// Attached: the channel is live from at on. With gap, everything between the
	// position asked for (or reached so far) and at is lost. With err, the channel
	// is over.
	Attached(channel uint32, at stream.Position, gap bool, err error)
	// Deliver: events of the channel, in order.
	Deliver(channel uint32, epoch stream.Epoch, events []stream.Event)
	// Channels returns the channels that are attached or being attached, and how far
	// each has got. No other call is under way.
	Channels() map[uint32]Channel
	// Members returns how many members each group has here. It is called by a
	// goroutine of its own.
	Members() map[group.Name]uint32
}

// Channel is a channel as its user knows it.
type Channel struct {
	Group group.Name
	// Where it goes on; nil before it is known.
	At *stream.Position
}
