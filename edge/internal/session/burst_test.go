package session_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/room/roomtest"
	"github.com/gotapi/gotapi-ws/edge/internal/session"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// A burst of everything that the senders' windows allow closes no member that reads, and
// leaves none without a message.
func TestBurstClosesNoMemberThatReads(t *testing.T) {
	const readers, message = 8, 32_000
	for _, procs := range []int{1, 2, 4} {
		for _, senders := range []int{1, 4, 64} {
			t.Run(fmt.Sprintf("%d senders, GOMAXPROCS %d", senders, procs), func(t *testing.T) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				url := serveRoom(t)
				each := max(2, 120/senders) // 4 MB in all: four queues
				total := senders * each * message
				var reading sync.WaitGroup
				for range readers {
					c := dialTCP(t, url)
					reading.Go(func() {
						if got, err := readAll(c, total); err != nil {
							t.Errorf("a reader was closed after %d of %d bytes: %v", got, total, err)
						}
					})
				}
				payload := bytes.Repeat([]byte("x"), message)
				all := make([]*websocket.Conn, senders)
				for i := range all { // all are members before the first one sends
					all[i] = dialTCP(t, url)
				}
				for _, c := range all {
					reading.Go(func() { // what the others send
						if got, err := readAll(c, total-each*message); err != nil {
							t.Errorf("a sender was closed after it read %d bytes: %v", got, err)
						}
					})
					reading.Go(func() {
						for range each {
							if err := c.WriteMessage(websocket.TextMessage, payload); err != nil {
								t.Errorf("a sender: %v", err)
								return
							}
						}
					})
				}
				reading.Wait()
			})
		}
	}
}

// readAll reads until total bytes of messages have come.
func readAll(c *websocket.Conn, total int) (got int, err error) {
	for got < total {
		_, message, err := c.ReadMessage()
		if err != nil {
			return got, err
		}
		got += len(message)
	}
	return got, nil
}

func dialTCP(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	c, resp, err := websocket.DefaultDialer.DialContext(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	_ = c.SetReadDeadline(time.Now().Add(time.Minute)) // of a test that fails
	_ = c.SetWriteDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// serveRoom serves a room over TCP, whose relay answers at once.
func serveRoom(t *testing.T) (url string) {
	t.Helper()
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	r := roomtest.New(1, 10)
	budget := limit.NewBudget(2<<30, reg)
	rooms := room.New(r, roomtest.Edge, budget, log, reg)
	r.Serve(rooms)
	server := session.New(session.Options{Budget: budget}, rooms, room.NewThrottle(r, rooms), &fakeHistory{}, log, reg)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		server.ServeHTTP(w, r, group.Name(r.URL.Path), access.System())
	}))
	var running sync.WaitGroup
	running.Go(func() { r.Run(t.Context()) })
	running.Go(func() { _ = rooms.Run(t.Context()) })
	t.Cleanup(func() {
		web.Close()
		running.Wait() // t.Context is over by now
	})
	return "ws" + strings.TrimPrefix(web.URL, "http") + "/room/1"
}
