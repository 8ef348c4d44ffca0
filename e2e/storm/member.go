package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// room is a group whose messages are numbered 1, 2, 3, ... by their only
// publisher; the uuid of message n is n.
type room struct {
	name string
	// The newest message that was acked.
	acked atomic.Int64
}

// member is a client of one group that comes back whenever its connection ends.
// It checks that each message follows the one before.
type member struct {
	room  *room
	addrs func() []string

	// Its own goroutine's.
	attempt int

	last     atomic.Int64 // the newest message that it has
	connects atomic.Int64
	refused  atomic.Int64
	fault    atomic.Pointer[string]

	mu sync.Mutex
	// The first connection after the storm began, and when it had everything that had
	// been acked by then.
	backAt, wholeAt time.Time
	owed            int64
	storm           bool
}

// dialer keeps little for each connection.
var dialer = websocket.Dialer{
	HandshakeTimeout: 10 * time.Second, // as the JavaScript clients
	ReadBufferSize:   512, WriteBufferSize: 512, WriteBufferPool: &sync.Pool{},
}

// live connects again and again until ctx ends.
func (m *member) live(ctx context.Context) {
	for ctx.Err() == nil && m.fault.Load() == nil {
		opened := time.Now()
		if m.connect(ctx) && time.Since(opened) >= 5*time.Second {
			m.attempt = 0
		}
		wait(ctx, m.pause())
	}
}

// pause is how long the JavaScript clients wait (clients/js/src/backoff.ts).
func (m *member) pause() time.Duration {
	const low, high = 500 * time.Millisecond, 20 * time.Second
	ceiling := min(high, low<<min(m.attempt+1, 10))
	m.attempt++
	return low + rand.N(ceiling-low)
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// connect serves one connection; it returns false if there was none.
func (m *member) connect(ctx context.Context) bool {
	addrs := m.addrs()
	path := m.room.name
	if last := m.last.Load(); last > 0 {
		path += "?after=" + strconv.FormatInt(last, 10)
	}
	conn, resp, err := dialer.DialContext(ctx, "ws://"+addrs[rand.IntN(len(addrs))]+path, nil)
	if err != nil {
		if resp != nil && resp.StatusCode == http.StatusServiceUnavailable {
			m.refused.Add(1)
		}
		return false
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	m.connected()
	for m.fault.Load() == nil {
		_, text, err := conn.ReadMessage()
		if err != nil {
			break
		}
		m.take(string(text))
	}
	return true
}

func (m *member) connected() {
	m.connects.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.storm && m.backAt.IsZero() {
		m.backAt = time.Now()
		m.owed = m.room.acked.Load()
		m.checkWhole()
	}
}

// begin notes that the storm begins.
func (m *member) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.storm = true
}

func (m *member) checkWhole() {
	if !m.backAt.IsZero() && m.wholeAt.IsZero() && m.last.Load() >= m.owed {
		m.wholeAt = time.Now()
	}
}

// take checks that a message is the next one.
func (m *member) take(text string) {
	_, rest, _ := strings.Cut(text, `"uuid":"`)
	uuid, _, _ := strings.Cut(rest, `"`)
	n, err := strconv.ParseInt(uuid, 10, 64)
	last := m.last.Load()
	if err != nil || !strings.HasPrefix(text, `{"type":2,`) || last > 0 && n != last+1 {
		why := fmt.Sprintf("%s: after message %d came %.200s", m.room.name, last, text)
		m.fault.CompareAndSwap(nil, &why)
		return
	}
	m.last.Store(n)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.checkWhole()
}
