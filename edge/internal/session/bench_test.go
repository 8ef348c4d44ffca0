package session_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/room/roomtest"
	"github.com/gotapi/gotapi-ws/edge/internal/session"
	"github.com/gotapi/gotapi-ws/internal/quota"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// taker accepts every packet at once, and says so.
type taker struct{ taken chan struct{} }

func (k taker) Publish(batch ...*relay.Publication) {
	for _, p := range batch {
		p.End(relay.Result{Outcome: relay.Accepted})
		k.taken <- struct{}{}
	}
}

// BenchmarkReadPath is one packet from a socket in memory through frame,
// classification and window to the relay. Broadcasts, which nobody acks: what goes
// back is measured in room and ws.
func BenchmarkReadPath(b *testing.B) {
	for _, size := range []int{128, 8 << 10} {
		b.Run(fmt.Sprint(size, " B"), func(b *testing.B) {
			took := taker{make(chan struct{}, 1024)}
			conn := talkTo(b, took)
			frames := burst(size, 16)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += 16 {
				if _, err := conn.Write(frames); err != nil {
					b.Fatal(err)
				}
				for range 16 {
					<-took.taken
				}
			}
		})
	}
}

// talkTo joins a group over a pipe, and returns the client's end of it.
func talkTo(b *testing.B, p session.Publisher) net.Conn {
	b.Helper()
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	r := roomtest.New(1, 10)
	rooms := room.New(r, roomtest.Edge, limit.NewBudget(quota.MemoryLimit(), reg), log, reg)
	r.Serve(rooms)
	server := session.New(session.Options{}, rooms, p, &fakeHistory{}, log, reg)
	l := &listener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		server.ServeHTTP(w, r, group.Name(r.URL.Path), access.System())
	})}
	var running sync.WaitGroup
	running.Go(func() { r.Run(b.Context()) })
	running.Go(func() { _ = rooms.Run(b.Context()) })
	running.Go(func() { _ = server.Run(b.Context()) })
	running.Go(func() { _ = web.Serve(l) })
	conn, resp, err := (&websocket.Dialer{NetDialContext: l.dial}).DialContext(b.Context(), "ws://edge/room/1", nil)
	if err != nil {
		b.Fatal(err)
	}
	_ = resp.Body.Close()
	running.Go(func() { _, _ = io.Copy(io.Discard, conn.NetConn()) }) // pings
	b.Cleanup(func() {
		_ = conn.Close()
		_ = web.Close()
		running.Wait() // b.Context is over by now
	})
	return conn.NetConn()
}

// burst is n text messages of so many bytes, as a client sends them.
func burst(size, n int) (b []byte) {
	for range n {
		b = append(b, 0x81)
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(size))
		b = append(b, 0, 0, 0, 0) // a mask that changes nothing
		for range size {
			b = append(b, 'x')
		}
	}
	return b
}
