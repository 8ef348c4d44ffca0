package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	"github.com/gotapi/gotapi-ws/clients/go/gotapirpc"
)

var (
	// errUnreachable: no server answers at the URL.
	errUnreachable = errors.New("the server cannot be reached")
	// errNoAnswer: --timeout is over. The request may or may not have arrived.
	errNoAnswer = errors.New("no answer within --timeout")
)

// requests are the calls that HTTP and gRPC share. The clients' docs are their contract.
type requests interface {
	Publish(ctx context.Context, group string, packet []byte) (gotapi.Published, error)
	History(ctx context.Context, group string, r gotapi.PageRequest) (gotapi.Page, error)
	Recall(ctx context.Context, group, uuid string) error
	SetTTL(ctx context.Context, group string, ttl time.Duration) error
	Groups(ctx context.Context) ([]gotapi.GroupInfo, error)
	operations
}

// batches are requests with many packets.
type batches interface {
	PublishBatch(ctx context.Context, packets []gotapi.Outgoing) []gotapi.BatchResult
}

// operations are the calls of operators.
type operations interface {
	Status(ctx context.Context) (gotapi.Status, error)
	Group(ctx context.Context, group string) (gotapi.GroupReport, error)
	StoredGroups(ctx context.Context, page string) (groups []gotapi.StoredGroup, next string, err error)
	Config(ctx context.Context, group string) (gotapi.GroupConfig, error)
	Purge(ctx context.Context, group string) (messages int64, err error)
}

// listener receives a group's events. An error of Next is final.
type listener interface {
	Next(ctx context.Context) (gotapi.Event, error)
	Close()
}

// publisher sends packets to one group.
type publisher interface {
	Publish(ctx context.Context, packet []byte) (gotapi.Published, error)
	Close()
}

// server is the server at the URL, over the transport of its scheme.
type server struct {
	requests
	batches
	// listen begins after the message with the uuid after, or now if that is "".
	listen func(group, after string) (listener, error)
	// publisher is for many packets.
	publisher func(group string) (publisher, error)
	close     func()
}

// withServer runs ask with the server that the settings name, for --timeout.
func (a *app) withServer(ctx context.Context, ask func(context.Context, *server) error) error {
	s, err := a.connect()
	if err != nil {
		return err
	}
	defer s.close()
	limited, cancel := a.limited(ctx)
	defer cancel()
	return ask(limited, s)
}

func overHTTP(c *gotapi.Client, socket bool) *server {
	s := &server{
		requests: c, batches: c,
		listen: func(group, after string) (listener, error) {
			return member(c.Join(group, gotapi.JoinOptions{After: after}))
		},
		publisher: func(group string) (publisher, error) { return poster{c, group}, nil },
		close:     c.Close,
	}
	if socket {
		s.publisher = func(group string) (publisher, error) {
			return member(c.Join(group, gotapi.JoinOptions{PublishOnly: true}))
		}
	}
	return s
}

// member marks a refusal of Join as invalid input: nothing was sent.
func member(m *gotapi.Member, err error) (*gotapi.Member, error) {
	if err != nil {
		return nil, inputError{err}
	}
	return m, nil
}

func overRPC(c *gotapirpc.Client) *server {
	return &server{
		requests:  c,
		batches:   c,
		listen:    func(group, after string) (listener, error) { return c.Watch(group, after), nil },
		publisher: func(group string) (publisher, error) { return poster{c, group}, nil },
		close:     func() { _ = c.Close() },
	}
}

// poster sends each packet with a request of its own.
type poster struct {
	to    requests
	group string
}

func (p poster) Publish(ctx context.Context, packet []byte) (gotapi.Published, error) {
	published, err := p.to.Publish(ctx, p.group, packet)
	return published, reach(err)
}

func (poster) Close() {}

// reach marks an error that is not the server's refusal as errNoAnswer or errUnreachable.
func reach(err error) error {
	if err == nil || gotapi.CodeOf(err) != 0 || errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) && !isDial(err) {
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	return fmt.Errorf("%w: %w", errUnreachable, err)
}

// isDial reports whether connecting failed.
func isDial(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}
