// Package gotapirpc is the Go client of gotapi-ws for services that reach the
// history service itself: the same as package gotapi, over gRPC.
package gotapirpc

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	"github.com/gotapi/gotapi-ws/clients/go/internal/token"
	"github.com/gotapi/gotapi-ws/internal/backoff"
	adminv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/admin/v1"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// Options are the settings of a Client; the zero value is valid.
type Options struct {
	// Token is sent with every call as "authorization: Bearer", unless it is empty.
	// When it expires, watches end for good: use TokenSource for tokens that do.
	Token string
	// TokenSource, if not nil, takes the place of Token.
	TokenSource gotapi.TokenSource
	// TLS configures TLS, with a client certificate for mTLS; nil means plain text.
	TLS *tls.Config
	// RetryMin and RetryMax bound the delay before a retry; 0.1 s and 10 s if zero.
	RetryMin, RetryMax time.Duration
	// MaxSilence is how long a connection may be silent before it is taken for dead; 15 s if
	// zero, and at least that. After two thirds of it the client sends a ping.
	MaxSilence time.Duration
}

// What a call may take when its context has no deadline of its own, and the largest
// answer: a page of the history has 8 MiB of texts.
const (
	callTimeout = 15 * time.Second
	maxAnswer   = 32 << 20
	// The largest page that the service gives.
	maxPageBytes = 8 << 20
	// The longest that the service's wish to be left alone counts.
	maxRetryDelay = 10 * time.Second
	// The least that gRPC allows: it sends no pings that are less than 10 s apart.
	minMaxSilence = 15 * time.Second
)

// Client is a client of history services. Close it when it is no longer needed.
type Client struct {
	conn    *grpc.ClientConn
	history historyv1.HistoryServiceClient
	admin   adminv1.AdminServiceClient
	tokens  *token.Tokens
	backoff backoff.Policy
}

// Dial returns a client of the history services at a gRPC target, such as
// "127.0.0.1:5998" or "dns:///historysvc:5998". Dial sends nothing.
func Dial(target string, o Options) (*Client, error) {
	if o.RetryMin < 0 || o.RetryMax < 0 || o.MaxSilence < 0 {
		return nil, errors.New("gotapirpc: Options.RetryMin, RetryMax and MaxSilence cannot be negative")
	}
	tokens, silence := token.New(o.Token, o.TokenSource), max(o.MaxSilence, minMaxSilence)
	creds := insecure.NewCredentials()
	if o.TLS != nil {
		creds = credentials.NewTLS(o.TLS)
	}
	conn, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
		// A server that is gone without a word is noticed.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: silence * 2 / 3, Timeout: silence / 3}),
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return tokens.Use(ctx, isUnauthenticated, func(token string) error {
				return invoke(bearer(ctx, token), method, req, reply, cc, opts...)
			})
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("gotapirpc: target: %w", err)
	}
	return &Client{
		conn: conn, history: historyv1.NewHistoryServiceClient(conn), admin: adminv1.NewAdminServiceClient(conn), tokens: tokens,
		backoff: backoff.Policy{Min: o.RetryMin, Max: o.RetryMax},
	}, nil
}

func bearer(ctx context.Context, token string) context.Context {
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

func isUnauthenticated(err error) bool { return status.Code(err) == codes.Unauthenticated }

// Close closes the connections and cancels the calls on them.
func (c *Client) Close() error { return c.conn.Close() }

// Publish sends one packet to all members of a group; see gotapi.Client.Publish. It gives
// data packets without uuid a key, so that they are stored once, too.
func (c *Client) Publish(ctx context.Context, group string, data []byte) (gotapi.Published, error) {
	p := packet.Classify(data)
	request := &historyv1.PublishRequest{GroupName: group, Packet: data}
	idempotent := p.Kind == packet.Data
	if idempotent && p.UUID == "" {
		request.IdempotencyKey = rand.Text()
	}
	for failures := 1; ; failures++ {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		answer, err := c.history.Publish(call, request)
		cancel()
		if err == nil {
			return gotapi.Published{Stored: answer.GetStored(), UUID: answer.GetUuid(), Duplicate: answer.GetDuplicate()}, nil
		}
		refusal := toError(err)
		if ctx.Err() != nil || !mayRetry(status.Convert(err), idempotent) || backoff.Sleep(ctx, c.delay(failures, refusal)) != nil {
			return gotapi.Published{}, refusal
		}
	}
}

// mayRetry reports whether a publish may go out again. Unavailable is also what gRPC says
// of a connection that broke in the middle: it proves that nothing was done only when the
// service says why.
func mayRetry(s *status.Status, idempotent bool) bool {
	switch s.Code() {
	case codes.ResourceExhausted:
		return !isTooLarge(s)
	case codes.Unavailable:
		return idempotent || reasonOf(s) != ""
	case codes.DeadlineExceeded, codes.Internal:
		return idempotent
	}
	return false
}

// reasonOf is why the service has refused a call; "" if it was not the service.
func reasonOf(s *status.Status) string {
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "gotapi" {
			return info.GetReason()
		}
	}
	return ""
}

// isTooLarge reports whether a packet is larger than the service takes, or, as gRPC itself
// says it, than any message may be.
func isTooLarge(s *status.Status) bool {
	reason := reasonOf(s)
	return reason == "TOO_LARGE" || reason == "" && s.Code() == codes.ResourceExhausted
}

// delay returns how long to wait after a number of failures in a row, the last of which
// was err: no less than the service asks for.
func (c *Client) delay(failures int, err error) time.Duration {
	d := c.backoff.Delay(failures)
	if refusal, ok := errors.AsType[*gotapi.Error](err); ok {
		d = max(d, refusal.RetryAfter)
	}
	return d
}

// retryDelay is how long the service asks to wait.
func retryDelay(s *status.Status) time.Duration {
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return min(info.GetRetryDelay().AsDuration(), maxRetryDelay)
		}
	}
	return 0
}

// History returns a page of a group's history, an empty one for an unknown group.
func (c *Client) History(ctx context.Context, group string, r gotapi.PageRequest) (gotapi.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request := &historyv1.GetHistoryRequest{GroupName: group, Position: int32(r.Position), Before: r.Before, MaxBytes: maxPageBytes}
	if int(request.GetPosition()) != r.Position || int(int32(r.Size)) != r.Size {
		return gotapi.Page{}, &gotapi.Error{Code: http.StatusBadRequest, Msg: "position and size are limited to 32 bits"}
	}
	if r.Size != 0 {
		request.Size = proto.Int32(int32(r.Size))
	}
	answer, err := c.history.GetHistory(ctx, request)
	if err != nil {
		return gotapi.Page{}, toError(err)
	}
	page := gotapi.Page{Packets: answer.GetData()}
	if answer.Next != nil {
		next := int(answer.GetNext())
		page.Next = &next
	}
	return page, nil
}

// Recall takes a message back; see gotapi.Client.Recall.
func (c *Client) Recall(ctx context.Context, group, uuid string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.history.Cancel(ctx, &historyv1.CancelRequest{GroupName: group, Uuid: uuid})
	return toError(err)
}

// SetTTL makes a group's history expire that long (whole seconds, at least one) after its last message.
func (c *Client) SetTTL(ctx context.Context, group string, ttl time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.history.SetTTL(ctx, &historyv1.SetTTLRequest{GroupName: group, Ttl: int64(ttl / time.Second)})
	return toError(err)
}

// Groups lists the groups that have members now.
func (c *Client) Groups(ctx context.Context) ([]gotapi.GroupInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := c.history.ListGroups(ctx, &historyv1.ListGroupsRequest{})
	if err != nil {
		return nil, toError(err)
	}
	groups := make([]gotapi.GroupInfo, 0, len(answer.GetGroups()))
	for _, g := range answer.GetGroups() {
		groups = append(groups, gotapi.GroupInfo{Name: g.GetName(), Members: int(g.GetMembers())})
	}
	return groups, nil
}

// httpCodes are those of docs/protocol.md, section 8.
var httpCodes = map[codes.Code]int{
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.FailedPrecondition: http.StatusBadRequest,
	codes.Unauthenticated:    http.StatusUnauthorized,
	codes.PermissionDenied:   http.StatusForbidden,
	codes.NotFound:           http.StatusNotFound,
	codes.ResourceExhausted:  http.StatusTooManyRequests,
	codes.Unimplemented:      http.StatusNotImplemented,
	codes.Internal:           http.StatusInternalServerError,
	codes.Unavailable:        http.StatusServiceUnavailable,
	codes.DeadlineExceeded:   http.StatusGatewayTimeout,
}

// toError makes an *gotapi.Error of a status. Everything that is no status of
// the service stays what it is.
func toError(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	s := status.Convert(err)
	if s.Code() == codes.Canceled {
		return context.Canceled
	}
	code, ok := httpCodes[s.Code()]
	switch {
	case !ok:
		return err
	case isTooLarge(s):
		code = http.StatusRequestEntityTooLarge
	}
	return &gotapi.Error{Code: code, Msg: s.Message(), RetryAfter: retryDelay(s)}
}
