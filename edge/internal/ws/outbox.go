package ws

import (
	"crypto/tls"
	"io"
	"sync"
	"syscall"
	"time"
)

// Limits bound an Outbox. One frame counts at most a quarter of Bytes, so that
// a page of history, of which a session sends one at a time, fits whatever its
// size.
type Limits struct {
	Frames, Bytes int
}

// phase is how far the end of a connection has come. It only rises.
type phase uint8

const (
	// Frames are taken and sent.
	open phase = iota
	// No more frames are taken. Those that wait are sent, then the close frame.
	closing
	// Only the close frame is still sent: the queue was full.
	overrun
	// Nothing is sent.
	cut
)

// Sink is where an Outbox writes to: a net.Conn, or a response of HTTP.
type Sink interface {
	io.WriteCloser
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

// Outbox is the queue of frames to one peer. Beyond its limits the peer lags, as far
// as its Backlog allows. If the peer exceeds that, or accepts nothing for too long, the
// queue is dropped and the connection ends with ErrSlowConsumer. Its methods are safe for
// concurrent use; only Await, AwaitRoom, Flush, SendAndWait and Wait block.
// Frames leave in the order in which they came, and a close frame is the last.
//
// If the members that use it have a Share each, it has no Backlog: what does not fit
// is refused (Offer), and only a peer that takes nothing is a slow consumer.
//
// Before Start nothing leaves: so a member can receive a group's traffic before
// its 101 is written.
//
// At most one goroutine writes: a worker of the Flusher, or, while the peer takes
// nothing, one of the Outbox's own. From the first frame that finds no writer until
// a writer finds no frame, the Outbox is scheduled (wake, next).
type Outbox struct {
	limits  Limits
	flusher *Flusher
	// One while the Outbox is scheduled.
	writer sync.WaitGroup

	mu    sync.Mutex
	phase phase
	// Why the connection ends; set when phase leaves open.
	cause error
	conn  Sink // nil before Start
	// Of conn, if it can be written without blocking.
	raw       syscall.RawConn
	scheduled bool
	waiting   []Frame
	// Of what waits and what is being written.
	frames, bytes int
	// How far the peer is behind, if that is beyond the limits.
	lag lag
	// How many frames have been written, and how many bytes these were.
	written, writtenBytes uint64
	// Closed after each write and at the end; nil when nobody waits.
	progress chan struct{}
	// Members have shares, and which of the frames count in them.
	shared bool
	runs   []run
	// Makes the last frame; nil: a close frame. Set before Start.
	last func(cause *CloseError) Frame
}

// NewOutbox returns an Outbox that holds its frames until Start; then f writes
// them.
func NewOutbox(limits Limits, f *Flusher) *Outbox { return &Outbox{limits: limits, flusher: f} }

// EndWith has the last frame made by last, instead of a close frame. It comes before
// Start.
func (o *Outbox) EndWith(last func(cause *CloseError) Frame) { o.last = last }

// Start begins to send to conn. From then on Abort closes conn.
func (o *Outbox) Start(conn Sink) {
	o.mu.Lock()
	o.conn = conn
	o.raw = rawOf(conn)
	aborted := o.phase == cut
	o.wake(false)
	o.mu.Unlock()
	if aborted {
		closeAtOnce(conn)
	}
}

// Send queues f, which is for this peer alone. It does nothing when the connection is
// ending.
func (o *Outbox) Send(f Frame) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.enqueue(nil, false, int64(f.Size()), f)
}

// SendAll queues frames, which are for this peer alone, in one step. It keeps no
// reference to the slice.
func (o *Outbox) SendAll(frames []Frame) {
	o.Deliver(frames, totalSize(frames), false)
}

// Deliver is SendAll for frames that the members of a room share, except for own bytes.
// bulk means that other rooms are served first.
func (o *Outbox) Deliver(frames []Frame, own int, bulk bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.enqueue(nil, bulk, int64(own), frames...)
}

func (o *Outbox) enqueue(s *Share, bulk bool, own int64, frames ...Frame) {
	if o.phase != open || len(frames) == 0 {
		return
	}
	o.count(frames)
	if (o.frames > o.limits.Frames || o.bytes > o.limits.Bytes) && !o.mayLag(own) {
		o.dropWaiting()
		o.end(overrun, ErrSlowConsumer)
		return
	}
	o.waiting = append(o.waiting, frames...)
	if s != nil {
		o.attribute(s, frames)
	}
	o.wake(bulk)
}

func (o *Outbox) count(frames []Frame) {
	o.frames += len(frames)
	for _, f := range frames {
		o.bytes += o.weight(f)
	}
}

// isHalfEmpty reports whether at most half of the limits is used. The caller holds the
// lock.
func (o *Outbox) isHalfEmpty() bool {
	return o.frames <= o.limits.Frames/2 && o.bytes <= o.limits.Bytes/2
}

func (o *Outbox) weight(f Frame) int { return min(f.Size(), o.limits.Bytes/4) }

func (o *Outbox) weightOf(frames []Frame) (bytes int) {
	for _, f := range frames {
		bytes += o.weight(f)
	}
	return bytes
}

// dropWaiting forgets what waits. The counts do not matter any more.
func (o *Outbox) dropWaiting() {
	clear(o.waiting)
	o.waiting = nil
}

// Close ends the connection: what waits is sent, then a close frame. Only the
// first cause counts.
func (o *Outbox) Close(cause *CloseError) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.phase == open {
		o.end(closing, cause)
	}
}

// end queues the last frame.
func (o *Outbox) end(to phase, cause *CloseError) {
	o.phase, o.cause = to, cause
	o.endLag()
	var last Frame
	if o.last == nil {
		last = closeFrame(cause.Code, cause.Reason)
	} else {
		last = o.last(cause)
	}
	o.count([]Frame{last})
	o.waiting = append(o.waiting, last)
	o.wake(false)
	o.reportProgress()
}

// Abort ends the connection at once, without a close frame, also after Close.
func (o *Outbox) Abort(cause error) {
	o.mu.Lock()
	if o.phase == open {
		o.cause = cause
	}
	o.phase = cut
	o.dropWaiting()
	o.endLag()
	o.reportProgress()
	conn := o.conn
	o.mu.Unlock()
	if conn != nil {
		closeAtOnce(conn)
	}
}

// closeAtOnce closes conn without waiting for the peer: closing TLS is a write.
func closeAtOnce(conn Sink) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	_ = conn.Close() // the connection is given up anyway
}

// Cause is why the connection ends; nil while it does not.
func (o *Outbox) Cause() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.cause
}

// Queued is how many bytes wait or are being written.
func (o *Outbox) Queued() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes
}

// Written is how many frames have been written, pings included and the close
// frame not, and how many bytes these were.
func (o *Outbox) Written() (frames, bytes uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written, o.writtenBytes
}

// Wait blocks until everything that could be sent has been sent. The connection must
// be ending.
func (o *Outbox) Wait() { o.writer.Wait() }

// wake schedules the Outbox if something waits and nobody is writing.
func (o *Outbox) wake(bulk bool) {
	if o.scheduled || o.conn == nil || len(o.waiting) == 0 {
		return
	}
	o.scheduled = true
	o.writer.Add(1) // not Go: that would allocate
	o.flusher.add(o, bulk)
}
