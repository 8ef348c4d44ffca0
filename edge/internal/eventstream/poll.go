package eventstream

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/dialect/sse"
	v2 "github.com/gotapi/gotapi-ws/edge/internal/dialect/v2"
	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/session"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/header"
)

const (
	// pollBytes is where the answer to a long poll ends. It has one event at least.
	pollBytes = limit.SmallPage
	// readPatience is how long a long poll may read the store, however short it waits.
	readPatience = 10 * time.Second
)

// ServePoll answers with the events of a group after a position, and waits until there are
// some; without a position, at once.
func (s *Server) ServePoll(w http.ResponseWriter, r *http.Request, by *access.Identity, g group.Name, from string, wait time.Duration) {
	start, why := session.StartOf(by, g, from, header.Integer{})
	var c *connection
	if why == nil {
		c, why = s.admit(r, by, sse.One)
	}
	if why != nil {
		writeRefusal(w, why)
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // the request has come
	_ = control.SetWriteDeadline(time.Now().Add(wait + joinTimeout + readPatience + endPatience))
	if start.From == nil {
		wait = 0
	}
	got := newCollector()
	c.start(r.Context(), got)
	start.Request = v2.Request(header.Integer{Set: true})
	start.Uncounted = true
	m := c.members.NewMember(start)
	if !c.join(r.Context(), g, m) {
		c.end()
		writeRefusal(w, &header.Refusal{Code: errNoGroup.Code, Msg: errNoGroup.Reason})
		return
	}
	got.await(r.Context(), wait)
	c.end(m)
	got.write(w)
}

// collector reads a stream of one group, until it has the answer to a long poll: a ws.Sink.
type collector struct {
	// Closed when all stored events have come, and when nothing is to be waited for.
	live, done chan struct{}

	mu             sync.Mutex
	isLive, isDone bool
	// It takes nothing more.
	stopped bool
	// An event of which a part has come.
	part []byte
	// The events, with commas between, and the position after them.
	events []byte
	pos    string
	gap    bool
	// Why the stream has ended.
	ended struct {
		Code int
		Msg  string
	}
}

func newCollector() *collector {
	return &collector{live: make(chan struct{}), done: make(chan struct{})}
}

// await waits until there is something to answer, but not longer than wait once all stored
// events have come.
func (c *collector) await(ctx context.Context, wait time.Duration) {
	waited := time.NewTimer(wait)
	defer waited.Stop()
	read := time.NewTimer(max(wait, readPatience))
	defer read.Stop()
	select {
	case <-c.live:
	case <-c.done:
		return
	case <-read.C:
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-c.done:
	case <-waited.C:
	case <-ctx.Done():
	}
}

// write answers with what has come. The stream has ended.
func (c *collector) write(w http.ResponseWriter) {
	switch {
	case c.ended.Code != 0 && len(c.events) == 0 && !c.gap:
		httpjson.WriteError(w, c.ended.Code, c.ended.Msg)
		return
	case c.pos == "": // not even the join's answer has come
		httpjson.WriteError(w, errNoGroup.Code, errNoGroup.Reason)
		return
	}
	b := make([]byte, 0, len(c.events)+128)
	b = append(append(b, `{"code":200,"events":[`...), c.events...)
	b = append(append(append(b, `],"pos":"`...), c.pos...), '"')
	if c.gap {
		b = append(b, `,"gap":true`...)
	}
	w.Header().Set("Cache-Control", "no-store")
	httpjson.Write(w, http.StatusOK, append(b, '}'))
}

// Write implements ws.Sink.
func (c *collector) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := append(c.part, b...)
	for !c.stopped {
		event, rest, whole := bytes.Cut(left, []byte(sse.EndOfEvent))
		if !whole {
			break
		}
		left = rest
		c.take(sse.Parse(event))
	}
	c.part = append(c.part[:0], left...)
	if c.stopped {
		c.part = nil
	}
	return len(b), nil
}

// take takes the next event.
func (c *collector) take(e sse.Event) {
	switch e.On {
	case "": // a comment, or a retry
		return
	case "answer":
		var joined struct{ Gap bool }
		_ = json.Unmarshal(e.Data, &joined) // it is ours
		c.gap = joined.Gap
	case "live":
		c.isLive = true
		close(c.live)
	case "gap":
		if len(c.events) > 0 { // the next poll begins after them, and meets the gap
			c.complete()
			return
		}
		c.gap = true
	case "error":
		_ = json.Unmarshal(e.Data, &c.ended) // it is ours
		c.complete()
		return
	default:
		if len(c.events) > 0 {
			c.events = append(c.events, ',')
		}
		c.events = append(c.events, e.Data...)
	}
	if len(e.ID) > 0 {
		c.pos = string(e.ID)
	}
	switch {
	case len(c.events) >= pollBytes:
		c.complete()
	case c.isLive && (c.gap || len(c.events) > 0):
		c.answerable()
	}
}

// answerable ends the waiting. More may be taken until the answer is written.
func (c *collector) answerable() {
	if !c.isDone {
		c.isDone = true
		close(c.done)
	}
}

// complete takes nothing more.
func (c *collector) complete() {
	c.stopped = true
	c.answerable()
}

// Close implements ws.Sink.
func (c *collector) Close() error { return nil }

// SetReadDeadline implements ws.Sink.
func (c *collector) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements ws.Sink: no write waits.
func (c *collector) SetWriteDeadline(time.Time) error { return nil }
