package gotapirpc

import (
	"context"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	"github.com/gotapi/gotapi-ws/clients/go/internal/feed"
	"github.com/gotapi/gotapi-ws/internal/backoff"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

const (
	// Events that wait for Next; when there are more, the watch reads no further.
	queuedEvents = 256
	// A stream that lasted so long was a good one: the next failure is the first.
	stable = 10 * time.Second
)

// Watch hears what the members of a group hear. Its stream comes back by itself and goes
// on exactly where it was.
type Watch struct {
	client *Client
	group  string
	// Where the stream is, as the service says it; nil before it has begun.
	position *historyv1.Position
	after    string

	feed *feed.Feed[gotapi.Event]
}

// Watch begins to watch a group: after the message with the uuid after, or from now on when
// that is empty. An event of kind Connected tells that it has begun. Close it when
// it is not needed any more.
func (c *Client) Watch(group, after string) *Watch {
	w := &Watch{client: c, group: group, after: after}
	w.feed = feed.Start(queuedEvents, w.run)
	return w
}

// Close ends the watch and waits until it has ended.
func (w *Watch) Close() { w.feed.Close() }

// Next waits for the next event. Its error is the context's, gotapi.ErrClosed,
// or a *gotapi.Error for good. It is for one goroutine.
func (w *Watch) Next(ctx context.Context) (gotapi.Event, error) { return w.feed.Next(ctx) }

func (w *Watch) run(ctx context.Context, put feed.Put[gotapi.Event]) error {
	failures := 0
	for {
		began := time.Now()
		err := toError(w.client.tokens.Use(ctx, isUnauthenticated, func(token string) error {
			return w.stream(ctx, token, put)
		}))
		if ctx.Err() != nil {
			return gotapi.ErrClosed
		}
		switch gotapi.CodeOf(err) {
		case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusNotImplemented:
			return err
		}
		if time.Since(began) > stable {
			failures = 0
		}
		failures++
		if put(ctx, gotapi.Event{Kind: gotapi.Disconnected, Group: w.group, Err: err}) != nil ||
			backoff.Sleep(ctx, w.client.delay(failures, err)) != nil {
			return gotapi.ErrClosed
		}
	}
}

// errExpired ends a stream whose token has expired, when another token can be had.
var errExpired = errors.New("the token has expired")

// stream is one call of Watch, until it ends.
func (w *Watch) stream(ctx context.Context, token string, put feed.Put[gotapi.Event]) error {
	ctx, cancel := context.WithCancel(bearer(ctx, token))
	defer cancel()
	from := &historyv1.WatchedGroup{GroupName: w.group}
	switch {
	case w.position != nil:
		from.Start = &historyv1.WatchedGroup_After{After: w.position}
	case w.after != "":
		from.Start = &historyv1.WatchedGroup_AfterUuid{AfterUuid: w.after}
	}
	stream, err := w.client.history.Watch(ctx, &historyv1.WatchRequest{Groups: []*historyv1.WatchedGroup{from}})
	if err != nil {
		return err
	}
	for accepted := false; ; accepted = true {
		answer, err := stream.Recv()
		if accepted && isUnauthenticated(err) && w.client.tokens.Reject(token, gotapi.TokenExpired) {
			return errExpired
		}
		if err != nil {
			return err
		}
		if e, ok := event(answer); ok {
			e.Group = w.group
			if err := put(ctx, e); err != nil {
				return err
			}
		}
		// Only now: what was not handed over is asked for again.
		if p := answer.GetPosition(); p != nil {
			w.position = p
		}
	}
}

// event is what an answer tells; ok is false if that is its position alone.
func event(answer *historyv1.WatchResponse) (_ gotapi.Event, ok bool) {
	switch e := answer.GetEvent().(type) {
	case *historyv1.WatchResponse_Message:
		return gotapi.Event{Kind: gotapi.Message, UUID: packet.Classify(e.Message).UUID, Data: e.Message}, true
	case *historyv1.WatchResponse_Recalled:
		return gotapi.Event{Kind: gotapi.Recalled, UUID: e.Recalled}, true
	case *historyv1.WatchResponse_Packet:
		if p := packet.Classify(e.Packet); p.Kind == packet.Receipt {
			return gotapi.Event{Kind: gotapi.Receipt, UUID: p.UUID, Data: e.Packet}, true
		}
		return gotapi.Event{Kind: gotapi.Packet, Data: e.Packet, Binary: !utf8.Valid(e.Packet)}, true
	case *historyv1.WatchResponse_Gap:
		return gotapi.Event{Kind: gotapi.Gap, Err: errors.New(e.Gap.GetReason())}, true
	case *historyv1.WatchResponse_Started:
		return gotapi.Event{Kind: gotapi.Connected}, true
	default: // moved, or of a later version
		return gotapi.Event{}, false
	}
}
