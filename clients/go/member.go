package gotapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gotapi/gotapi-ws/clients/go/internal/feed"
	"github.com/gotapi/gotapi-ws/internal/backoff"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// Bounds of a member.
const (
	// Events that wait for Next. When there are more, the member stops reading. If that
	// lasts, the server disconnects the member, which then resumes.
	queuedEvents = 256
	// Concurrent calls of Publish; further ones wait.
	maxInFlight = 1024
	// After a connection that lasted this long, the backoff starts again.
	stable = 10 * time.Second
)

// JoinOptions are the settings of a Member; the zero value is valid.
type JoinOptions struct {
	// After is the uuid of the message to resume after. If it is empty, the member
	// receives only messages published from now on.
	After string
	// PublishOnly makes a member that only publishes: it has no events, so do not call Next.
	PublishOnly bool
}

// Member is a member of one group: it receives the packets of others, and can publish. It
// reconnects by itself; see the package comment.
type Member struct {
	client  *Client
	group   string
	options JoinOptions

	feed     *feed.Feed[Event]
	inFlight chan struct{}
	outbox   *outbox
	cursor   cursor
}

// Join returns a member of a group. It does not wait for the connection; an event of kind
// Connected follows. The caller must close the member.
func (c *Client) Join(group string, o JoinOptions) (*Member, error) {
	if err := checkGroup(group); err != nil {
		return nil, err
	}
	m := &Member{
		client: c, group: group, options: o,
		inFlight: make(chan struct{}, maxInFlight), outbox: newOutbox(), cursor: cursor{after: o.After},
	}
	m.feed = feed.Start(queuedEvents, func(ctx context.Context, put feed.Put[Event]) error {
		return m.run(ctx, m.teller(put))
	})
	return m, nil
}

// Close disconnects the member and waits until its goroutines have ended. The outcome of
// unfinished publishes is unknown.
func (m *Member) Close() { m.feed.Close() }

// Next waits for the next event. It returns the error of ctx, ErrClosed, or an *Error if
// the server refuses the member with a code that no retry would change (400, 401, 403,
// 404).
func (m *Member) Next(ctx context.Context) (Event, error) { return m.feed.Next(ctx) }

// Publish sends a packet to the other members. A data packet must have a uuid; Publish
// waits until the server has stored or refused it. Other packets get no answer, and Publish
// waits only until it has written them to a connection.
func (m *Member) Publish(ctx context.Context, data []byte) (Published, error) {
	p := packet.Classify(data)
	switch p.Kind {
	case packet.Data:
		if p.UUID == "" {
			return Published{}, &Error{Code: http.StatusBadRequest, Msg: "a member's data packet needs a uuid"}
		}
	case packet.Low, packet.Receipt:
		p.UUID = "" // a receipt's is that of another message
	default:
		return Published{}, &Error{Code: http.StatusBadRequest, Msg: "the server would not accept this packet"}
	}
	if err := m.send(ctx, &outgoing{uuid: p.UUID, data: data, binary: !isText(data), done: make(chan error, 1)}); err != nil {
		return Published{}, err
	}
	return Published{Stored: p.UUID != "", UUID: p.UUID}, nil
}

// send waits for the outcome.
func (m *Member) send(ctx context.Context, o *outgoing) error {
	select {
	case m.inFlight <- struct{}{}:
		defer func() { <-m.inFlight }()
	case <-m.feed.Done():
		return m.feed.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
	m.outbox.add(o)
	select {
	case err := <-o.done:
		return err
	case <-m.feed.Done():
		return m.feed.Err()
	case <-ctx.Done():
		m.outbox.drop(o)
		return fmt.Errorf("gotapi: no answer, outcome unknown: %w", ctx.Err())
	}
}

// run keeps a connection until ctx ends or the server refuses for good.
func (m *Member) run(ctx context.Context, tell tell) error {
	if err := m.findBeginning(ctx); err != nil {
		return err
	}
	failures := 0
	for number := 1; ; number++ {
		began := time.Now()
		err := m.connection(ctx, number, tell)
		if ctx.Err() != nil {
			return ErrClosed
		}
		if !retryable(err) {
			return err
		}
		if time.Since(began) > stable {
			failures = 0
		}
		failures++
		if tell(ctx, Event{Kind: Disconnected, Err: err}) != nil {
			return ErrClosed
		}
		if backoff.Sleep(ctx, m.client.delay(failures, err)) != nil {
			return ErrClosed
		}
	}
}

// tell passes an event to Next.
type tell func(ctx context.Context, e Event) error

func (m *Member) teller(put feed.Put[Event]) tell {
	if m.options.PublishOnly {
		return func(ctx context.Context, _ Event) error { return ctx.Err() }
	}
	return func(ctx context.Context, e Event) error {
		e.Group = m.group
		return put(ctx, e)
	}
}

// findBeginning finds the position before the first message, so that the member can resume
// even if a connection ends before a message comes. If the member cannot read the history,
// it begins without a position, and a Gap reports that a resume may have missed messages.
func (m *Member) findBeginning(ctx context.Context) error {
	if m.cursor.isSet() || m.options.PublishOnly {
		return nil
	}
	ask, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	page, err := m.client.History(ask, m.group, PageRequest{Size: 1})
	switch {
	case ctx.Err() != nil:
		return ErrClosed
	case err != nil:
		return nil //nolint:nilerr // see above: this is an extra
	case len(page.Packets) == 0 && page.Next == nil:
		m.cursor.beginning = true
	case len(page.Packets) > 0:
		m.cursor.after = packet.Classify([]byte(page.Packets[0])).UUID
	}
	return nil
}

// errNoPosition is the reason of a Gap after a resume without a position.
var errNoPosition = errors.New("the connection ended before a message came to resume after")
