package ws

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

const (
	// A Write to a peer that takes nothing ends the connection after this.
	writeTimeout = 10 * time.Second
	// A peer has this long to answer our close frame before TCP is closed.
	closeTimeout = time.Second
	// The queue's array is kept for the next burst up to this capacity.
	keepFrames = 16
)

// Limits bound an Outbox. One frame counts at most a quarter of Bytes, so that
// a page of history, of which a session sends one at a time, fits whatever its
// size.
type Limits struct {
	Frames, Bytes int
}

// Timer hears how long frames waited until they had been written, of a sample.
type Timer func(time.Duration)

// Outbox is the queue of frames to one peer. When it is full, what waits is
// dropped and the connection ends with ErrSlowConsumer. Its methods may be called
// from many goroutines; none but Await and Wait blocks. Frames leave in the order
// in which they came, and a close frame is the last.
//
// Before Start nothing leaves: so a member can receive a group's traffic before
// its 101 is written.
type Outbox struct {
	limits Limits
	timer  Timer
	// Counts the writer, of which there is at most one.
	writer sync.WaitGroup

	mu      sync.Mutex
	conn    net.Conn // nil before Start
	waiting []Frame
	// Of what waits and what is being written.
	frames, bytes int
	// How many frames have been written.
	written uint64
	writing bool
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
	// How often the writer was started, and when that was, if it is measured.
	starts uint32
	began  time.Time
}

// One start of a writer in measuredStarts is measured: looking at the clock
// each time would show in what a delivery costs.
const measuredStarts = 64

// NewOutbox returns an Outbox that holds its frames until Start. timer may be nil.
func NewOutbox(limits Limits, timer Timer) *Outbox { return &Outbox{limits: limits, timer: timer} }

// Start begins to send to conn, which from now on the Outbox closes when it is
// cut.
func (o *Outbox) Start(conn net.Conn) {
	o.mu.Lock()
	o.conn = conn
	cut := o.cut
	o.wake()
	o.mu.Unlock()
	if cut {
		cutOff(conn)
	}
}

// Send queues f. It does nothing when the connection is ending.
func (o *Outbox) Send(f Frame) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sendAll(f)
}

// SendAll queues frames in one step. It keeps no reference to the slice.
func (o *Outbox) SendAll(frames []Frame) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sendAll(frames...)
}

func (o *Outbox) sendAll(frames ...Frame) {
	if o.cause != nil || len(frames) == 0 || !o.admit(frames) {
		return
	}
	o.waiting = append(o.waiting, frames...)
	o.wake()
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
	o.wake()
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

// SendAndWait queues f and blocks until it has been written. It returns the
// cause if the connection ends before.
func (o *Outbox) SendAndWait(ctx context.Context, f Frame) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sendAll(f)
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

// wake starts the writer if there is something to write and none at it.
func (o *Outbox) wake() {
	if o.writing || o.conn == nil || len(o.waiting) == 0 {
		return
	}
	o.writing = true
	if o.starts++; o.starts%measuredStarts == 0 {
		o.began = time.Now()
	}
	o.writer.Add(1) // not Go: that would allocate
	go o.write()
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
