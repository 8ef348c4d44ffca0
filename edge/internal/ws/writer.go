package ws

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// Frames that wait leave together in writes of at most this.
	maxGather = 16 << 10
	// A frame larger than maxGather leaves in pieces of this, each of which has
	// its own deadline: slow is not stuck.
	maxPiece = 64 << 10
	// A Write to a peer that takes nothing ends the connection after this.
	writeTimeout = 10 * time.Second
	// A peer has this long to answer our close frame before TCP is closed.
	closeTimeout = time.Second
	// The queue's array is kept for the next burst up to this capacity when the
	// queue is empty, and up to that while there is traffic.
	keepFrames = 16
	swapFrames = 256
)

// writer is what a goroutine needs to write for Outboxes, one at a time.
type writer struct {
	gathered [maxGather]byte
	// An array for the next Outbox to queue frames in.
	spare []Frame
	try   nonBlocking
}

var writers = sync.Pool{New: func() any {
	w := new(writer)
	w.try.attempt = w.try.writeFD
	return w
}}

func newWriter() *writer {
	w, _ := writers.Get().(*writer)
	return w
}

func (w *writer) release() {
	clear(w.spare)
	writers.Put(w)
}

// serve writes what waits in o without blocking, and reports whether more has come
// meanwhile: then o needs another turn. If the connection would block, a goroutine
// goes on.
func (w *writer) serve(o *Outbox) (again bool) {
	frames := o.next(w.spare)
	w.spare = nil
	if frames == nil {
		return false
	}
	if o.raw == nil {
		go o.writeOn(frames, 0)
		return false
	}
	left, done, err := w.flush(o, frames, 0, func(b []byte) (int, error) { return w.try.write(o.raw, b) })
	switch {
	case err != nil:
		o.fail(err)
		return false
	case len(left) > 0:
		go o.writeOn(left, done)
		return false
	}
	w.spare = frames
	return o.hasNext()
}

// writeOn writes frames, of which the first skip bytes have left already, and then
// what waits until nothing does. It blocks for at most writeTimeout while the peer
// takes nothing.
func (o *Outbox) writeOn(frames []Frame, skip int) {
	w := newWriter()
	defer w.release()
	for frames != nil {
		if _, _, err := w.flush(o, frames, skip, o.writeAll); err != nil {
			o.fail(err)
			return
		}
		skip = 0
		if o.raw != nil { // workers know no deadline
			_ = o.conn.SetWriteDeadline(time.Time{}) // the next write will tell
		}
		frames = o.next(frames)
	}
}

// flush writes frames, of which the first skip bytes have left already, as many as
// possible at once. If write takes less than it is given, flush returns the frames
// that are left, and how many bytes of them have left.
func (w *writer) flush(o *Outbox, frames []Frame, skip int, write func([]byte) (int, error)) (left []Frame, done int, err error) {
	for len(frames) > 0 {
		n := gatherable(frames)
		b := gather(frames[:n], w.gathered[:0])
		written, err := write(b[skip:])
		if err != nil {
			return nil, 0, err
		}
		if skip += written; skip < len(b) {
			return frames, skip, nil
		}
		skip = 0
		if frames[n-1].Opcode() == OpClose {
			// The reader goes on until the peer has answered, but not for long.
			return nil, 0, o.conn.SetReadDeadline(time.Now().Add(closeTimeout))
		}
		if !o.countWritten(frames[:n]) {
			return nil, 0, nil
		}
		frames = frames[n:]
	}
	return nil, 0, nil
}

// gatherable returns how many frames fit into one write; at least one.
func gatherable(frames []Frame) int {
	size := 0
	for i, f := range frames {
		size += f.Size()
		if size > maxGather {
			return max(i, 1)
		}
	}
	return len(frames)
}

// gather returns what frames are on the wire, in buf if there are several.
func gather(frames []Frame, buf []byte) []byte {
	if len(frames) == 1 {
		return frames[0].raw
	}
	for _, f := range frames {
		buf = append(buf, f.raw...)
	}
	return buf
}

// writeAll writes b, or fails.
func (o *Outbox) writeAll(b []byte) (int, error) {
	for left := b; len(left) > 0; {
		piece := left[:min(len(left), maxPiece)]
		if err := o.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return 0, err
		}
		n, err := o.conn.Write(piece)
		if left = left[n:]; err != nil && !(errors.Is(err, os.ErrDeadlineExceeded) && o.stalled()) {
			return 0, err
		}
		if len(left) > 0 {
			o.tookPiece()
		}
	}
	return len(b), nil
}

// stalled ends the connection of a peer with shares that has taken nothing for as long as
// a write may take. If the peer takes anything after all, it learns why: it has as
// long again for that. stalled returns false if there is nothing more to wait for.
func (o *Outbox) stalled() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.shared || o.phase >= overrun {
		return false
	}
	if o.phase == open {
		o.dropWaiting()
		o.end(overrun, ErrSlowConsumer)
	}
	o.phase = overrun
	return true
}

// tookPiece notes that the peer has taken a part of a frame.
func (o *Outbox) tookPiece() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.noteProgress()
}

// next returns what waits, in exchange for an array that is no longer used. If it
// returns nil, the Outbox is no longer scheduled and its writer has to stop.
func (o *Outbox) next(used []Frame) []Frame {
	clear(used)
	if cap(used) > swapFrames {
		used = nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.goesOn() {
		return nil
	}
	frames := o.waiting
	o.waiting = used[:0]
	return frames
}

// hasNext reports whether more waits. If not, the Outbox is no longer scheduled and
// its writer has to stop.
func (o *Outbox) hasNext() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.goesOn()
}

// goesOn needs the lock.
func (o *Outbox) goesOn() bool {
	if len(o.waiting) > 0 && o.phase != cut {
		return true
	}
	if cap(o.waiting) > keepFrames {
		o.waiting = nil
	}
	o.unschedule()
	return false
}

// unschedule ends the writer's work. The caller holds the lock.
func (o *Outbox) unschedule() {
	o.scheduled = false
	o.writer.Done()
}

// fail ends the connection because it cannot be written.
func (o *Outbox) fail(err error) {
	o.Abort(err)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unschedule()
}

// countWritten takes frames off the books. It reports whether the rest of what the
// writer has taken is to be sent, too.
func (o *Outbox) countWritten(frames []Frame) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.frames -= len(frames)
	o.written += uint64(len(frames))
	for _, f := range frames {
		o.bytes -= o.weight(f)
		o.writtenBytes += uint64(f.Size())
	}
	if len(o.runs) > 0 {
		o.freeShares()
	}
	o.noteProgress()
	o.reportProgress()
	return o.phase < overrun
}

// nonBlocking writes as much to a connection as it takes at once.
type nonBlocking struct {
	// writeFD, made once because each method value is allocated.
	attempt func(fd uintptr) bool
	// Of the present attempt.
	b   []byte
	n   int
	err error
}

func (t *nonBlocking) write(raw syscall.RawConn, b []byte) (n int, err error) {
	t.b, t.n, t.err = b, 0, nil
	if err := raw.Write(t.attempt); err != nil {
		return 0, err
	}
	t.b = nil
	return t.n, t.err
}
