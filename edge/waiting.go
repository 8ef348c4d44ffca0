package edge

import (
	"container/list"
	"crypto/tls"
	"encoding/binary"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

const (
	// headerShare is the part of the memory limit for headers that have begun: 1/8.
	headerShare = 8
	// headerCost is what a header can take in memory while net/http reads it, which reads
	// 4 KiB more than maxHeaderBytes: 20 KiB of fields of 5 bytes took 285 kB, and with
	// what is garbage 458 kB.
	headerCost = (maxHeaderBytes + 4<<10) * 22
	// minHeaders is how many may have begun in any case.
	minHeaders = 16
	// freeHeader is how many bytes of a header are not worth counting.
	freeHeader = 512
)

// waiting holds the connections that serve no request: those that are new, and those that
// are kept alive. Any client can open many of them, so they give way to others, the one that
// has waited longest first. A client that means it sends its request at once.
//
// At most maxHeaders connections may send their header in several pieces.
type waiting struct {
	maxHeaders int

	mu sync.Mutex
	// Of *boundedConn, the longest waiting first: all, and those whose header has begun.
	all, begun list.List
}

func newWaiting(memory int64) *waiting {
	return &waiting{maxHeaders: int(max(minHeaders, memory/headerShare/headerCost))}
}

// add adds a connection that begins to wait, in that phase.
func (w *waiting) add(c *boundedConn, now phase) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop(c)
	c.header.Store(0)
	c.phase.Store(now)
	c.inAll = w.all.PushBack(c)
}

// remove removes a connection that goes on to that phase.
func (w *waiting) remove(c *boundedConn, next phase) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.phase.Store(next)
	w.drop(c)
}

// drop needs the lock.
func (w *waiting) drop(c *boundedConn) {
	if c.inAll != nil {
		w.all.Remove(c.inAll)
	}
	if c.inBegun != nil {
		w.begun.Remove(c.inBegun)
	}
	c.inAll, c.inBegun = nil, nil
}

// begin notes that the header of c has begun. It returns the connection that must give way
// to c; nil: none.
func (w *waiting) begin(c *boundedConn) *boundedConn {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.inAll == nil || c.inBegun != nil {
		return nil
	}
	c.inBegun = w.begun.PushBack(c)
	if w.begun.Len() <= w.maxHeaders {
		return nil
	}
	return w.take(&w.begun)
}

// longest returns the connection that has waited longest, which does so no more; nil: none.
func (w *waiting) longest() *boundedConn {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all.Len() == 0 {
		return nil
	}
	return w.take(&w.all)
}

// take needs the lock.
func (w *waiting) take(from *list.List) *boundedConn {
	c := from.Front().Value.(*boundedConn)
	w.drop(c)
	return c
}

// phase is what a connection is doing.
type phase = int32

const (
	// phaseServing is also that of connections of proxies, which are of many clients.
	phaseServing phase = iota
	// phaseWaiting: what comes next is the header of a request.
	phaseWaiting
	// phaseLeft: it speaks HTTP no more.
	phaseLeft
)

// watch follows what the connections of a server do.
func (b *bounds) watch(s *http.Server) { s.ConnState, s.ConnContext = b.connState, connContext }

// connState is a hook of http.Server.
func (b *bounds) connState(conn net.Conn, state http.ConnState) {
	c := boundedOf(conn)
	if c == nil || c.proxy {
		return
	}
	switch state {
	case http.StateNew:
		b.waiting.add(c, phaseWaiting)
	case http.StateIdle:
		b.waiting.add(c, phaseAfter(conn))
	case http.StateActive:
		b.waiting.remove(c, phaseServing)
	case http.StateHijacked, http.StateClosed:
		b.waiting.remove(c, phaseLeft)
	}
}

// phaseAfter returns the phase of a connection that is idle. Over HTTP/2 anything may come
// next, in frames that are bounded.
func phaseAfter(conn net.Conn) phase {
	if c, ok := conn.(*tls.Conn); ok && c.ConnectionState().NegotiatedProtocol == "h2" {
		return phaseServing
	}
	return phaseWaiting
}

// boundedOf returns the boundedConn below TLS and the PROXY protocol; nil if there is
// none.
func boundedOf(conn net.Conn) *boundedConn {
	for {
		switch c := conn.(type) {
		case *boundedConn:
			return c
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		case interface{ Raw() net.Conn }:
			conn = c.Raw()
		default:
			return nil
		}
	}
}

// headerProgress is how much of a header a connection has read.
type headerProgress struct {
	phase  atomic.Int32
	header atomic.Int64
	// With TLS; nil: without. Of the goroutine that reads.
	records *records
	// Guarded by waiting.mu.
	inAll, inBegun *list.Element
}

// Read implements net.Conn.
func (c *boundedConn) Read(p []byte) (int, error) {
	now := c.phase.Load()
	if now == phaseWaiting && c.header.Load() > freeHeader {
		c.bounds.beginHeader(c)
	}
	n, err := c.TCPConn.Read(p)
	if now != phaseLeft {
		c.header.Add(int64(c.records.count(p[:n])))
	}
	return n, err
}

// applicationData is the type of TLS records that are no part of the handshake.
const applicationData = 23

// records counts bytes of TLS records. The zero value is at the beginning of one.
type records struct {
	head [5]byte
	have int
	// Of the payload.
	left int
}

// count returns how many of the bytes that come next are application data. A nil records
// counts all.
func (r *records) count(b []byte) (n int) {
	if r == nil {
		return len(b)
	}
	for len(b) > 0 {
		if r.left == 0 {
			took := copy(r.head[r.have:], b)
			b = b[took:]
			if r.have += took; r.have == len(r.head) {
				r.have, r.left = 0, int(binary.BigEndian.Uint16(r.head[3:]))
			}
			continue
		}
		took := min(r.left, len(b))
		if r.head[0] == applicationData {
			n += took
		}
		b, r.left = b[took:], r.left-took
	}
	return n
}
