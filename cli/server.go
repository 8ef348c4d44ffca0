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
	// errNoAnswer: --timeout went by; whether the request got there is not known.
	errNoAnswer = errors.New("no answer within --timeout")
)

// requests is what HTTP and gRPC have in common; the clients' docs are its contract.
type requests interface {
	Publish(ctx context.Context, group string, packet []byte) (gotapi.Published, error)
	PublishBatch(ctx context.Context, packets []gotapi.Outgoing) []gotapi.BatchResult
	History(ctx context.Context, group string, r gotapi.PageRequest) (gotapi.Page, error)
	Recall(ctx context.Context, group, uuid string) error
	SetTTL(ctx context.Context, group string, ttl time.Duration) error
	Groups(ctx context.Context) ([]gotapi.GroupInfo, error)
	operations
}

// operations are what operators ask.
type operations interface {
	Status(ctx context.Context) (gotapi.Status, error)
	Group(ctx context.Context, group string) (gotapi.GroupReport, error)
	StoredGroups(ctx context.Context, page string) (groups []gotapi.StoredGroup, next string, err error)
	Purge(ctx context.Context, group string) (messages int64, err error)
}

// listener hears what happens in a group; Next returns an error only for good.
type listener interface {
	Next(ctx context.Context) (gotapi.Event, error)
	Close()
}

// publisher sends packets to one group.
type publisher interface {
	Publish(ctx context.Context, packet []byte) (gotapi.Published, error)
	Close()
}

// server is what the URL names.
type server struct {
	requests
	// listen begins after the message with a uuid, or from now on if that is "".
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
		requests: c,
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

// member marks what Join refuses as a mistake of usage: nothing was sent.
func member(m *gotapi.Member, err error) (*gotapi.Member, error) {
	if err != nil {
		return nil, usageError{err}
	}
	return m, nil
}

func overRPC(c *gotapirpc.Client) *server {
	return &server{
		requests:  c,
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

// reach marks what is no refusal, but trouble on the way.
func reach(err error) error {
	if err == nil || gotapi.CodeOf(err) != 0 || errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) && !isDial(err) {
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	return fmt.Errorf("%w: %w", errUnreachable, err)
}

// isDial reports whether err came up before there was a connection.
func isDial(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}
