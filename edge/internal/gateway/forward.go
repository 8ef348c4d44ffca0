package gateway

import (
	"cmp"
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
	"github.com/gotapi/gotapi-ws/access/grpcstatus"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	adminv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/admin/v1"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// callTimeout bounds one call of the history service.
const callTimeout = 5 * time.Second

// Forwarder calls a history service, each time with a deadline, if the caller in the
// context (access.NewContext) may do so. It has the calls that the gateway and the
// sessions need; the others are Unimplemented.
type Forwarder struct {
	historyv1.UnimplementedHistoryServiceServer
	client historyv1.HistoryServiceClient
	relay  relayv1.RelayServiceClient
	admin  adminv1.AdminServiceClient
}

// NewForwarder returns a Forwarder that calls over conn.
func NewForwarder(conn grpc.ClientConnInterface) *Forwarder {
	return &Forwarder{
		client: historyv1.NewHistoryServiceClient(conn), relay: relayv1.NewRelayServiceClient(conn), admin: adminv1.NewAdminServiceClient(conn),
	}
}

// GetHistory implements HistoryServiceServer.
func (f *Forwarder) GetHistory(ctx context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
	if err := f.MayRead(ctx, r.GetGroupName()); err != nil {
		return nil, err
	}
	r.MaxBytes = cmp.Or(r.GetMaxBytes(), limit.MaxPageBytes)
	return call(ctx, f.client.GetHistory, r, reads)
}

// MayRead implements pages.Source.
func (f *Forwarder) MayRead(ctx context.Context, group string) error {
	return may(ctx, access.Read, group)
}

// Exists implements newgroups.Store, for any caller. A group whose only message was
// recalled does not count.
func (f *Forwarder) Exists(ctx context.Context, g group.Name) (bool, error) {
	size := int32(1)
	page, err := call(ctx, f.client.GetHistory, &historyv1.GetHistoryRequest{GroupName: string(g), Size: &size, MaxBytes: limit.MaxPageBytes}, reads)
	return len(page.GetData()) > 0 || page.GetNext() > 0, err
}

// Cancel implements HistoryServiceServer. The history service checks the limits of the
// caller's right: it knows the author and the time. It learns the caller's name, which
// Cancel cannot carry.
func (f *Forwarder) Cancel(ctx context.Context, r *historyv1.CancelRequest) (*historyv1.CancelResponse, error) {
	id := access.FromContext(ctx)
	bound, err := id.Recall(group.Name(r.GetGroupName()))
	if err != nil {
		return nil, grpcstatus.Of(err)
	}
	_, err = call(ctx, f.relay.Recall, &relayv1.RecallRequest{
		Group: r.GetGroupName(), Uuid: r.GetUuid(), Author: bound.Author, Windowed: bound.Windowed, WithinMs: uint64(bound.Within.Milliseconds()),
		By: relay.EncodeAuthor(id.By()),
	}, changes)
	if err != nil {
		return nil, err
	}
	return &historyv1.CancelResponse{Code: http.StatusOK, Msg: "recalled"}, nil
}

// Messages returns messages of a group by number.
func (f *Forwarder) Messages(ctx context.Context, r *relayv1.MessagesRequest) (*relayv1.MessagesResponse, error) {
	if err := f.MayRead(ctx, r.GetGroup()); err != nil {
		return nil, err
	}
	response, err := call(ctx, f.relay.Messages, r, reads)
	if status.Code(err) == codes.Unimplemented { // during an update
		return nil, status.Error(codes.Unavailable, "the history service has no messages by number yet")
	}
	return response, err
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
		return nil, grpcstatus.Of(err)
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

// effect is whether a call that got no answer may have done something.
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

// The metadata keys for the name of the caller and for the user it acts for, for the
// history service's audit log.
const (
	userKey  = "gotapi-user-bin"
	actAsKey = "gotapi-act-as-bin"
)

func forCaller(ctx context.Context) context.Context {
	id := access.FromContext(ctx)
	if id.Name() != "" && !id.Service() {
		ctx = metadata.AppendToOutgoingContext(ctx, userKey, id.Name())
	}
	if user := id.ActsFor(); user != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, actAsKey, user)
	}
	return ctx
}
