package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"
)

// packetBytes is the size of packets that the figures are stated for.
const packetBytes = 128

// dataPacket makes a packet of packetBytes.
func dataPacket(uuid string) []byte { return dataPacketOf(packetBytes, uuid) }

// dataPacketOf makes a packet of size bytes, or more if the uuid needs them.
func dataPacketOf(size int, uuid string) []byte {
	head := `{"type":2,"uuid":"` + uuid + `","body":{"data":"`
	const tail = `","sent":false}}`
	pad := max(size-len(head)-len(tail), 1)
	return []byte(head + strings.Repeat("x", pad) + tail)
}

var ackPrefix = []byte(`{"type":1,"command":1,`)

// member is one WebSocket connection. Its reader counts what arrives.
type member struct {
	conn *websocket.Conn
	// The reader sends one token per ack; nil for members that only listen.
	acks     chan struct{}
	received atomic.Int64
	// When the ack or the packet with this uuid came; nil if unused.
	seen func(uuid string, ack bool)
}

func dial(ctx context.Context, addr, path string) (*member, error) {
	d := websocket.Dialer{HandshakeTimeout: 10 * time.Second, ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: &sync.Pool{}}
	c, resp, err := d.DialContext(ctx, "ws://"+addr+path, nil)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", path, err)
	}
	_ = resp.Body.Close()
	return &member{conn: c}, nil
}

// read runs until the connection ends.
func (m *member) read() {
	for {
		_, b, err := m.conn.ReadMessage()
		if err != nil {
			return
		}
		if bytes.HasPrefix(b, ackPrefix) {
			if m.seen != nil {
				m.seen(uuidOf(b), true)
			}
			if m.acks != nil {
				m.acks <- struct{}{}
			}
			continue
		}
		m.received.Add(1)
		if m.seen != nil {
			m.seen(uuidOf(b), false)
		}
	}
}

func uuidOf(b []byte) string {
	_, rest, _ := bytes.Cut(b, []byte(`"uuid":"`))
	uuid, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(uuid)
}

// publish keeps window packets unacked until ctx ends, and counts acks.
func (m *member) publish(ctx context.Context, name string, window, size int, acked *atomic.Int64) error {
	for n := 0; ; n++ {
		if n >= window {
			select {
			case <-m.acks:
				acked.Add(1)
			case <-ctx.Done():
				return nil
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if err := m.conn.WriteMessage(websocket.TextMessage, dataPacketOf(size, fmt.Sprintf("%s-%d", name, n))); err != nil {
			return err
		}
	}
}

// room is the members of one group, the first of which publishes.
type room struct {
	name    string
	members []*member
}

// fleet is all the members of a case and the goroutines that read for them.
type fleet struct {
	rooms   []room
	readers sync.WaitGroup
}

// openRooms dials groups*size members, at most 64 dials at a time.
func openRooms(ctx context.Context, addr string, groups, size, window int) (*fleet, error) {
	return openRoomsAt(ctx, addr, "/load", groups, size, window)
}

// openRoomsAt is openRooms for groups whose names begin with prefix.
func openRoomsAt(ctx context.Context, addr, prefix string, groups, size, window int) (*fleet, error) {
	f := &fleet{rooms: make([]room, groups)}
	var dials errgroup.Group
	dials.SetLimit(64)
	for g := range f.rooms {
		f.rooms[g] = room{name: fmt.Sprintf("%s/%d", prefix, g), members: make([]*member, size)}
		for i := range f.rooms[g].members {
			dials.Go(func() error {
				m, err := dial(ctx, addr, f.rooms[g].name)
				if err != nil {
					return err
				}
				if i == 0 && window > 0 {
					m.acks = make(chan struct{}, window)
				}
				f.rooms[g].members[i] = m
				return nil
			})
		}
	}
	if err := dials.Wait(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *fleet) members(yield func(*member) bool) {
	for _, r := range f.rooms {
		for _, m := range r.members {
			if m != nil && !yield(m) {
				return
			}
		}
	}
}

func (f *fleet) startReaders() {
	for m := range f.members {
		f.readers.Go(m.read)
	}
}

func (f *fleet) close() {
	for m := range f.members {
		_ = m.conn.Close()
	}
	f.readers.Wait()
}

func (f *fleet) received() (n int64) {
	for m := range f.members {
		n += m.received.Load()
	}
	return n
}
