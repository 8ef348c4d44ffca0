package historyapi

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access/grpcstatus"
	"github.com/gotapi/gotapi-ws/historysvc/internal/auth"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/rpc"
	"github.com/gotapi/gotapi-ws/hooks"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const (
	// A batch has up to maxBatch publishes and maxBatchBytes.
	maxBatch      = 1000
	maxBatchBytes = 4 << 20
	// batchesPart is the part of the memory limit for batches until they are answered: 1/8.
	batchesPart = 8
	// itemCost is what a publish of a batch costs beside its packet.
	itemCost = 1 << 10
)

// item is one publish of a batch. It is its own history.Sender.
type item struct {
	*history.Publication
	settings *groupsettings.Entry
	// As hooks see it; nil without hooks.
	packet   *hooks.Packet
	receipt  history.Receipt
	answered bool
	// Why it is refused: a status, or an error of the store.
	err   error
	batch *batch
}

// batch is the work on one call.
type batch struct {
	items []item
	// What follows must not overtake something that was refused, in these groups.
	barred map[group.Name]bool

	mu sync.Mutex
	// How many have no receipt yet, and whether receipts are too late.
	waiting int
	over    bool
	settled chan struct{}
}

// Settle implements history.Sender.
func (i *item) Settle(r history.Receipt) {
	i.batch.mu.Lock()
	defer i.batch.mu.Unlock()
	if !i.batch.over {
		i.receipt, i.err, i.answered = r, r.Err, true
	}
	if i.batch.waiting--; i.batch.waiting == 0 {
		close(i.batch.settled)
	}
}

// PublishBatch implements historyv1.HistoryServiceServer.
func (s *Service) PublishBatch(ctx context.Context, r *historyv1.PublishBatchRequest) (*historyv1.PublishBatchResponse, error) {
	requests := r.GetPublishes()
	size := 0
	for _, one := range requests {
		size += len(one.GetGroupName()) + len(one.GetPacket()) + len(one.GetIdempotencyKey())
	}
	switch {
	case len(requests) == 0 || len(requests) > maxBatch:
		return nil, rpc.BadField("publishes", "must be 1 to 1000")
	case size > maxBatchBytes:
		return nil, rpc.TooLarge("publishes", "larger than 4 MiB")
	}
	held, ok := s.batches.TryAcquire(auth.Caller(ctx), int64(size+len(requests)*itemCost))
	if !ok {
		return nil, s.status(ctx, history.ErrBusy)
	}
	defer held.Release()
	b := &batch{items: make([]item, len(requests)), barred: make(map[group.Name]bool), settled: make(chan struct{})}
	for n, one := range requests {
		i := &b.items[n]
		i.batch = b
		g := group.Name(one.GetGroupName())
		if b.barred[g] {
			i.err = errKeptBack
			continue
		}
		i.Publication, i.settings, i.err = s.publication(ctx, one)
		b.barred[g] = mayPass(i.err)
	}
	clear(b.barred) // the items that are left come before what was refused
	s.askHooks(ctx, b)
	s.submitBatch(ctx, b)
	response := &historyv1.PublishBatchResponse{Results: make([]*historyv1.PublishResult, len(requests))}
	for n := range b.items {
		response.Results[n] = result(&b.items[n], requests[n])
	}
	return response, nil
}

// errKeptBack is why an item is refused that would overtake another one.
var errKeptBack = grpcstatus.Error(codes.Unavailable, "KEPT_BACK", "a packet before it in this group was refused")

// mayPass reports whether what was refused with a status may be accepted later.
func mayPass(err error) bool {
	switch status.Code(err) {
	case codes.ResourceExhausted, codes.Unavailable, codes.DeadlineExceeded:
		return true
	}
	return false
}

// refuse refuses i, and what follows it in its group if that must not overtake it.
func (b *batch) refuse(i *item, err error) {
	i.err = err
	if mayPass(err) {
		b.barred[i.Group] = true
	}
}

// askHooks lets the hook allow, deny or rewrite the items that are not refused yet.
func (s *Service) askHooks(ctx context.Context, b *batch) {
	if s.opts.Hooks == nil {
		return
	}
	var asked []*item
	var reviews []hooks.Review
	for n := range b.items {
		i := &b.items[n]
		if i.err != nil {
			continue
		}
		i.packet = packetOf(ctx, i.Publication)
		if i.settings.AsksHook() {
			asked = append(asked, i)
			reviews = append(reviews, hooks.Review{Packet: i.packet, MaxBytes: i.settings.MaxBytes(s.opts.MaxMessageBytes)})
		}
	}
	for n, v := range s.opts.Hooks.Before.ReviewAll(ctx, reviews) {
		i := asked[n]
		switch {
		case b.barred[i.Group]:
			i.err = errKeptBack
		case v.Err != nil:
			b.refuse(i, grpcstatus.Of(v.Err))
		case v.Rewrite != nil:
			i.Kind, i.Payload = v.Rewrite.Kind, v.Rewrite.Body
		}
	}
}

// submitBatch submits the items that are not refused yet, those of each group as a run, and
// waits for their receipts. If ctx ends first, the outcomes are unknown.
func (s *Service) submitBatch(ctx context.Context, b *batch) {
	var items []*item
	var publications []*history.Publication
	for n := range b.items {
		if i := &b.items[n]; i.err == nil {
			items, publications = append(items, i), append(publications, i.Publication)
		}
	}
	if len(items) == 0 {
		return
	}
	b.waiting = len(items)
	ctx, cancel := untilPublished(ctx, publications...)
	defer cancel()
	runs := make(map[group.Name]*history.Run)
	for _, i := range items {
		if runs[i.Group] == nil {
			runs[i.Group] = new(history.Run)
		}
		i.From, i.Run = i, runs[i.Group]
		rpc.TraceAttempts(ctx, s.opts.Tracer, i.Publication)
		s.store.Submit(i.Publication)
	}
	select {
	case <-b.settled:
	case <-ctx.Done():
	}
	b.end(items, ctx.Err())
	for _, i := range items {
		switch {
		case i.err == nil:
			s.accepted(i)
		case b.barred[i.Group] && errors.Is(i.err, history.ErrUnavailable):
			i.err = errKeptBack
		default:
			b.refuse(i, s.status(ctx, i.err))
		}
	}
}

func (s *Service) accepted(i *item) {
	s.expect(i.Publication, i.receipt)
	if i.packet != nil && !i.receipt.Duplicate && i.settings.TellsHook() {
		i.packet.At = i.receipt.At
		s.opts.Hooks.After.Tell(i.packet)
	}
}

// end gives the items without a receipt an error.
func (b *batch) end(items []*item, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	for _, i := range items {
		if !i.answered {
			i.err = err
		}
	}
}

// result is what the caller learns of an item.
func result(i *item, r *historyv1.PublishRequest) *historyv1.PublishResult {
	if i.err != nil {
		return refusal(status.Convert(i.err), r.GetGroupName())
	}
	result := &historyv1.PublishResult{Code: http.StatusOK, Group: r.GetGroupName()}
	if i.Kind == stream.Message {
		result.Stored, result.Uuid, result.Duplicate = i.receipt.Stored(), &i.UUID, &i.receipt.Duplicate
		result.Seq, result.At = i.receipt.Seq, i.receipt.At
	}
	return result
}

// httpCodes are those of docs/protocol.md, section 8.
var httpCodes = map[codes.Code]int32{
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.FailedPrecondition: http.StatusBadRequest,
	codes.Unauthenticated:    http.StatusUnauthorized,
	codes.PermissionDenied:   http.StatusForbidden,
	codes.ResourceExhausted:  http.StatusTooManyRequests,
	codes.Unavailable:        http.StatusServiceUnavailable,
	codes.DeadlineExceeded:   http.StatusGatewayTimeout,
	codes.Canceled:           http.StatusGatewayTimeout,
}

func refusal(st *status.Status, groupName string) *historyv1.PublishResult {
	code, ok := httpCodes[st.Code()]
	if !ok {
		code = http.StatusInternalServerError
	}
	result := &historyv1.PublishResult{Code: code, Group: groupName, Msg: st.Message()}
	for _, detail := range st.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			result.Reason = d.GetReason()
		case *errdetails.RetryInfo:
			result.RetryAfterMs = uint32(d.GetRetryDelay().AsDuration().Milliseconds())
		}
	}
	if result.GetReason() == "TOO_LARGE" {
		result.Code = http.StatusRequestEntityTooLarge
	}
	return result
}
