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
	// Events that wait for Next. When there are more, the member stops reading; the
	// server disconnects a member that does so for long, and it resumes.
	queuedEvents = 256
	// Calls of Publish under way; more wait.
	maxInFlight = 1024
	// A connection that lasted so long was a good one: the next failure is the first.
	stable = 10 * time.Second
)

// JoinOptions are the settings of a Member; the zero value is valid.
type JoinOptions struct {
	// After is the uuid of the message to resume after. If it is empty, the member
	// receives what is published from now on.
	After string
	// PublishOnly: the caller does not call Next, and there are no events.
	PublishOnly bool
}

// Member is a member of one group: it receives what others publish, and can publish
// itself. It reconnects by itself; see the package comment.
type Member struct {
	client  *Client
	group   string
	options JoinOptions

	feed     *feed.Feed[Event]
	inFlight chan struct{}
	outbox   *outbox
	cursor   cursor
}

// Join returns a member of a group. It does not wait for the connection: an event of
// kind Connected follows. Close the member when it is no longer needed.
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

// Close disconnects the member and waits for that. Publishes under way have an
// unknown outcome.
func (m *Member) Close() { m.feed.Close() }

// Next waits for the next event. Its error is that of ctx, ErrClosed, or an *Error: the
// server itself refuses the member, with a code that no retry would change (400, 401,
// 403, 404).
func (m *Member) Next(ctx context.Context) (Event, error) { return m.feed.Next(ctx) }

// Publish sends a packet to the other members. With a data packet, which must have a
// uuid, it waits until the server has stored or refused it; anything else
// has no answer, and Publish waits until it is written to a connection.
func (m *Member) Publish(ctx context.Context, data []byte) (Published, error) {
	p := packet.Classify(data)
	switch p.Kind {
	case packet.Data:
		if p.UUID == "" {
			return Published{}, &Error{Code: http.StatusBadRequest, Msg: "a data packet needs a uuid here"}
		}
	case packet.Low, packet.Receipt:
		p.UUID = "" // a receipt's is that of another message
	default:
		return Published{}, &Error{Code: http.StatusBadRequest, Msg: "the server would not take this packet"}
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
		return fmt.Errorf("gotapi: not answered, outcome unknown: %w", ctx.Err())
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

// tell hands an event to Next.
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

// findBeginning finds the place before the first message, so that a connection that
// ends before one has come can be resumed, too. Who may not read the history, or cannot
// now, begins without; then a Gap tells of a resume that may have missed something.
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

// errNoPosition is why a resume may have missed something.
var errNoPosition = errors.New("the connection ended before there was a message to resume from")
