package gateway

import (
	"context"
	"net/http"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// callTimeout bounds one call of the history service.
const callTimeout = 5 * time.Second

// Forwarder hands calls on to a history service, each with a deadline, if the
// caller whom the context names (access.NewContext) may make them. It has what the
// gateway and the sessions need; the rest is Unimplemented.
type Forwarder struct {
	historyv1.UnimplementedHistoryServiceServer
	client historyv1.HistoryServiceClient
	relay  relayv1.RelayServiceClient
}

// NewForwarder returns a Forwarder that calls over conn.
func NewForwarder(conn grpc.ClientConnInterface) *Forwarder {
	return &Forwarder{client: historyv1.NewHistoryServiceClient(conn), relay: relayv1.NewRelayServiceClient(conn)}
}

// GetHistory implements HistoryServiceServer.
func (f *Forwarder) GetHistory(ctx context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
	if err := f.MayRead(ctx, r.GetGroupName()); err != nil {
		return nil, err
	}
	return call(ctx, f.client.GetHistory, r, reads)
}

// MayRead implements pages.Source.
func (f *Forwarder) MayRead(ctx context.Context, group string) error {
	return may(ctx, access.Read, group)
}

// Cancel implements HistoryServiceServer. What limits the caller's right, the
// history service checks: it knows the author and the time.
func (f *Forwarder) Cancel(ctx context.Context, r *historyv1.CancelRequest) (*historyv1.CancelResponse, error) {
	limit, err := access.FromContext(ctx).Recall(group.Name(r.GetGroupName()))
	if err != nil {
		return nil, deniedStatus(err)
	}
	if limit.Unlimited() {
		return call(ctx, f.client.Cancel, r, changes)
	}
	_, err = call(ctx, f.relay.Recall, &relayv1.RecallRequest{
		Group: r.GetGroupName(), Uuid: r.GetUuid(), Author: limit.Author, WithinMs: uint64(limit.Within.Milliseconds()),
	}, changes)
	if status.Code(err) == codes.Unimplemented {
		// During an update: it must not be done without the limit.
		return nil, status.Error(codes.Unavailable, "the history service does not know limits yet")
	}
	if err != nil {
		return nil, err
	}
	return &historyv1.CancelResponse{Code: http.StatusOK, Msg: "recalled"}, nil
}

// SetTTL implements HistoryServiceServer.
func (f *Forwarder) SetTTL(ctx context.Context, r *historyv1.SetTTLRequest) (*historyv1.SetTTLResponse, error) {
	if err := may(ctx, access.Admin, r.GetGroupName()); err != nil {
		return nil, err
	}
	return call(ctx, f.client.SetTTL, r, changes)
}

// ListGroups implements HistoryServiceServer. It leaves out what the caller may not
// administer.
func (f *Forwarder) ListGroups(ctx context.Context, r *historyv1.ListGroupsRequest) (*historyv1.ListGroupsResponse, error) {
	id := access.FromContext(ctx)
	if err := id.MayAdminister(); err != nil {
		return nil, deniedStatus(err)
	}
	response, err := call(ctx, f.client.ListGroups, r, reads)
	if err != nil {
		return nil, err
	}
	response.Groups = slices.DeleteFunc(response.GetGroups(), func(g *historyv1.Group) bool {
		return id.May(access.Admin, group.Name(g.GetName())) != nil
	})
	return response, nil
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
	ctx, cancel := context.WithTimeout(forCaller(ctx), callTimeout)
	defer cancel()
	var reached peer.Peer
	response, err := method(ctx, request, grpc.WaitForReady(true), grpc.Peer(&reached))
	if status.Code(err) == codes.DeadlineExceeded && (e == reads || reached.Addr == nil) {
		err = status.Error(codes.Unavailable, "no history service answers")
	}
	return response, err
}

// userKey is the metadata key for the name of the user for whom we call: the
// history service's audit log has it.
const userKey = "gotapi-user-bin"

func forCaller(ctx context.Context) context.Context {
	if id := access.FromContext(ctx); id.Name() != "" && !id.Service() {
		return metadata.AppendToOutgoingContext(ctx, userKey, id.Name())
	}
	return ctx
}
