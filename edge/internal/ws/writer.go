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

// write sends what waits, until nothing does.
func (o *Outbox) write() {
	defer o.writer.Done()
	var frames []Frame
	for {
		frames = o.take(frames)
		if frames == nil {
			return
		}
		if err := o.flush(frames); err != nil {
			o.Abort(err)
			o.rest()
			return
		}
	}
}

// take returns what waits, in exchange for an array that is no longer used. It
// returns nil when the writer has to stop.
func (o *Outbox) take(used []Frame) []Frame {
	clear(used)
	if cap(used) > keepFrames {
		used = nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) == 0 || o.cut {
		o.writing = false
		if cap(o.waiting) < cap(used) {
			o.waiting = used[:0]
		}
		return nil
	}
	frames := o.waiting
	o.waiting = used[:0]
	return frames
}

// rest ends the writer's turn after an error.
func (o *Outbox) rest() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing = false
}

// flush writes frames, as many as possible in one Write.
func (o *Outbox) flush(frames []Frame) error {
	for len(frames) > 0 {
		n := gatherable(frames)
		if err := o.flushSome(frames[:n]); err != nil {
			return err
		}
		closing := frames[n-1].Opcode() == OpClose
		if closing {
			// The reader goes on until the peer has answered, but not for long.
			return o.conn.SetReadDeadline(time.Now().Add(closeTimeout))
		}
		if !o.countOut(frames[:n]) {
			return nil
		}
		frames = frames[n:]
	}
	return nil
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

func (o *Outbox) flushSome(frames []Frame) error {
	if len(frames) == 1 {
		return o.writeAll(frames[0].raw)
	}
	buf, _ := gatherBuffers.Get().(*[maxGather]byte)
	defer gatherBuffers.Put(buf)
	b := buf[:0]
	for _, f := range frames {
		b = append(b, f.raw...)
	}
	return o.writeAll(b)
}

func (o *Outbox) writeAll(b []byte) error {
	for len(b) > 0 {
		piece := b[:min(len(b), maxPiece)]
		if err := o.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		if _, err := o.conn.Write(piece); err != nil {
			return err
		}
		b = b[len(piece):]
	}
	return nil
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
	}
	if !o.began.IsZero() {
		if o.timer != nil {
			o.timer(time.Since(o.began))
		}
		o.began = time.Time{}
	}
	o.tellWaiter()
	return !o.dropped
}
