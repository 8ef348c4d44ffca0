// Package auth authenticates the callers of the gRPC services.
package auth

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/access/grpcstatus"
	"github.com/gotapi/gotapi-ws/internal/quota"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// Authenticator identifies the caller of each call and puts the access.Identity
// into its context. Callers without an identity reach the health service only,
// users reach HistoryService, whose methods check their rights, and our own
// services reach the relay as well.
type Authenticator struct {
	authorizer *access.Authorizer
	// Callers without a credential are trusted services (mutual TLS).
	trustPeers bool
	// Calls whose request has not come yet, by caller; those of our services are not
	// counted. And health checks of callers without a credential, by address.
	requests, strangers *bound
}

const (
	maxRequests, maxCallerRequests = 96, 24
	maxStrangers, maxHostStrangers = 64, 16
)

// New returns an Authenticator. If authorizer has no settings, everyone may do
// everything.
func New(authorizer *access.Authorizer, trustPeers bool) *Authenticator {
	return &Authenticator{
		authorizer: authorizer, trustPeers: trustPeers,
		requests: newBound(maxRequests, maxCallerRequests), strangers: newBound(maxStrangers, maxHostStrangers),
	}
}

const (
	healthPrefix     = "/grpc.health.v1."
	reflectionPrefix = "/grpc.reflection."
)

var relayPrefix = "/" + relayv1.RelayService_ServiceDesc.ServiceName + "/"

// Stream is a grpc.StreamServerInterceptor. It refuses callers before any message of
// theirs is read. A stream ends when its caller's credential expires.
func (a *Authenticator) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	id, err := a.authorize(stream.Context(), info.FullMethod)
	if strings.HasPrefix(info.FullMethod, healthPrefix) {
		return a.checkHealth(srv, stream, id, handler)
	}
	if err != nil {
		return err
	}
	ctx := access.NewContext(stream.Context(), id)
	if !id.Service() {
		caller := Caller(ctx)
		if !a.requests.add(caller) {
			return grpcstatus.Busy("TOO_MANY_REQUESTS", "too many unfinished requests of this caller")
		}
		received := sync.OnceFunc(func() { a.requests.remove(caller) })
		defer received()
		stream = receiver{stream, received}
	}
	if id.Expires().IsZero() {
		return handler(srv, withContext{stream, ctx})
	}
	ctx, cancel := context.WithDeadlineCause(ctx, id.Expires(), errExpired)
	defer cancel()
	err = handler(srv, withContext{stream, ctx})
	if errors.Is(context.Cause(ctx), errExpired) {
		return grpcstatus.Error(codes.Unauthenticated, string(access.ExpiredToken), errExpired.Error())
	}
	return err
}

// checkHealth serves the health service, to callers without an identity as well.
func (a *Authenticator) checkHealth(srv any, stream grpc.ServerStream, id *access.Identity, handler grpc.StreamHandler) error {
	if id != nil && (id.Service() || id.Known()) {
		return handler(srv, stream)
	}
	host := hostOf(stream.Context())
	if !a.strangers.add(host) {
		return grpcstatus.Busy("TOO_MANY_HEALTH_CHECKS", "too many health checks without a credential are under way")
	}
	defer a.strangers.remove(host)
	return handler(srv, stream)
}

// Caller returns the key of the caller of ctx for quotas; "" for a trusted service.
func Caller(ctx context.Context) string {
	id := access.FromContext(ctx)
	if id.Service() {
		return ""
	}
	return quota.Key(id.Name(), hostOf(ctx))
}

func hostOf(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	host, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return p.Addr.String() // a pipe
	}
	return host
}

// receiver is a stream that reports when the first message has come.
type receiver struct {
	grpc.ServerStream
	received func()
}

// RecvMsg implements grpc.ServerStream.
func (r receiver) RecvMsg(m any) error {
	err := r.ServerStream.RecvMsg(m)
	r.received()
	return err
}

var errExpired = errors.New("token expired")

// withContext is a stream with another context.
type withContext struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // the interface has it as a method
}

// Context implements grpc.ServerStream.
func (s withContext) Context() context.Context { return s.ctx }

// authorize returns the caller's identity if the caller may reach the method at
// all.
func (a *Authenticator) authorize(ctx context.Context, method string) (*access.Identity, error) {
	id, err := a.identify(ctx)
	switch {
	case err != nil:
		return nil, grpcstatus.Of(err)
	case id.Service():
	case strings.HasPrefix(method, relayPrefix):
		return nil, grpcstatus.Error(codes.PermissionDenied, string(access.NoServiceToken), "only edges with the service token may use the relay")
	case strings.HasPrefix(method, reflectionPrefix) && !id.Known():
		return nil, grpcstatus.Error(codes.Unauthenticated, string(access.NoCredential), "a token or an API key is required")
	}
	return id, nil
}

// The metadata with the user that a backend acts for; the second is for names that are not
// ASCII.
const (
	actAsKey    = "x-act-as"
	actAsKeyBin = "x-act-as-bin"
)

func (a *Authenticator) identify(ctx context.Context) (*access.Identity, error) {
	id, err := a.identifyCredential(ctx)
	md, _ := metadata.FromIncomingContext(ctx)
	users := slices.Concat(md[actAsKey], md[actAsKeyBin])
	switch {
	case err != nil || len(users) == 0:
		return id, err
	case len(users) > 1:
		return nil, &access.DeniedError{Status: http.StatusBadRequest, Reason: access.BadUser, Msg: "x-act-as must be there once"}
	case a.isOpen():
		return nil, &access.DeniedError{Status: http.StatusUnauthorized, Reason: access.NoCredential, Msg: "nobody acts for a user without access control"}
	}
	return id.ActAs(users[0])
}

// isOpen reports whether everyone may do everything.
func (a *Authenticator) isOpen() bool {
	return a.authorizer.Open() && !a.authorizer.ChecksServices()
}

func (a *Authenticator) identifyCredential(ctx context.Context) (*access.Identity, error) {
	credential := credentialOf(ctx)
	switch {
	case a.isOpen(), credential == "" && a.trustPeers:
		return access.System(), nil
	}
	if id := a.authorizer.Service(credential); id != nil {
		return id, nil
	}
	if a.authorizer.Open() {
		return nil, &access.DeniedError{Status: http.StatusUnauthorized, Reason: access.NoServiceToken, Msg: "the service token is required"}
	}
	return a.authorizer.Identify(ctx, credential)
}

// credentialOf returns the token or the API key in the metadata of the call.
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
