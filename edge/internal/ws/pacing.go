package ws

import "context"

// Await blocks until at most half of the limits is used. It returns the cause
// if the connection is ending. A peer that reads nothing at all ends it.
func (o *Outbox) Await(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.await(ctx, o.isHalfEmpty)
}

// SendAndWait queues f and blocks until it has been written. It returns the
// cause if the connection ends before.
func (o *Outbox) SendAndWait(ctx context.Context, f Frame) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.enqueue(false, int64(f.Size()), f)
	return o.flush(ctx)
}

// Flush blocks until everything that is queued now has been written. It returns the
// cause if the connection ends before.
func (o *Outbox) Flush(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.flush(ctx)
}

// flush needs the lock.
func (o *Outbox) flush(ctx context.Context) error {
	last := o.written + uint64(o.frames)
	return o.await(ctx, func() bool { return o.written >= last })
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

// await blocks until done, which it asks after each write. It lets go of the lock
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

// reportProgress wakes everyone in await. The caller holds the lock.
func (o *Outbox) reportProgress() {
	if o.progress != nil {
		close(o.progress)
		o.progress = nil
	}
}
