package historyapi

import (
	"context"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc/internal/auth"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/rpc"
	"github.com/gotapi/gotapi-ws/internal/quota"
	"github.com/gotapi/gotapi-ws/wire/group"
)

const (
	// pagesPart is the part of the memory limit for pages until they are taken: 1/4.
	pagesPart = 4
	// watchesPart is the part for what waits for watches: 1/8.
	watchesPart = 8
	// pagePatience is how long a call waits for bytes of that part.
	pagePatience = 5 * time.Second
	// A message is taken for one of messageBytes before its page is there.
	messageBytes = 4 << 10
	// callBytes is what a call costs beside its page or events: a goroutine with buffers.
	callBytes = 8 << 10
	// metaBytes is what is known of a message beside its text, without the author's name.
	metaBytes = 128
	// pageCopies is how often a page is in memory while it is read: as texts, and encoded.
	pageCopies = 2
)

// readPage reads a page once the caller may hold as much. It holds it until the caller
// has taken the answer: one that takes nothing keeps itself from reading more, not the
// others.
func (s *Service) readPage(ctx context.Context, g group.Name, q history.Query) (page history.Page, err error) {
	held, err := s.holdPage(ctx, callBytes+pageCopies*int64(min(q.Size*messageBytes, q.MaxBytes)))
	if err != nil {
		return page, err
	}
	rpc.ReleaseWithAnswer(ctx, held.Release)
	if err := s.pageReads.Acquire(ctx, string(g)); err != nil {
		return page, err
	}
	defer s.pageReads.Release()
	if page, err = s.store.Page(ctx, g, q); err != nil {
		return page, err
	}
	held.Shrink(callBytes + sizeOf(&page))
	return page, nil
}

// holdPage waits for n bytes.
func (s *Service) holdPage(ctx context.Context, n int64) (*quota.Held, error) {
	caller := auth.Caller(ctx)
	queued, ok := s.pageQueue.TryAcquire(caller, 1)
	if !ok {
		return nil, history.ErrBusy
	}
	defer queued.Release()
	held, ok := s.pages.Acquire(ctx, caller, n, pagePatience)
	switch {
	case ok:
		return &held, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, history.ErrBusy
}

func sizeOf(page *history.Page) (n int64) {
	for _, text := range page.Texts {
		n += int64(len(text))
	}
	for i := range page.Meta {
		n += metaBytes + int64(len(page.Meta[i].By.Name))
	}
	return n
}
