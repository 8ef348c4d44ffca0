package rpc

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// Door finds out who calls, and keeps strangers out: they get to the health
// service only, and users to HistoryService, whose methods check what the caller
// in their context may do. The relay is for our own services.
type Door struct {
	guard *access.Guard
	// Whoever gets a connection at all is one of ours (mutual TLS), unless they say
	// otherwise.
	trustPeers bool
}

// NewDoor returns a Door. Without settings it is open to everybody for everything.
func NewDoor(guard *access.Guard, trustPeers bool) *Door {
	return &Door{guard: guard, trustPeers: trustPeers}
}

const healthPrefix = "/grpc.health.v1."

// Unary is a grpc.UnaryServerInterceptor.
func (d *Door) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if strings.HasPrefix(info.FullMethod, healthPrefix) {
		return handler(ctx, req)
	}
	id, err := d.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return handler(access.NewContext(ctx, id), req)
}

// Stream is a grpc.StreamServerInterceptor. A stream ends when its caller's
// credential does.
func (d *Door) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if strings.HasPrefix(info.FullMethod, healthPrefix) {
		return handler(srv, stream)
	}
	id, err := d.admit(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	ctx := access.NewContext(stream.Context(), id)
	if id.Expires().IsZero() {
		return handler(srv, known{stream, ctx})
	}
	ctx, cancel := context.WithDeadlineCause(ctx, id.Expires(), errExpired)
	defer cancel()
	err = handler(srv, known{stream, ctx})
	if errors.Is(context.Cause(ctx), errExpired) {
		return status.Error(codes.Unauthenticated, errExpired.Error())
	}
	return err
}

var errExpired = errors.New("token expired")

// known is a stream whose caller is known.
type known struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // that of the stream, which is a method of the interface
}

// Context implements grpc.ServerStream.
func (k known) Context() context.Context { return k.ctx }

// admit finds out who calls a method, and whether it is for them at all.
func (d *Door) admit(ctx context.Context, method string) (*access.Identity, error) {
	id, err := d.identify(ctx)
	switch {
	case err != nil:
		return nil, denied(err)
	case id.Service():
	case strings.HasPrefix(method, "/"+relayv1.RelayService_ServiceDesc.ServiceName+"/"):
		return nil, status.Error(codes.PermissionDenied, "the relay is for edges, which show the service token")
	case strings.HasPrefix(method, "/grpc.reflection.") && !id.Known():
		return nil, status.Error(codes.Unauthenticated, "a token or an API key is needed")
	}
	return id, nil
}

func (d *Door) identify(ctx context.Context) (*access.Identity, error) {
	credential := credentialOf(ctx)
	switch {
	case d.guard.Open() && !d.guard.ChecksServices(), credential == "" && d.trustPeers:
		return access.System(), nil
	}
	if id := d.guard.Service(credential); id != nil {
		return id, nil
	}
	if d.guard.Open() {
		return nil, &access.DeniedError{Status: http.StatusUnauthorized, Msg: "this is for services that show the service token"}
	}
	return d.guard.Identify(ctx, credential)
}

// credentialOf is what the caller presents in the metadata of the call.
func credentialOf(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, v := range md["authorization"] {
		if scheme, token, ok := strings.Cut(v, " "); ok && strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(token)
		}
	}
	for _, key := range md["x-api-key"] {
		return key
	}
	return ""
}

// may checks a right of the caller whom ctx names.
func may(ctx context.Context, a access.Action, g group.Name) error {
	return denied(access.FromContext(ctx).May(a, g))
}

// recallLimit is which messages of a group the caller may recall.
func recallLimit(ctx context.Context, g group.Name) (history.Limit, error) {
	l, err := access.FromContext(ctx).Recall(g)
	if err != nil {
		return history.Limit{}, denied(err)
	}
	limit := history.Limit{Within: l.Within}
	if l.Author != nil {
		limit.Author = (*history.Author)(l.Author)
	}
	return limit, nil
}

// deniedCodes are the statuses of refusals.
var deniedCodes = map[int]codes.Code{
	http.StatusUnauthorized:       codes.Unauthenticated,
	http.StatusForbidden:          codes.PermissionDenied,
	http.StatusServiceUnavailable: codes.Unavailable,
}

// denied is the gRPC status of a refusal of package access.
func denied(err error) error {
	var d *access.DeniedError
	if err == nil || !errors.As(err, &d) {
		return err
	}
	return status.Error(deniedCodes[d.Status], d.Msg)
}
