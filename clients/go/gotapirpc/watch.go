package gotapirpc

import (
	"context"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	"github.com/gotapi/gotapi-ws/clients/go/internal/feed"
	"github.com/gotapi/gotapi-ws/clients/go/internal/timestamp"
	"github.com/gotapi/gotapi-ws/internal/backoff"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

const (
	// Events that wait for Next; when there are more, the watch reads no further.
	queuedEvents = 256
	// After a stream that lasted this long, the backoff starts again.
	stable = 10 * time.Second
)

// Watch receives the events of a group, as its members do. If its stream ends, Watch opens
// another one and resumes exactly where it was.
type Watch struct {
	client *Client
	group  string
	// The position of the stream, as the service sent it; "" if it is not known yet.
	position string
	after    string

	feed *feed.Feed[gotapi.Event]
}

// Watch starts watching a group: after the message with the uuid after, or from now on if
// that is empty. An event of kind Connected follows when the stream has begun. The caller
// must close the Watch.
func (c *Client) Watch(group, after string) *Watch {
	return start(&Watch{client: c, group: group, after: after})
}

// WatchFrom is Watch after a position: that of an Event or of a Page.
func (c *Client) WatchFrom(group, position string) *Watch {
	return start(&Watch{client: c, group: group, position: position})
}

func start(w *Watch) *Watch {
	w.feed = feed.Start(queuedEvents, w.run)
	return w
}

// Close ends the watch and waits until its goroutines have ended.
func (w *Watch) Close() { w.feed.Close() }

// Next waits for the next event. It returns the error of ctx, gotapi.ErrClosed, or a final
// *gotapi.Error. Only one goroutine may call it.
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

// errExpired ends a stream whose token has expired, if a TokenSource can give another one.
var errExpired = errors.New("the token has expired")

// stream is one call of Watch, until it ends.
func (w *Watch) stream(ctx context.Context, token string, put feed.Put[gotapi.Event]) error {
	ctx, cancel := context.WithCancel(bearer(ctx, token))
	defer cancel()
	from := &historyv1.WatchedGroup{GroupName: w.group}
	switch {
	case w.position != "":
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
			e.Group, e.Position = w.group, answer.GetPosition()
			if err := put(ctx, e); err != nil {
				return err
			}
		}
		// Only now, so that a resume repeats events that Next did not get.
		w.position = answer.GetPosition()
	}
}

// event returns the event of an answer; ok is false if the answer has only a position.
func event(answer *historyv1.WatchResponse) (_ gotapi.Event, ok bool) {
	switch e := answer.GetEvent().(type) {
	case *historyv1.WatchResponse_Message:
		data := e.Message.GetPacket()
		return gotapi.Event{Kind: gotapi.Message, UUID: packet.Classify(data).UUID, Data: data, Meta: meta(e.Message)}, true
	case *historyv1.WatchResponse_Recalled:
		return gotapi.Event{Kind: gotapi.Recalled, UUID: e.Recalled.GetUuid(), Meta: meta(e.Recalled)}, true
	case *historyv1.WatchResponse_Packet:
		data := e.Packet.GetPacket()
		by := gotapi.Meta{By: e.Packet.GetBy(), Key: e.Packet.GetKey()}
		if p := packet.Classify(data); p.Kind == packet.Receipt {
			return gotapi.Event{Kind: gotapi.Receipt, UUID: p.UUID, Data: data, Meta: by}, true
		}
		return gotapi.Event{Kind: gotapi.Packet, Data: data, Binary: !utf8.Valid(data), Meta: by}, true
	case *historyv1.WatchResponse_Gap:
		return gotapi.Event{Kind: gotapi.Gap, Err: errors.New(e.Gap.GetReason())}, true
	case *historyv1.WatchResponse_Started:
		return gotapi.Event{Kind: gotapi.Connected}, true
	default: // moved, or of a later version
		return gotapi.Event{}, false
	}
}

// described is what a message and a recall have in common.
type described interface {
	GetSeq() uint64
	GetAt() int64
	GetBy() string
	GetKey() string
}

func meta(m described) gotapi.Meta {
	return gotapi.Meta{Seq: m.GetSeq(), At: timestamp.Time(m.GetAt()), By: m.GetBy(), Key: m.GetKey()}
}
