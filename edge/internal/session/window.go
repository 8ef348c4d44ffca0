package session

import (
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
)

// window is what a session has published and is not answered yet.
type window struct {
	packets, bytes int
	// Stored messages (or duplicates) that the relay has told of, and acks queued.
	// Each message's ack comes through the room, before or after the receipt.
	stored, acks uint64
	// The reader waits for it; nil when it does not.
	room chan struct{}
}

func (w *window) admits(size int, limits ws.Limits) bool {
	return w.packets == 0 || w.packets < limits.Frames && w.bytes+size <= limits.Bytes
}

// settled says whether everything is answered, acks included. An ack that comes
// after a 504 counts for another message; then a session may end one ack early.
func (w *window) settled() bool { return w.packets == 0 && w.acks >= w.stored }

// enter waits until a packet of this size may be published. Receipts come in
// bounded time, so it returns. It returns false if the session takes no more.
func (c *session) enter(size int) bool {
	for {
		c.mu.Lock()
		if c.leaving {
			c.mu.Unlock()
			return false
		}
		if c.window.admits(size, c.server.opts.Window) {
			c.window.packets++
			c.window.bytes += size
			c.mu.Unlock()
			return true
		}
		if c.window.room == nil {
			c.window.room = make(chan struct{})
		}
		room := c.window.room
		c.mu.Unlock()
		<-room
	}
}

// exit notes the answer to a packet.
func (c *session) exit(size int, stored bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.window.packets--
	c.window.bytes -= size
	if stored {
		c.window.stored++
	}
	c.progress()
}

// acked notes that an ack was queued. It is called under the room's lock.
func (c *session) acked() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.window.acks++
	c.progress()
}

// goAway takes nothing more, and ends the session once all is answered.
func (c *session) goAway() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = true
	c.progress()
}

// progress wakes the reader, and ends a leaving session that is settled.
func (c *session) progress() {
	if c.window.room != nil {
		close(c.window.room)
		c.window.room = nil
	}
	if c.leaving && c.window.settled() {
		c.out.Close(errGoingAway)
	}
}

// deaf says whether what comes from the peer is to be ignored.
func (c *session) deaf() bool {
	c.mu.Lock()
	leaving := c.leaving
	c.mu.Unlock()
	return leaving || c.out.Cause() != nil
}
