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
	"github.com/gotapi/gotapi-ws/edge/internal/pipetest"
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
// back is measured in room and ws. Over gotapi.v2 a packet has a header.
func BenchmarkReadPath(b *testing.B) {
	for _, size := range []int{128, 8 << 10} {
		b.Run(fmt.Sprint(size, " B"), func(b *testing.B) { readPath(b, "/room/1", "", size) })
		b.Run(fmt.Sprint("v2 ", size, " B"), func(b *testing.B) {
			readPath(b, v2Path, `{"do":"publish","group":"/room/1"}`+"\n", size)
		})
	}
}

func readPath(b *testing.B, path, header string, size int) {
	b.Helper()
	took := taker{make(chan struct{}, 1024)}
	conn := talkTo(b, took, path)
	frames := burst(header, size, 16)
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
}

// talkTo opens a connection over a pipe, in the group of a path or with gotapi.v2, and
// returns the client's end of it.
func talkTo(b *testing.B, p session.Publisher, path string) net.Conn {
	b.Helper()
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	r := roomtest.New(1, 10)
	rooms := room.New(r, roomtest.Edge, limit.NewBudget(quota.MemoryLimit(), reg), log, reg)
	r.Serve(rooms)
	server := session.New(session.Options{PublishWaits: func(group.Name) bool { return false }}, rooms, p, &fakeHistory{}, log, reg)
	l := pipetest.NewListener(1)
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == v2Path {
			server.ServeV2(w, r, access.System())
			return
		}
		server.ServeHTTP(w, r, group.Name(r.URL.Path), access.System())
	})}
	var running sync.WaitGroup
	running.Go(func() { r.Run(b.Context()) })
	running.Go(func() { _ = rooms.Run(b.Context()) })
	running.Go(func() { _ = server.Run(b.Context()) })
	running.Go(func() { _ = web.Serve(l) })
	conn, resp, err := (&websocket.Dialer{NetDialContext: l.Dial}).DialContext(b.Context(), "ws://edge"+path, offersV2)
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

// burst is n text messages, each a header and so many bytes, as a client sends them.
func burst(header string, size, n int) (b []byte) {
	for range n {
		b = append(b, 0x81)
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(len(header)+size))
		b = append(b, 0, 0, 0, 0) // a mask that changes nothing
		b = append(b, header...)
		for range size {
			b = append(b, 'x')
		}
	}
	return b
}
