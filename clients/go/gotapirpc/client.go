// Package gotapirpc is the Go client of gotapi-ws for services that reach the
// history service itself: the same as package gotapi, over gRPC.
package gotapirpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	"github.com/gotapi/gotapi-ws/clients/go/internal/backoff"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// Options are what a Client can be told; the zero value is good.
type Options struct {
	// Token goes with every call as "authorization: Bearer"; none when empty.
	Token string
	// TLS is the configuration of TLS, with a certificate of our own for mTLS; nil: plain text.
	TLS *tls.Config
	// RetryMin and RetryMax bound the wait before something is tried again;
	// 0.1 s and 10 s when zero.
	RetryMin, RetryMax time.Duration
}

// What a call may take when its context has no deadline of its own, and the largest
// answer: a page of the history has 8 MiB of texts.
const (
	callTimeout = 15 * time.Second
	maxAnswer   = 32 << 20
)

// Client talks to history services. Close it when it is not needed any more.
type Client struct {
	conn    *grpc.ClientConn
	history historyv1.HistoryServiceClient
	backoff backoff.Policy
}

// Dial returns a client of the history services at a gRPC target, such as
// "127.0.0.1:5998" or "dns:///historysvc:5998". Nothing is sent yet.
func Dial(target string, o Options) (*Client, error) {
	creds := insecure.NewCredentials()
	if o.TLS != nil {
		creds = credentials.NewTLS(o.TLS)
	}
	conn, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
		// A server that is gone without a word is noticed.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return invoke(bearer(ctx, o.Token), method, req, reply, cc, opts...)
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return stream(bearer(ctx, o.Token), desc, cc, method, opts...)
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("gotapirpc: target: %w", err)
	}
	return &Client{
		conn: conn, history: historyv1.NewHistoryServiceClient(conn),
		backoff: backoff.Policy{Min: o.RetryMin, Max: o.RetryMax},
	}, nil
}

func bearer(ctx context.Context, token string) context.Context {
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// Close ends the connections, and what is under way on them.
func (c *Client) Close() error { return c.conn.Close() }

// Publish sends one packet to all members of a group; see gotapi.Client.Publish.
func (c *Client) Publish(ctx context.Context, group string, data []byte) (gotapi.Published, error) {
	p := packet.Classify(data)
	idempotent := p.Kind == packet.Data && p.UUID != ""
	for failures := 1; ; failures++ {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		answer, err := c.history.Publish(call, &historyv1.PublishRequest{GroupName: group, Packet: data})
		cancel()
		if err == nil {
			return gotapi.Published{Stored: answer.GetStored(), UUID: answer.GetUuid(), Duplicate: answer.GetDuplicate()}, nil
		}
		if ctx.Err() != nil || !mayRetry(status.Convert(err), idempotent) {
			return gotapi.Published{}, toError(err)
		}
		if backoff.Sleep(ctx, c.backoff.Delay(failures, 0)) != nil {
			return gotapi.Published{}, toError(err)
		}
	}
}

// mayRetry says whether a publish may go out again. Unavailable is also what gRPC says
// of a connection that broke in the middle, so it is no proof.
func mayRetry(s *status.Status, idempotent bool) bool {
	switch s.Code() {
	case codes.ResourceExhausted:
		return !isTooLarge(s)
	case codes.Unavailable, codes.DeadlineExceeded, codes.Internal:
		return idempotent
	}
	return false
}

// History reads a page. An unknown group has an empty one.
func (c *Client) History(ctx context.Context, group string, r gotapi.PageRequest) (gotapi.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	size := int32(r.Size)
	answer, err := c.history.GetHistory(ctx, &historyv1.GetHistoryRequest{
		GroupName: group, Position: int32(r.Position), Size: &size, Before: r.Before,
	})
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

// isTooLarge tells a packet that is too large from too many of them: it is the field
// of the request that is at fault.
func isTooLarge(s *status.Status) bool {
	return s.Code() == codes.ResourceExhausted && slices.ContainsFunc(s.Details(), func(detail any) bool {
		_, names := detail.(*errdetails.BadRequest)
		return names
	})
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
	return &gotapi.Error{Code: code, Msg: s.Message()}
}
