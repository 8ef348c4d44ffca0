package ws

import (
	"sync"
	"time"
)

const (
	// Waiting frames leave together in writes of at most this. A writer that is
	// stuck holds a buffer of this size.
	maxGather = 16 << 10
	// A frame larger than maxGather leaves in pieces of this, each of which has
	// its own deadline: slow is not stuck.
	maxPiece = 64 << 10
)

var gatherBuffers = sync.Pool{New: func() any { return new([maxGather]byte) }}

// write sends frames, of whose first skip bytes have been sent, and what waits
// until nothing does. It blocks while the peer takes nothing, but not for ever.
func (o *Outbox) write(frames []Frame, skip int) {
	defer o.writer.Done()
	buf, _ := gatherBuffers.Get().(*[maxGather]byte)
	defer gatherBuffers.Put(buf)
	for frames != nil {
		if _, _, err := o.flush(frames, skip, buf[:0], o.writeAll); err != nil {
			o.fail(err)
			return
		}
		skip = 0
		o.unhurried()
		frames = o.take(frames)
	}
}

// unhurried takes the deadline of the last write back: a Flusher has none.
func (o *Outbox) unhurried() {
	if o.raw != nil {
		_ = o.conn.SetWriteDeadline(time.Time{}) // the next write will tell
	}
}

// fail ends the connection because it cannot be written.
func (o *Outbox) fail(err error) {
	o.Abort(err)
	o.rest()
}

// take returns what waits, in exchange for an array that is no longer used. It
// returns nil when the writer has to stop.
func (o *Outbox) take(used []Frame) []Frame {
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

// pause says whether there is more to write; if not, the writer has to stop.
func (o *Outbox) pause() (more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.goesOn()
}

func (o *Outbox) goesOn() bool {
	if len(o.waiting) > 0 && !o.cut {
		return true
	}
	o.writing = false
	if cap(o.waiting) > keepFrames {
		o.waiting = nil
	}
	return false
}

// rest ends the writer's turn after an error.
func (o *Outbox) rest() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing = false
}

// flush writes frames, of whose first skip bytes have been written, as many as
// possible at once, with the help of buf. When write takes less than it is given,
// flush returns the frames that are left, and how many bytes of them are done.
func (o *Outbox) flush(frames []Frame, skip int, buf []byte, write func([]byte) (int, error)) (left []Frame, done int, err error) {
	for len(frames) > 0 {
		n := gatherable(frames)
		b := gather(frames[:n], buf)
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
		if !o.countOut(frames[:n]) {
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
	for rest := b; len(rest) > 0; {
		piece := rest[:min(len(rest), maxPiece)]
		if err := o.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return 0, err
		}
		if _, err := o.conn.Write(piece); err != nil {
			return 0, err
		}
		rest = rest[len(piece):]
	}
	return len(b), nil
}

// countOut takes frames off the books. It returns false when the rest of what
// the writer has taken is not to be sent.
func (o *Outbox) countOut(frames []Frame) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.frames -= len(frames)
	o.written += uint64(len(frames))
	for _, f := range frames {
		o.bytes -= o.weight(f)
		o.writtenBytes += uint64(f.Size())
	}
	o.tellWaiter()
	return !o.dropped
}
