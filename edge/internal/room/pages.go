package room

import (
	"context"
	"encoding/binary"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// maxReads bounds the reads of the store at one time. Others wait their turn.
const maxReads = 16

// page is a batch with its frames, shared by all who asked for it.
type page struct {
	relay.Batch
	// Per event: what those get who did not send it, if anything.
	frames []ws.Frame
	public []bool
}

// pages reads the store for members that catch up. After a restart of an edge
// thousands resume from the same place: they share one read.
type pages struct {
	relay   Relay
	shared  singleflight.Group
	turns   chan struct{}
	metrics *pageMetrics
}

func newPages(r Relay, reg prometheus.Registerer) *pages {
	return &pages{relay: r, turns: make(chan struct{}, maxReads), metrics: newPageMetrics(reg)}
}

// read may return what a read that began a moment earlier has found. Then the
// caller may have to read on, nothing worse.
func (p *pages) read(ctx context.Context, g group.Name, start relay.Start) (*page, error) {
	v, err, _ := p.shared.Do(pageKey(g, start), func() (any, error) { return p.load(ctx, g, start) })
	if err != nil {
		return nil, err
	}
	loaded, _ := v.(*page) // load returns nothing else
	return loaded, nil
}

func (p *pages) load(ctx context.Context, g group.Name, start relay.Start) (*page, error) {
	if err := p.await(ctx); err != nil {
		return nil, err
	}
	defer func() { <-p.turns }()
	p.metrics.reads.Inc()
	// The relay bounds the time of a read; that one of those who share it goes away is
	// no reason to end it.
	batch, err := p.relay.Read(context.WithoutCancel(ctx), g, start)
	if err != nil {
		return nil, err
	}
	loaded := &page{
		Batch:  batch,
		frames: make([]ws.Frame, len(batch.Events)),
		public: make([]bool, len(batch.Events)),
	}
	for i := range batch.Events {
		loaded.frames[i], loaded.public[i] = publicFrame(&batch.Events[i])
	}
	return loaded, nil
}

// await waits for a turn, for as long as ctx allows: while the store is slow, turns are
// rare.
func (p *pages) await(ctx context.Context) error {
	p.metrics.waiting.Inc()
	defer p.metrics.waiting.Dec()
	select {
	case p.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func pageKey(g group.Name, start relay.Start) string {
	key := append([]byte(g), 0) // no name has a zero byte
	if start.AfterUUID != "" {
		return string(append(append(key, 'u'), start.AfterUUID...))
	}
	key = append(key, 'p')
	key = binary.BigEndian.AppendUint64(key, uint64(start.After.Epoch))
	key = binary.BigEndian.AppendUint64(key, start.After.Seq)
	key = binary.BigEndian.AppendUint64(key, start.After.Recalls)
	return string(binary.BigEndian.AppendUint32(key, uint32(start.After.Link)))
}
