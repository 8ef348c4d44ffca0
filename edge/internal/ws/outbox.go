package ws

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	// A Write to a peer that takes nothing ends the connection after this.
	writeTimeout = 10 * time.Second
	// A peer has this long to answer our close frame before TCP is closed.
	closeTimeout = time.Second
	// The queue's array is kept for the next burst up to this capacity when the
	// queue is empty, and up to that while there is traffic.
	keepFrames = 16
	swapFrames = 256
)

// Limits bound an Outbox. One frame counts at most a quarter of Bytes, so that
// a page of history, of which a session sends one at a time, fits whatever its
// size.
type Limits struct {
	Frames, Bytes int
}

// Outbox is the queue of frames to one peer. When it is full, what waits is
// dropped and the connection ends with ErrSlowConsumer. Its methods may be called
// from many goroutines; none but Await and Wait blocks. Frames leave in the order
// in which they came, and a close frame is the last.
//
// Before Start nothing leaves: so a member can receive a group's traffic before
// its 101 is written.
type Outbox struct {
	limits  Limits
	flusher *Flusher
	// Counts the writer, of which there is at most one.
	writer sync.WaitGroup

	mu   sync.Mutex
	conn net.Conn // nil before Start
	// Of conn, if it can be written without blocking.
	raw     syscall.RawConn
	waiting []Frame
	// Of what waits and what is being written.
	frames, bytes int
	// How many frames have been written, and how many bytes these were.
	written, writtenBytes uint64
	writing               bool
	// Why the connection ends; nil while it does not. Once set, nothing more is
	// queued.
	cause error
	// What waited has been dropped: of what the writer has taken, nothing more
	// is sent either.
	dropped bool
	// Nothing may leave any more.
	cut bool
	// Closed after each write and at the end; nil when nobody waits.
	progress chan struct{}
}

// NewOutbox returns an Outbox that holds its frames until Start; then f writes
// them.
func NewOutbox(limits Limits, f *Flusher) *Outbox { return &Outbox{limits: limits, flusher: f} }

// Start begins to send to conn, which from now on the Outbox closes when it is
// cut.
func (o *Outbox) Start(conn net.Conn) {
	o.mu.Lock()
	o.conn = conn
	o.raw = rawOf(conn)
	cut := o.cut
	o.wake(false)
	o.mu.Unlock()
	if cut {
		cutOff(conn)
	}
}

// Send queues f. It does nothing when the connection is ending.
func (o *Outbox) Send(f Frame) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sendAll(false, f)
}

// SendAll queues frames in one step. It keeps no reference to the slice.
func (o *Outbox) SendAll(frames []Frame) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sendAll(false, frames...)
}

// SendBulk is SendAll for one of very many who get something at this moment:
// others may be served first.
func (o *Outbox) SendBulk(frames []Frame) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sendAll(true, frames...)
}

func (o *Outbox) sendAll(bulk bool, frames ...Frame) {
	if o.cause != nil || len(frames) == 0 || !o.admit(frames) {
		return
	}
	o.waiting = append(o.waiting, frames...)
	o.wake(bulk)
}

// admit counts frames in, or ends the connection because there is no room.
func (o *Outbox) admit(frames []Frame) bool {
	o.frames += len(frames)
	for _, f := range frames {
		o.bytes += o.weight(f)
	}
	if o.frames <= o.limits.Frames && o.bytes <= o.limits.Bytes {
		return true
	}
	o.drop()
	o.end(ErrSlowConsumer)
	return false
}

func (o *Outbox) weight(f Frame) int { return min(f.Size(), o.limits.Bytes/4) }

// drop forgets what waits. The counts do not matter any more.
func (o *Outbox) drop() {
	o.dropped = true
	clear(o.waiting)
	o.waiting = nil
}

// Close ends the connection: what waits is sent, then a close frame. Only the
// first cause counts.
func (o *Outbox) Close(cause *CloseError) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cause == nil {
		o.end(cause)
	}
}

// end makes the close frame the last frame.
func (o *Outbox) end(cause *CloseError) {
	o.cause = cause
	f := closeFrame(cause.Code, cause.Reason)
	o.frames++
	o.bytes += o.weight(f)
	o.waiting = append(o.waiting, f)
	o.wake(false)
	o.tellWaiter()
}

// Abort ends the connection at once; the peer is told nothing. It may be called
// after Close, too.
func (o *Outbox) Abort(cause error) {
	o.mu.Lock()
	if o.cause == nil {
		o.cause = cause
	}
	o.cut = true
	o.drop()
	o.tellWaiter()
	conn := o.conn
	o.mu.Unlock()
	if conn != nil {
		cutOff(conn)
	}
}

// cutOff closes conn without waiting for the peer: closing TLS is a write.
func cutOff(conn net.Conn) {
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

// Await blocks until at most half of the limits is used. It returns the cause
// if the connection is ending. A peer that reads nothing at all ends it.
func (o *Outbox) Await(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.await(ctx, func() bool { return o.frames <= o.limits.Frames/2 && o.bytes <= o.limits.Bytes/2 })
}

// Written is how many frames have been written, pings included and the close
// frame not, and how many bytes these were.
func (o *Outbox) Written() (frames, bytes uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written, o.writtenBytes
}

// SendAndWait queues f and blocks until it has been written. It returns the
// cause if the connection ends before.
func (o *Outbox) SendAndWait(ctx context.Context, f Frame) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sendAll(false, f)
	last := o.written + uint64(o.frames)
	return o.await(ctx, func() bool { return o.written >= last })
}

// await blocks until done, which is asked after each write. It lets the lock go
// meanwhile.
func (o *Outbox) await(ctx context.Context, done func() bool) error {
	for o.cause == nil && !done() {
		if o.progress == nil {
			o.progress = make(chan struct{})
		}
		progress := o.progress
		o.mu.Unlock()
		select {
		case <-progress:
			o.mu.Lock()
		case <-ctx.Done():
			o.mu.Lock()
			return context.Cause(ctx)
		}
	}
	return o.cause
}

func (o *Outbox) tellWaiter() {
	if o.progress != nil {
		close(o.progress)
		o.progress = nil
	}
}

// Wait blocks until all that could be sent has been sent. The connection must
// be ending.
func (o *Outbox) Wait() { o.writer.Wait() }

// wake has what waits written, if nobody is at it.
func (o *Outbox) wake(bulk bool) {
	if o.writing || o.conn == nil || len(o.waiting) == 0 {
		return
	}
	o.writing = true
	o.writer.Add(1) // not Go: that would allocate
	o.flusher.add(o, bulk)
}

// SendPaced queues frames as fast as the peer takes them, and so never fills
// the Outbox by itself: a quarter of the limits stays free for other frames.
// It returns the cause if the connection ends meanwhile.
func (o *Outbox) SendPaced(ctx context.Context, frames []Frame) error {
	for len(frames) > 0 {
		if err := o.Await(ctx); err != nil {
			return err
		}
		n := o.portion(frames)
		o.SendAll(frames[:n])
		frames = frames[n:]
	}
	return nil
}

// portion returns how many frames fit into a quarter of the limits; at least one.
func (o *Outbox) portion(frames []Frame) int {
	bytes := 0
	for i, f := range frames {
		bytes += o.weight(f)
		if i > 0 && (i >= o.limits.Frames/4 || bytes > o.limits.Bytes/4) {
			return i
		}
	}
	return len(frames)
}
