package historysvc

import (
	"errors"
	"io"
	"net"
	"testing"
)

func TestConnectionsAreBounded(t *testing.T) {
	for _, bounds := range []struct{ total, each int }{{2, 9}, {9, 2}} {
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		bounded := newBoundedListener(ln, bounds.total, bounds.each)
		accepted := make(chan net.Conn, 9)
		go func() {
			defer close(accepted)
			for {
				conn, err := bounded.Accept()
				if err != nil {
					return
				}
				accepted <- conn
			}
		}()
		dial := func() net.Conn {
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			return conn
		}
		dial()
		first := <-accepted
		dial()
		<-accepted
		if _, err := dial().Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%+v: the third connection got %v, want its end", bounds, err)
		}
		_ = first.Close()
		_ = first.Close() // counts once
		dial()
		<-accepted
		if _, err := dial().Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%+v: one more than there is room for got %v, want its end", bounds, err)
		}
		_ = ln.Close()
		<-accepted
	}
}
