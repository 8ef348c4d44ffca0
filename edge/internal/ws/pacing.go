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
	o.enqueue(nil, false, int64(f.Size()), f)
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

// AwaitRoom blocks until s has room for a part of what comes next, or until the function
// interrupted, which Nudge has called, returns true. Of a nil Share it is Await.
func (o *Outbox) AwaitRoom(ctx context.Context, s *Share, interrupted func() bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.await(ctx, func() bool { return o.hasRoom(s) || interrupted() })
}

// Nudge has everyone in AwaitRoom ask whether they are interrupted.
func (o *Outbox) Nudge() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reportProgress()
}

// Portion returns how many of frames may be queued now, by a sender that has many and waits
// for room in between, so that a quarter of the limits stays free for others: what
// is free of s, or a quarter of the limits; 0 if there is no room, else at least one.
func (o *Outbox) Portion(s *Share, frames []Frame) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.hasRoom(s) {
		return 0
	}
	free := size{o.limits.Frames / 4, o.limits.Bytes / 4}
	if s != nil {
		free = size{o.limits.Frames/shareOf - int(s.frames), o.limits.Bytes/shareOf - int(s.bytes)}
	}
	bytes := 0
	for i, f := range frames {
		bytes += o.weight(f)
		if i > 0 && (i >= free.frames || bytes > free.bytes) {
			return i
		}
	}
	return len(frames)
}

func totalSize(frames []Frame) (bytes int) {
	for _, f := range frames {
		bytes += f.Size()
	}
	return bytes
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
