package roomtest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"time"
)

// Peer is the far end of a connection that only listens: a net.Conn that
// takes apart the frames that are written to it.
type Peer struct {
	mu      sync.Mutex
	raw     []byte
	got     []string
	writes  int
	closed  bool
	stalled chan struct{} // not nil: Write blocks until it is closed
}

// NewPeer returns a Peer.
func NewPeer() *Peer { return &Peer{} }

// Stall makes writes block until the returned function is called.
func (p *Peer) Stall() (resume func()) {
	gate := make(chan struct{})
	p.mu.Lock()
	p.stalled = gate
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		p.stalled = nil
		p.mu.Unlock()
		close(gate)
	}
}

// Got returns what has come, in short: a data packet as its uuid, an ack as
// "ack U", a recall as "recall U", an error as "error C U", a close frame as
// "close C", a binary frame as "binary ...", other text as it is.
func (p *Peer) Got() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.got...)
}

// Writes is the number of Write calls.
func (p *Peer) Writes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.writes
}

// Closed reports whether the connection was closed.
func (p *Peer) Closed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// Write implements net.Conn.
func (p *Peer) Write(b []byte) (int, error) {
	p.mu.Lock()
	gate := p.stalled
	p.mu.Unlock()
	if gate != nil {
		<-gate
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, net.ErrClosed
	}
	p.writes++
	p.raw = append(p.raw, b...)
	for {
		size, start, ok := header(p.raw)
		if !ok {
			return len(b), nil
		}
		p.got = append(p.got, Short(p.raw[0]&0xf, p.raw[start:start+size]))
		p.raw = p.raw[start+size:]
	}
}

// header returns where the payload of the first frame is, if it is complete.
func header(raw []byte) (size, start int, ok bool) {
	switch {
	case len(raw) < 2:
		return 0, 0, false
	case raw[1] == 126 && len(raw) >= 4:
		size, start = int(binary.BigEndian.Uint16(raw[2:])), 4
	case raw[1] == 127 && len(raw) >= 10:
		size, start = int(binary.BigEndian.Uint64(raw[2:])), 10
	case raw[1] < 126:
		size, start = int(raw[1]), 2
	default:
		return 0, 0, false
	}
	return size, start, len(raw) >= start+size
}

// Short is a frame in short, see Peer.Got.
func Short(opcode byte, payload []byte) string {
	switch opcode {
	case 0x2:
		return "binary " + string(payload)
	case 0x8:
		if len(payload) < 2 {
			return "close"
		}
		return fmt.Sprint("close ", binary.BigEndian.Uint16(payload))
	case 0x9:
		return "ping"
	case 0xa:
		return "pong " + string(payload)
	}
	var p struct {
		Type, Command int
		UUID          string
		Body          struct{ Data json.RawMessage }
	}
	if json.Unmarshal(payload, &p) != nil {
		return string(payload)
	}
	switch {
	case p.Type == 2:
		return p.UUID
	case p.Type == 1 && p.Command == 1:
		return "ack " + p.UUID
	case p.Type == 1 && p.Command == 6:
		return "recall " + p.UUID
	case p.Type == 1 && p.Command == 7:
		var e struct{ Code int }
		_ = json.Unmarshal(p.Body.Data, &e) // 0 shows it
		return fmt.Sprintf("error %d %s", e.Code, p.UUID)
	}
	return string(payload)
}

// Data is a data packet.
func Data(uuid string) []byte {
	return fmt.Appendf(nil, `{"type":2,"uuid":%q,"body":{"data":"hello"}}`, uuid)
}

// Close implements net.Conn.
func (p *Peer) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}

// Read implements net.Conn: nothing ever comes.
func (p *Peer) Read([]byte) (int, error) { select {} }

// LocalAddr implements net.Conn.
func (p *Peer) LocalAddr() net.Addr { return nil }

// RemoteAddr implements net.Conn.
func (p *Peer) RemoteAddr() net.Addr { return nil }

// SetDeadline implements net.Conn.
func (p *Peer) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (p *Peer) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (p *Peer) SetWriteDeadline(time.Time) error { return nil }
