package faultproxy

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// echo is a server that returns what it gets, behind a proxy.
func echo(t *testing.T) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	p, err := Listen("127.0.0.1:0", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("heard %.80q, %v; want %.80q", got, err, want)
	}
}

func TestWhatIsHeldArrivesLater(t *testing.T) {
	p := echo(t)
	conn := dial(t, p)
	say(t, conn, "before")
	hear(t, conn, "before")
	p.Hold()
	say(t, conn, "held")
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v while everything is held", n, err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	p.Heal()
	hear(t, conn, "held")
}

func TestACutEndsConnectionsUntilItIsHealed(t *testing.T) {
	p := echo(t)
	conn := dial(t, p)
	say(t, conn, "before")
	hear(t, conn, "before")
	p.Cut()
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read after the cut: %v, want the end of the connection", err)
	}
	// The reset of a new connection may come before the dialer has looked.
	if refused, err := net.Dial("tcp", p.Addr); err == nil {
		defer refused.Close()
		_ = refused.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := refused.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read on a new connection: %v, want its end", err)
		}
	} else if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("dial: %v, want a reset, then or later", err)
	}
	p.Heal()
	conn = dial(t, p)
	say(t, conn, "after")
	hear(t, conn, "after")
}

func TestASlowConnectionLosesNothing(t *testing.T) {
	p := echo(t)
	conn := dial(t, p)
	const delay = 20 * time.Millisecond
	p.Slow(delay)
	text := strings.Repeat("0123456789", 10_000)
	begin := time.Now()
	go func() { _, _ = io.WriteString(conn, text) }()
	hear(t, conn, text)
	if took := time.Since(begin); took < 2*delay {
		t.Errorf("there and back took %v, want at least %v", took, 2*delay)
	}
}

func TestResetSparesNewConnections(t *testing.T) {
	p := echo(t)
	conn := dial(t, p)
	say(t, conn, "before")
	hear(t, conn, "before")
	p.Reset()
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read after the reset: %v, want the end of the connection", err)
	}
	conn = dial(t, p)
	say(t, conn, "after")
	hear(t, conn, "after")
}

func TestTheEndOfTheServerEndsTheClient(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := Listen("127.0.0.1:0", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	conn := dial(t, p)
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v, want the end of the connection", err)
	}
}

// TestHoldFromHoldsOnlyTheNamedSources holds one of two clients of a proxy.
func TestHoldFromHoldsOnlyTheNamedSources(t *testing.T) {
	p := echo(t)
	from := func(source string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
		conn, err := d.DialContext(t.Context(), "tcp", p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		return conn
	}
	one, other := from("127.0.1.1"), from("127.0.1.2")
	p.HoldFrom("127.0.1.1", "127.0.1.9")
	late := from("127.0.1.9")
	say(t, one, "held")
	say(t, late, "held too")
	say(t, other, "passes")
	hear(t, other, "passes")
	for _, conn := range []net.Conn{one, late} {
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, err := conn.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read %d bytes, %v", n, err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	}
	p.Heal()
	hear(t, one, "held")
	hear(t, late, "held too")
}
