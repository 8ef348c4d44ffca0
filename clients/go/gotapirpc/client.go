// Package gotapirpc is the Go client of gotapi-ws over gRPC, for services that can reach
// the history service. It offers the same as package gotapi.
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
	"github.com/gotapi/gotapi-ws/clients/go/internal/timestamp"
	"github.com/gotapi/gotapi-ws/clients/go/internal/token"
	"github.com/gotapi/gotapi-ws/internal/backoff"
	adminv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/admin/v1"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// Options are the settings of a Client; the zero value is valid.
type Options struct {
	// Token is sent with every call as "authorization: Bearer", unless it is empty.
	// When it expires, watches fail for good. Use TokenSource for tokens that expire.
	Token string
	// TokenSource, if not nil, replaces Token.
	TokenSource gotapi.TokenSource
	// TLS configures TLS, with a client certificate for mTLS; nil means plain text.
	TLS *tls.Config
	// RetryMin and RetryMax bound the delay before a retry; 0.1 s and 10 s if zero.
	RetryMin, RetryMax time.Duration
	// MaxSilence is how long a connection may be silent before the client gives it up; 15 s
	// if zero or less than that. After two thirds of it the client sends a ping.
	MaxSilence time.Duration
}

// The timeout of a call whose context has no deadline, and the largest answer: a page of the
// history has up to 8 MiB of texts.
const (
	callTimeout = 15 * time.Second
	maxAnswer   = 32 << 20
	// The largest page that the service sends.
	maxPageBytes = 8 << 20
	// The longest retry delay that the client accepts from the service.
	maxRetryDelay = 10 * time.Second
	// The least that gRPC allows: it sends no pings that are less than 10 s apart.
	minMaxSilence = 15 * time.Second
)

// Client is a client of history services. The caller must close it.
type Client struct {
	conn    *grpc.ClientConn
	history historyv1.HistoryServiceClient
	admin   adminv1.AdminServiceClient
	tokens  *token.Tokens
	backoff backoff.Policy
}

// Dial returns a client of the history services at a gRPC target, such as
// "127.0.0.1:5998" or "dns:///historysvc:5998". Dial does not connect.
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
		// This notices a server that vanished without closing the connection.
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

// Close closes the connections and cancels their calls.
func (c *Client) Close() error { return c.conn.Close() }

// Publish sends one packet to all members of a group; see gotapi.Client.Publish. It sends an
// idempotency key with a data packet without uuid, so that the service stores it once, too.
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
			return published(answer), nil
		}
		refusal := toError(err)
		if ctx.Err() != nil || !mayRetry(status.Convert(err), idempotent) || backoff.Sleep(ctx, c.delay(failures, refusal)) != nil {
			return gotapi.Published{}, refusal
		}
	}
}

// stored is what the answers to one packet and to a batch say of a packet.
type stored interface {
	GetStored() bool
	GetUuid() string
	GetDuplicate() bool
	GetSeq() uint64
	GetAt() int64
}

func published(s stored) gotapi.Published {
	return gotapi.Published{
		Stored: s.GetStored(), UUID: s.GetUuid(), Duplicate: s.GetDuplicate(), Seq: s.GetSeq(), At: timestamp.Time(s.GetAt()),
	}
}

// mayRetry reports whether the client may send a publish again. gRPC itself also returns
// Unavailable, when a connection breaks in the middle of a call. Unavailable proves that
// nothing was done only if the service gives a reason.
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

// reasonOf returns the service's reason for refusing a call; "" if the service did not.
func reasonOf(s *status.Status) string {
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "gotapi" {
			return info.GetReason()
		}
	}
	return ""
}

// isTooLarge reports whether a packet is larger than the service accepts, or than gRPC
// itself accepts.
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

// retryDelay returns how long the service asks to wait.
func retryDelay(s *status.Status) time.Duration {
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return min(info.GetRetryDelay().AsDuration(), maxRetryDelay)
		}
	}
	return 0
}

// History returns a page of a group's history. The page of an unknown group is empty.
func (c *Client) History(ctx context.Context, group string, r gotapi.PageRequest) (gotapi.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request := &historyv1.GetHistoryRequest{GroupName: group, Position: int32(r.Position), Before: r.Before, MaxBytes: maxPageBytes, Meta: r.Meta}
	if int(request.GetPosition()) != r.Position || int(int32(r.Size)) != r.Size {
		return gotapi.Page{}, &gotapi.Error{Code: http.StatusBadRequest, Msg: "position and size must fit into 32 bits"}
	}
	if r.Size != 0 {
		request.Size = proto.Int32(int32(r.Size))
	}
	answer, err := c.history.GetHistory(ctx, request)
	if err != nil {
		return gotapi.Page{}, toError(err)
	}
	page := gotapi.Page{Packets: answer.GetData(), Position: answer.GetStreamPosition()}
	for _, m := range answer.GetMeta() {
		page.Meta = append(page.Meta, meta(m))
	}
	if answer.Next != nil {
		next := int(answer.GetNext())
		page.Next = &next
	}
	return page, nil
}

// Recall erases a message's text and notifies all members; see gotapi.Client.Recall.
func (c *Client) Recall(ctx context.Context, group, uuid string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.history.Cancel(ctx, &historyv1.CancelRequest{GroupName: group, Uuid: uuid})
	return toError(err)
}

// SetTTL sets how long a group's history outlives its last message; see
// gotapi.Client.SetTTL.
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

// toError converts a status of the service to a *gotapi.Error. It returns other errors
// unchanged.
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
