package gotapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gotapi/gotapi-ws/wire/packet"
)

// reader turns messages of one connection into events.
type reader struct {
	member     *Member
	tell       tell
	connection int
	// expectAll: a first 410 only means that the group was empty when the
	// member came.
	expectAll bool
}

// read receives from the server until the connection ends or is silent for too long.
func (r *reader) read(ctx context.Context, conn *websocket.Conn) error {
	conn.SetReadLimit(maxMessage)
	silence := r.member.client.silence
	ping := time.AfterFunc(silence, func() {
		_ = conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeTimeout))
	})
	defer ping.Stop()
	alive := func() {
		_ = conn.SetReadDeadline(time.Now().Add(silence))
		ping.Reset(silence * 2 / 3)
	}
	conn.SetPongHandler(func(string) error { alive(); return nil })
	conn.SetPingHandler(func(data string) error {
		alive()
		err := conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(writeTimeout))
		if errors.Is(err, websocket.ErrCloseSent) {
			return nil
		}
		return err
	})
	for {
		alive() // a slow caller of Next does not count as silence of the server
		kind, data, err := conn.ReadMessage()
		if err != nil {
			if websocket.IsCloseError(err, websocket.CloseMessageTooBig) {
				r.member.outbox.tooLarge(r.connection)
			}
			return ended(err)
		}
		if err := r.take(ctx, data, kind == websocket.BinaryMessage); err != nil {
			return err
		}
	}
}

func (r *reader) begin(ctx context.Context, resuming bool) error {
	m := r.member
	if resuming && m.cursor.isSet() {
		m.cursor.resume()
	} else {
		r.expectAll = false
		if resuming {
			if err := r.tell(ctx, Event{Kind: Gap, Err: errNoPosition}); err != nil {
				return err
			}
		}
	}
	return r.tell(ctx, Event{Kind: Connected})
}

func (r *reader) take(ctx context.Context, data []byte, binary bool) error {
	m := r.member
	in := parse(data)
	first := r.expectAll
	r.expectAll = false
	switch in.kind {
	case packet.Data:
		return r.message(ctx, in.uuid, data)
	case packet.Receipt:
		return r.tell(ctx, Event{Kind: Receipt, UUID: in.uuid, Data: data})
	case packet.Low:
		return r.tell(ctx, Event{Kind: Packet, Data: data, Binary: binary})
	}
	switch in.command {
	case packet.CommandAck:
		r.acked(in.uuid)
	case packet.CommandRecall:
		if m.cursor.isNewRecall(in.uuid) {
			return r.tell(ctx, Event{Kind: Recalled, UUID: in.uuid})
		}
	case packet.CommandError:
		return r.refused(ctx, in, first)
	}
	return nil
}

func (r *reader) message(ctx context.Context, uuid string, data []byte) error {
	m := r.member
	fresh := m.cursor.isNewMessage(uuid)
	if uuid != "" {
		// An own message comes back when its ack was lost with the connection.
		if m.outbox.settle(uuid, nil) != 0 {
			fresh = false
		}
		m.cursor.advance(uuid)
	}
	if !fresh {
		return nil
	}
	return r.tell(ctx, Event{Kind: Message, UUID: uuid, Data: data})
}

func (r *reader) acked(uuid string) {
	m := r.member
	switch m.outbox.settle(uuid, nil) {
	case 0: // no caller waits any more; its position is not known for sure
	case r.connection:
		m.cursor.advance(uuid)
	default:
		m.cursor.skipOwn(uuid)
	}
}

func (r *reader) refused(ctx context.Context, in received, first bool) error {
	m := r.member
	why := refusalOf(in.body)
	if why.Code == http.StatusGone {
		if first {
			return nil
		}
		m.cursor.reset()
		return r.tell(ctx, Event{Kind: Gap, Err: why})
	}
	if in.uuid == "" {
		// Of the connection itself; the server closes it if it must.
		return nil
	}
	if retryable(why) {
		m.outbox.putOff(in.uuid, func(refusals int) time.Duration { return m.client.delay(refusals, why) }, time.Now())
		return nil
	}
	m.outbox.settle(in.uuid, why)
	return nil
}
