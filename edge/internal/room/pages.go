package room

import (
	"context"
	"sync"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// maxReads bounds the reads of the store at one time. Others wait.
const maxReads = 16

// page is a piece of a group's stream with its frames, shared by all members that
// need it.
type page struct {
	deliveries []delivery
	// The places before the first and after the last of them.
	start, end stream.Position
	gap        bool

	mu sync.Mutex
	// What members get that did not send them, by dialect; nil before the first use.
	made [maxDialects][]ws.Frame
}

// frames returns what members of m's dialect get that did not send it: a frame for each
// delivery, or the zero Frame. It is called before the deliveries' frames are used.
func (p *page) frames(m *Member) []ws.Frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	made := &p.made[m.kind]
	if *made == nil {
		*made = make([]ws.Frame, len(p.deliveries))
		for i := range p.deliveries {
			(*made)[i] = p.deliveries[i].frame(m)
		}
	}
	return *made
}

// pages reads the store for members that catch up. After a restart of an edge
// thousands resume from the same place: they share one read.
type pages struct {
	relay     Relay
	edge      uint64
	semaphore chan struct{}
	metrics   *metrics

	mu sync.Mutex
	// Those that have not ended, unless nobody waits for them any more.
	reads map[readKey]*read
}

// readKey is where a read begins.
type readKey struct {
	group group.Name
	start relay.Start
}

// read is one read of the store. Its result is there when done is closed.
type read struct {
	// It ends with the last member that waits for the read.
	ctx     context.Context //nolint:containedctx // the call has it, and nobody else
	cancel  context.CancelFunc
	waiting int
	done    chan struct{}
	page    *page
	err     error
}

func newPages(r Relay, edge uint64, m *metrics) *pages {
	return &pages{relay: r, edge: edge, semaphore: make(chan struct{}, maxReads), metrics: m, reads: make(map[readKey]*read)}
}

// read may return what a read that began a moment earlier has found. Then the
// caller may have to read on, nothing worse.
func (p *pages) read(ctx context.Context, g group.Name, start relay.Start) (*page, error) {
	k := readKey{g, start}
	r, shared := p.join(ctx, k)
	if shared {
		select {
		case <-r.done:
			return r.page, r.err
		case <-ctx.Done():
			p.leave(k, r)
			return nil, context.Cause(ctx)
		}
	}
	defer context.AfterFunc(ctx, func() { p.leave(k, r) })()
	defer r.cancel()
	defer close(r.done) // also when it panics
	defer p.forget(k, r)
	r.page, r.err = p.load(r.ctx, g, start)
	if r.err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return r.page, r.err
}

// join returns a read that has not ended; it is shared unless it is new, and then the
// caller has to do it.
func (p *pages) join(ctx context.Context, k readKey) (r *read, shared bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, shared = p.reads[k]
	if !shared {
		r = &read{done: make(chan struct{}), err: errUnreadable}
		r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
		p.reads[k] = r
	}
	r.waiting++
	return r, shared
}

// leave ends a read if the member that leaves was the last to wait for it.
func (p *pages) leave(k readKey, r *read) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.waiting--; r.waiting == 0 {
		r.cancel()
		p.remove(k, r)
	}
}

// forget lets nobody join a read any more.
func (p *pages) forget(k readKey, r *read) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(k, r)
}

// remove needs the lock.
func (p *pages) remove(k readKey, r *read) {
	if p.reads[k] == r {
		delete(p.reads, k)
	}
}

func (p *pages) load(ctx context.Context, g group.Name, start relay.Start) (*page, error) {
	if err := p.acquire(ctx); err != nil {
		return nil, err
	}
	defer func() { <-p.semaphore }()
	p.metrics.resumeReads.Inc()
	batch, err := p.relay.Read(ctx, g, start) // it bounds the time
	if err != nil {
		return nil, err
	}
	loaded := &page{
		deliveries: make([]delivery, len(batch.Events)), start: startOf(&batch), end: batch.Position, gap: batch.Gap,
	}
	at := loaded.start
	for i := range batch.Events {
		e := &batch.Events[i]
		at = after(at, batch.Epoch, e)
		loaded.deliveries[i].fill(p.edge, g, batch.Epoch, e, at)
	}
	return loaded, nil
}

// startOf returns the place before the first event of a batch.
func startOf(b *relay.Batch) stream.Position {
	at := b.Position
	for i := range b.Events {
		if b.Events[i].Kind == stream.Recall {
			at.Changes--
		} else {
			at.Seq--
		}
	}
	if len(b.Events) > 0 {
		at.Link = b.Events[0].Prev
	}
	return at
}

// after returns the place after a stored event that follows at.
func after(at stream.Position, epoch stream.Epoch, e *stream.Event) stream.Position {
	at.Epoch, at.Seq, at.Link = epoch, e.Seq, e.Link
	if e.Kind == stream.Recall {
		at.Changes = e.Changes
	}
	return at
}

// acquire waits for the semaphore until ctx ends: the store may be slow.
func (p *pages) acquire(ctx context.Context) error {
	p.metrics.resumeReadsWaiting.Inc()
	defer p.metrics.resumeReadsWaiting.Dec()
	select {
	case p.semaphore <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
