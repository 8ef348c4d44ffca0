// Package history is the domain of the history service: what a group keeps,
// and the ports through which the service reaches whatever keeps it.
package history

import (
	"context"
	"errors"
	"time"

	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Limits of one page (docs/protocol.md, section 4).
const (
	DefaultPageSize = 1000
	MaxPageSize     = 10000
	MaxPageBytes    = 8 << 20
)

// Errors that every implementation of the ports returns, wrapped or not.
// Anything else is internal.
var (
	// ErrUnavailable: certainly not done, worth another try.
	ErrUnavailable = errors.New("the store cannot be reached")
	// ErrUnknown: the store did not answer in time; it may or may not have
	// done it.
	ErrUnknown = errors.New("the store did not answer in time")
	// ErrBusy: too much is waiting already; certainly not done.
	ErrBusy = errors.New("too much is waiting")
	// ErrNotFound: no such message, or it is no longer retained.
	ErrNotFound = errors.New("no such message")
	// ErrWrongType: the group's key holds something that is not a list.
	ErrWrongType = errors.New("the group's key in the store is not a list")
	// ErrNotAuthor: the message is somebody else's, or nobody knows whose.
	ErrNotAuthor = errors.New("only its author may recall this message")
	// ErrTooLate: the message was stored too long ago, or nobody knows when.
	ErrTooLate = errors.New("the time in which this message could be recalled is over")
)

// Author is whose a message is, as far as the store knows: a digest of the user.
// The zero Author is nobody in particular.
type Author [8]byte

// Limit says which messages may be recalled: the zero Limit, all.
type Limit struct {
	// Only those of this author, who is not the zero Author; nil: anybody's.
	Author *Author
	// Only those stored within this time; 0: at any time. In whole seconds.
	Within time.Duration
}

// Publication is one packet on its way into a group.
type Publication struct {
	Group group.Name
	// Message, Text or Binary.
	Kind stream.Kind
	// Of a Message; may be "".
	UUID    string
	Origin  stream.Origin
	Payload []byte
	// Of a Message: kept with it, and with it the time, for Recall. nil: neither is.
	Author *Author
	// After this the answer is not worth having.
	Deadline time.Time
	// Called after each attempt to carry it to the store, from when until now, with
	// how many others; nil: nobody wants to know. It must not block.
	Attempt func(began time.Time, packets int, err error)
	// Called exactly once: by a goroutine of the store, or, when the publication
	// is refused at once, by Submit before it returns. It must not block, nor
	// need a lock that the caller of Submit holds.
	Done func(Receipt)
}

// Receipt is what became of a publication.
type Receipt struct {
	// nil: stored, or, for Text and Binary, handed to the bus.
	Err error
	// A Message with this uuid (or of this origin) had been stored before, at Seq.
	Duplicate bool
	// That message has been recalled.
	Recalled bool
	Epoch    stream.Epoch
	Seq      uint64
}

// Query asks for one page. At most one of Before and After is set; then
// Position does not matter.
type Query struct {
	Position int // 0 is the newest, -1 the oldest
	Size     int // 0 to MaxPageSize
	Before   string
	After    string
	// Versioned asks for Page.Version. Known is the version of the same page that
	// the caller has; "" if it has none.
	Versioned bool
	Known     string
}

// Page is a part of a group's history.
type Page struct {
	// The texts, in the order that the query asked for, recalled ones left out.
	// Valid UTF-8.
	Texts []string
	// Where to go on, when More.
	Next int
	More bool
	// Version, where the query asked for it, is a short token that changes whenever
	// the page could: with each message and recall, when the list expires, and when
	// somebody else makes the list longer, shorter, or puts something at its head. (Who
	// overwrites other elements of a group that is served is not noticed.) The
	// page is exactly that of its version, never an older or a newer one. "": it
	// changed while it was read, or is empty by the size that was asked for.
	Version string
	// Unmodified: the page is still that of Query.Known, and has nothing but the
	// Version.
	Unmodified bool
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
	// The start is unknown, belongs to another history, or something after it
	// is lost: Events begin with the oldest message that is retained.
	Gap bool
	// More can be read from Position at once. When false, Position was the
	// end of the stream at the moment of the read.
	More bool
}

// Log stores messages. Its methods may be called at once from many goroutines.
//
// Messages of one group are stored, and everything of one group is put on the
// bus, in the order of the Submit calls. A message is on the bus only if it
// was stored, with its place in the stream, and only once. A second message
// with the same uuid in the same group is not stored: its Receipt is a
// Duplicate. The same holds for a second message without a uuid from the same
// Origin.
type Log interface {
	// Submit never blocks; p.Done tells what became of it.
	Submit(p *Publication)
	// Page never fails because a group is unknown: its page is empty. With
	// Before or After unknown it returns ErrNotFound.
	Page(ctx context.Context, g group.Name, q Query) (Page, error)
	// Recall erases the message's text, wherever the group keeps it, and puts
	// a Recall on the bus, once. A message recalled before is no error. One
	// outside of the limit is ErrNotAuthor or ErrTooLate.
	Recall(ctx context.Context, g group.Name, uuid string, limit Limit) error
	// SetTTL makes the history expire that long after the last message. It
	// holds for messages to come, too.
	SetTTL(ctx context.Context, g group.Name, ttl time.Duration) error
	// Read returns the stored events after start, in order, at most about a
	// thousand and about a mebibyte. Recalls of messages whose tombstone it
	// returns are not yet silent: that is the reader's to mark (stream.Skips).
	Read(ctx context.Context, g group.Name, start Start) (Batch, error)
}

// Head is the end of a group's stream, or why it could not be had. A part of the
// store may be away while the rest answers.
type Head struct {
	Position stream.Position
	Err      error
}

// Bus carries what happens in groups from all history services to each.
// Delivery is at most once: a consumer that finds a hole asks Log.Read.
type Bus interface {
	// Subscribe and Unsubscribe return at once. Listener.Subscribed tells when
	// a subscription holds. A group is subscribed at most once.
	Subscribe(groups ...group.Name)
	Unsubscribe(groups ...group.Name)
	// Heads returns the end of each group's stream, in the order asked for. It
	// is a sign that somebody follows these groups: it keeps their counters from
	// expiring, so that a follower of a group whose history has expired is not
	// taken for one that has lost something.
	Heads(ctx context.Context, groups []group.Name) []Head
}

// Listener hears the bus. Calls for one group come one after another.
type Listener interface {
	// Subscribed: from here on events of g arrive. It is called again whenever
	// the subscription had to be made anew, and events may have been missed.
	Subscribed(g group.Name)
	// Heard: events of g, contiguous among themselves, in the order of the stream.
	Heard(g group.Name, epoch stream.Epoch, events []stream.Event)
}

// Presence knows how many members each group has on each edge. What an edge
// reported is forgotten when it has not been heard of for a few seconds.
type Presence interface {
	// Report sets counts; groups not named keep theirs, unless full. 0 removes.
	// It also keeps what was reported earlier alive.
	Report(ctx context.Context, edge uint64, full bool, members map[group.Name]uint32) error
	// Leave forgets an edge at once.
	Leave(ctx context.Context, edge uint64) error
	// Members sums over all edges.
	Members(ctx context.Context) (map[group.Name]uint32, error)
}
