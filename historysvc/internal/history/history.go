// Package history is the domain of the history service: what a group keeps,
// and the ports through which the service reaches its store.
package history

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Limits of one page (docs/protocol.md, section 4).
const (
	DefaultPageSize = 1000
	MaxPageSize     = 10000
	MaxPageBytes    = 8 << 20
	// DefaultPageBytes and the encoding of MaxPageSize texts fit into the 4 MiB that a
	// gRPC caller receives by default.
	DefaultPageBytes = 4<<20 - 128<<10
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
	// ErrWrongType: the group's key holds something that is not a list, or something
	// else has written to the other keys of the group.
	ErrWrongType = errors.New("the group's key in the store is not a list, or its other keys are damaged")
	// ErrNotAuthor: the message is somebody else's, or nobody knows whose.
	ErrNotAuthor = errors.New("only its author may recall this message")
	// ErrTooLate: the message was stored too long ago, or nobody knows when.
	ErrTooLate = errors.New("the time in which this message could be recalled is over")
)

// Author is the author of a message as the store knows it: a digest of the user.
// The zero Author is no user.
type Author [8]byte

// Limit restricts which messages may be recalled. The zero Limit allows all.
type Limit struct {
	// Only those of this author, which is not zero; nil: of any author.
	Author *Author
	// Only those stored within this time; 0: at any time. In whole milliseconds.
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
	// Of a Message: kept with it for Recall. nil: nobody's, as the zero Author.
	Author *Author
	// Again: it may have been submitted before, here or elsewhere, and its sender does not
	// know with what result.
	Again bool
	// The name that belongs to Author; zero: none. Members see it if the group keeps names.
	By stream.Author
	// After this the answer is worthless.
	Deadline time.Time
	// Gets the receipt.
	From Sender
	// Learns of each attempt to store it; may be nil.
	Trace Trace
	// Run, if not nil, keeps what follows p in a batch from overtaking it.
	Run *Run
}

// Run is a part of a batch: publications of one group, submitted one after another. When
// one of them fails in a way that may pass, those after it are not stored either, unless
// they are on their way already. A nil *Run keeps nothing back.
type Run struct{ refused, failed atomic.Bool }

// Refuse notes that a publication was refused when it was submitted: those before it may
// still be stored, those after it are not.
func (r *Run) Refuse() {
	if r != nil {
		r.refused.Store(true)
	}
}

// Fail notes the error with which a publication was given up, which may be nil. Those that
// still wait are after it.
func (r *Run) Fail(err error) {
	if r != nil && err != nil && !errors.Is(err, ErrWrongType) {
		r.failed.Store(true)
	}
}

// Refuses reports whether nothing more of r may be submitted.
func (r *Run) Refuses() bool { return r != nil && (r.refused.Load() || r.failed.Load()) }

// Failed reports whether nothing of r that waits may be stored.
func (r *Run) Failed() bool { return r != nil && r.failed.Load() }

// Sender gets the receipt of its publication.
type Sender interface {
	// Settle is called exactly once: by a goroutine of the store, or, if the
	// publication is refused at once, by Submit before it returns. It must not
	// block, nor need a lock that the caller of Submit holds.
	Settle(Receipt)
}

// Trace learns of attempts to store a publication.
type Trace interface {
	// Attempted is called after each attempt, with its beginning and the number of
	// packets in it. It must not block.
	Attempted(began time.Time, packets int, err error)
}

// Receipt is the result of a publication.
type Receipt struct {
	// nil: stored, or, for Text, Binary, and a Message of a group that stores none,
	// handed to the bus.
	Err error
	// A Message with this uuid (or of this origin) had been stored before, at Seq.
	Duplicate bool
	// That message has been recalled.
	Recalled bool
	Epoch    stream.Epoch
	// 0: it has no place, since it was not stored.
	Seq uint64
	// When the Message at Seq was stored, Unix milliseconds by the clock of the history
	// service that did it; 0 if that is not known.
	At int64
}

// Stored reports whether there is a message in the store.
func (r *Receipt) Stored() bool { return r.Err == nil && r.Seq > 0 }

// Query asks for one page. At most one of Before and After is set; then
// Position does not matter.
type Query struct {
	Position int // 0 is the newest, -1 the oldest
	Size     int // 0 to MaxPageSize
	// The page ends before its texts have more bytes, but not before its first text;
	// 0: MaxPageBytes, which is the most.
	MaxBytes int
	Before   string
	After    string
	// Instead of them: the messages before the one with this number, newest first, or, with
	// Newer, those after it, oldest first. It need not exist.
	Seq   *uint64
	Newer bool
	// Versioned asks for Page.Version. Known is the version that the caller has of the
	// same page; "" if none.
	Versioned bool
	Known     string
	// Meta asks for Page.Meta.
	Meta bool
}

// Page is a part of a group's history.
type Page struct {
	// The texts, in the order that the query asked for, recalled ones left out.
	// Valid UTF-8.
	Texts []string
	// Where to go on, when More.
	Next int
	More bool
	// Version, if the query asked for it, is a short token that changes whenever the
	// page could: with each message and change, when the list expires, and when another
	// program makes the list longer, shorter, or puts something at its head. (Its
	// overwriting of other elements of a group that is served is not noticed.) The
	// page is exactly that of its version, never an older or a newer one. Pages with
	// Before or After, and of size 0, have none; no page has while the store is short
	// of memory.
	Version string
	// Unmodified: the page is still that of Query.Known, and only Version is set.
	Unmodified bool
	// At is the end of the group's stream when the reading of the page began: all messages
	// on it come before, and whatever is not shown because it happened later follows. Pages of size
	// 0 have none. Nor have pages with Before or After unless the query asked for Meta, and
	// others where Version is "" although it was asked for.
	At *stream.Position
	// Meta, if the query asked for it, belongs to the texts, in their order.
	Meta []Meta
}

// Meta is what is known of a message beside its text.
type Meta struct {
	// 0 if the message is from before this service, and others have made the list longer since.
	Seq uint64
	// As in stream.Event; zero if the message is from before this service.
	At int64
	By stream.Author
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

// FromNewest begins with the newest n messages; 0: with what is stored later.
func FromNewest(n uint32) Fallback {
	if n == 0 {
		return FromNow
	}
	return Fallback(min(n, math.MaxInt32))
}

// Batch is a piece of a group's stream as the store remembers it.
type Batch struct {
	Epoch  stream.Epoch
	Events []stream.Event
	// The place after the last event.
	Position stream.Position
	// The start is unknown, belongs to another history, or something after it
	// is lost: Events begin where Start.IfLost says.
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
//
// A group may be set to store nothing. Then a Message is put on the bus as Text, at most
// once: one that is submitted Again is ErrUnknown, and none is a Duplicate. What was stored
// before stays.
type Log interface {
	// Submit never blocks; p.From gets the receipt.
	Submit(p *Publication)
	// Page never fails because a group is unknown: its page is empty. With
	// Before or After unknown it returns ErrNotFound.
	Page(ctx context.Context, g group.Name, q Query) (Page, error)
	// Recall erases the message's text, wherever the group keeps it, and puts
	// a Recall on the bus, once. Recalling a message again is no error. A message
	// outside of the limit is ErrNotAuthor or ErrTooLate. by is who recalls it, as in
	// Publication.
	Recall(ctx context.Context, g group.Name, uuid string, limit Limit, by stream.Author) error
	// SetTTL makes the history expire that long after the last message, also after
	// later ones.
	SetTTL(ctx context.Context, g group.Name, ttl time.Duration) error
	// Read returns the stored events after start, in order, at most a few hundred and
	// about 256 KiB.
	Read(ctx context.Context, g group.Name, start Start) (Batch, error)
}

// Head is the end of a group's stream, or why it could not be read. A part of the
// store may be down while the rest answers.
type Head struct {
	Position stream.Position
	Err      error
}

// Bus carries what happens in groups from all history services to each.
// Delivery is at most once: a consumer that finds a hole asks Log.Read.
type Bus interface {
	// Subscribe and Unsubscribe return at once. Listener.Subscribed is called when a
	// subscription is in force. A group is subscribed at most once.
	Subscribe(groups ...group.Name)
	Unsubscribe(groups ...group.Name)
	// Heads returns the end of each group's stream, in the order asked for. It also
	// keeps the counters of these groups, which have followers, from expiring. So when a
	// history expires, its followers get no gap.
	Heads(ctx context.Context, groups []group.Name) []Head
}

// Listener receives the events of the bus. Calls for one group come one after another.
type Listener interface {
	// Subscribed: from here on events of g arrive. It is called again after each
	// interruption, in which events may have been missed.
	Subscribed(g group.Name)
	// Heard: events of g, contiguous among themselves, in the order of the stream.
	Heard(g group.Name, epoch stream.Epoch, events []stream.Event)
}

// Presence knows how many members each group has on each edge. It forgets an edge
// that has not reported for a few seconds.
type Presence interface {
	// Report sets counts; groups not named keep theirs, unless full. 0 removes.
	// It also keeps what was reported earlier alive.
	Report(ctx context.Context, edge uint64, full bool, members map[group.Name]uint32) error
	// Leave forgets an edge at once.
	Leave(ctx context.Context, edge uint64) error
	// Members sums over all edges.
	Members(ctx context.Context) (map[group.Name]uint32, error)
}

// Census is the part of Presence for operators.
type Census interface {
	// MembersOf is Presence.Members of one group.
	MembersOf(ctx context.Context, g group.Name) (uint32, error)
	// Edges returns the groups and members of each edge; most bounds the number of edges.
	Edges(ctx context.Context, most int) ([]Edge, error)
}

// Edge is what one edge has reported.
type Edge struct {
	ID      string
	Groups  int
	Members uint64
}

// Admin is the part of the store for operators.
type Admin interface {
	// Purge deletes all messages of a group and returns how many there were. The store still
	// knows their uuids, so that sending them again does not bring them back. Every earlier
	// position is a gap from then on, so followers notice.
	Purge(ctx context.Context, g group.Name) (messages int, err error)
	// Inspect describes one group, even if that is empty or unknown.
	Inspect(ctx context.Context, g group.Name) (Inspection, error)
	// StoredGroups looks at about size groups that have messages. page is "" or the next
	// of the call before; next is "" after the last.
	StoredGroups(ctx context.Context, page string, size int) (groups []StoredGroup, next string, err error)
	// Condition describes the store itself. It has alarms also with an error.
	Condition(ctx context.Context) (Condition, error)
}

// Inspection is what one group keeps.
type Inspection struct {
	Messages     int
	Bytes        int64
	Seq, Changes uint64
	// When the oldest and the newest message were stored; zero: unknown.
	Oldest, Newest time.Time
	// The time until the history expires; 0: it does not.
	ExpiresIn time.Duration
}

// StoredGroup is a group that has messages.
type StoredGroup struct {
	Name     group.Name
	Messages int
	// Estimated.
	Bytes int64
	// 0: it has no counters yet.
	Seq uint64
}

// Condition is how the store is. In a Cluster it is about all masters together.
type Condition struct {
	Kind, Version, Mode string
	Nodes               int
	UsedBytes, MaxBytes int64
	EvictionPolicy      string
	EvictedKeys         int64
	Clients, Replicas   int64
	Uptime              time.Duration
	Alarms              []Alarm
}

// Alarm is something that is wrong: the name of an alert of docs/operations.md, and what
// was seen with what to do, in one line.
type Alarm struct{ Name, Text string }
