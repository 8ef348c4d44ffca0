package gateway

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// callTimeout bounds one call of the history service.
const callTimeout = 5 * time.Second

// Forwarder hands calls on to a history service, each with a deadline. It has
// what the gateway and the sessions need; the rest is Unimplemented.
type Forwarder struct {
	historyv1.UnimplementedHistoryServiceServer
	client historyv1.HistoryServiceClient
}

// NewForwarder returns a Forwarder that calls over conn.
func NewForwarder(conn grpc.ClientConnInterface) *Forwarder {
	return &Forwarder{client: historyv1.NewHistoryServiceClient(conn)}
}

// GetHistory implements HistoryServiceServer.
func (f *Forwarder) GetHistory(ctx context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
	return call(ctx, f.client.GetHistory, r, reads)
}

// Cancel implements HistoryServiceServer.
func (f *Forwarder) Cancel(ctx context.Context, r *historyv1.CancelRequest) (*historyv1.CancelResponse, error) {
	return call(ctx, f.client.Cancel, r, changes)
}

// SetTTL implements HistoryServiceServer.
func (f *Forwarder) SetTTL(ctx context.Context, r *historyv1.SetTTLRequest) (*historyv1.SetTTLResponse, error) {
	return call(ctx, f.client.SetTTL, r, changes)
}

// ListGroups implements HistoryServiceServer.
func (f *Forwarder) ListGroups(ctx context.Context, r *historyv1.ListGroupsRequest) (*historyv1.ListGroupsResponse, error) {
	return call(ctx, f.client.ListGroups, r, reads)
}

// effect says whether a call that got no answer may have done something.
type effect bool

const (
	reads   effect = false
	changes effect = true
)

// call waits for a history service to be there. When the time is up, the
// outcome is unknown only if a change had reached one; otherwise nothing was
// done, and the error is Unavailable.
func call[Q, R any](ctx context.Context, method func(context.Context, Q, ...grpc.CallOption) (R, error), request Q, e effect) (R, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var reached peer.Peer
	response, err := method(ctx, request, grpc.WaitForReady(true), grpc.Peer(&reached))
	if status.Code(err) == codes.DeadlineExceeded && (e == reads || reached.Addr == nil) {
		err = status.Error(codes.Unavailable, "no history service answers")
	}
	return response, err
}
