// Package faultproxy spoils TCP connections on demand: it cuts them, holds them,
// or makes them slow.
//
// What passes is never changed, lost or reordered: a connection that is held and
// let go delivers every byte, as TCP does after a network came back. (This is why
// it is not Toxiproxy, whose "timeout" throws bytes away and must then end the
// connection.)
package faultproxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// chunk is what passes at once: at a delay d, a connection carries chunk/d.
const chunk = 16 << 10

// dialTimeout bounds the wait for the server behind.
const dialTimeout = 2 * time.Second

// Proxy forwards the connections to one address to another one.
type Proxy struct {
	// Addr is where the proxy listens.
	Addr string

	upstream string
	listener net.Listener
	running  sync.WaitGroup

	mu sync.Mutex
	// Closed and renewed whenever how connections are treated changes.
	changed chan struct{}
	how     treatment
	open    map[*link]struct{}
	closed  bool
}

// treatment is what happens to connections. The zero treatment lets them be.
type treatment struct {
	cut, hold bool
	delay     time.Duration
	// The IP addresses whose connections are held; nil: all.
	held map[string]bool
}

// holds reports whether bytes from that address, or back to it, are held.
func (t *treatment) holds(source string) bool {
	return t.hold && (t.held == nil || t.held[source])
}

// Listen starts a proxy on addr for the server at upstream, which need not run
// yet. Close ends it.
func Listen(addr, upstream string) (*Proxy, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("fault proxy: %w", err)
	}
	p := &Proxy{
		Addr: l.Addr().String(), upstream: upstream, listener: l,
		changed: make(chan struct{}), open: make(map[*link]struct{}),
	}
	p.running.Go(p.accept)
	return p, nil
}

// Heal lets connections be again. What was held goes on.
func (p *Proxy) Heal() { p.treat(treatment{}) }

// Cut resets all connections, and every new one, until Heal.
func (p *Proxy) Cut() {
	p.treat(treatment{cut: true})
	p.Reset()
}

// Hold lets nothing pass until Heal; neither side notices.
func (p *Proxy) Hold() { p.treat(treatment{hold: true}) }

// HoldFrom is Hold for the connections from these IP addresses.
func (p *Proxy) HoldFrom(sources ...string) {
	held := make(map[string]bool)
	for _, s := range sources {
		held[s] = true
	}
	p.treat(treatment{hold: true, held: held})
}

// Slow delays everything until Heal.
func (p *Proxy) Slow(delay time.Duration) { p.treat(treatment{delay: delay}) }

// Reset resets the connections that there are.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.open {
		l.reset()
	}
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.Reset()
	p.running.Wait()
}

func (p *Proxy) treat(how treatment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.how = how
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) treatment() (how treatment, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.how, p.changed
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	source, _, _ := net.SplitHostPort(client.RemoteAddr().String())
	l := &link{proxy: p, client: client, source: source, done: make(chan struct{})}
	if !p.add(l) {
		l.reset()
		return
	}
	defer p.remove(l)
	server, err := net.DialTimeout("tcp", p.upstream, dialTimeout)
	if err != nil {
		l.reset()
		return
	}
	defer server.Close()
	var back sync.WaitGroup
	back.Go(func() { l.pump(client, server) })
	l.pump(server, client)
	back.Wait()
}

// add returns false when no connection is wanted.
func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.how.cut {
		return false
	}
	p.open[l] = struct{}{}
	return true
}

func (p *Proxy) remove(l *link) {
	l.reset()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, l)
}

// link is one connection through the proxy.
type link struct {
	proxy  *Proxy
	client net.Conn
	// The client's IP address.
	source string
	once   sync.Once
	done   chan struct{} // closed by reset
}

func (l *link) reset() {
	l.once.Do(func() {
		close(l.done)
		if tcp, ok := l.client.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // RST, not FIN
		}
		_ = l.client.Close()
	})
}

// pump carries one direction until it ends, and then ends both: neither Redis nor
// gRPC uses half-closed connections.
func (l *link) pump(to, from net.Conn) {
	ended := make(chan struct{})
	defer close(ended)
	go func() { // the reset does not end a pending read
		select {
		case <-l.done:
			_ = to.SetDeadline(time.Unix(1, 0))
			_ = from.SetDeadline(time.Unix(1, 0))
		case <-ended:
		}
	}()
	buf := make([]byte, chunk)
	for {
		n, err := from.Read(buf)
		// The end of the connection, too, is held and late.
		if !l.permit() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				break
			}
		}
		if err != nil {
			if err == io.EOF { //nolint:errorlint // Read returns it bare
				_ = to.Close()
			}
			break
		}
	}
	l.reset()
}

// permit waits until something may pass. It returns false when the connection
// is over.
func (l *link) permit() bool {
	for {
		how, changed := l.proxy.treatment()
		var pass <-chan time.Time
		switch {
		case how.delay > 0:
			pass = time.After(how.delay)
			changed = nil
		case !how.holds(l.source):
			select {
			case <-l.done:
				return false
			default:
				return true
			}
		}
		select {
		case <-l.done:
			return false
		case <-pass:
			return true
		case <-changed:
		}
	}
}
