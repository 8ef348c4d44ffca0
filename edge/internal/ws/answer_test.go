package ws

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// clientSends is a frame as a client sends it, with a mask of zero.
func clientSends(first byte, payload string) []byte {
	b := clientFrame(first, len(payload))
	copy(b[len(b)-len(payload):], payload)
	return b
}

func TestTCPIsClosedAsSoonAsThePeerHasAnsweredTheClose(t *testing.T) {
	t.Parallel()
	answer := clientSends(0x88, "\x03\xea")
	for name, tt := range map[string]struct {
		fault []byte
		code  uint16
	}{
		"reserved bit":        {clientSends(0xc1, "x"), 1002},
		"unknown opcode":      {clientSends(0x83, "xyz"), 1002},
		"bad close code":      {clientSends(0x88, "\x03\xe7"), 1002},
		"close with one byte": {clientSends(0x88, "x"), 1002},
		"without a mask":      {[]byte{0x81, 1, 'x'}, 1002},
		"5 in 16 bits":        {append([]byte{0x81, 0xfe, 0, 5, 0, 0, 0, 0}, "hello"...), 1002},
		"invalid UTF-8":       {clientSends(0x81, "\xff"), 1007},
		"too large":           {clientSends(0x82, strings.Repeat("x", 5000)), 1009},
	} {
		for _, early := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					here, there := net.Pipe()
					defer here.Close()
					go func() { _, _ = there.Write(tt.fault) }() // a pipe holds nothing
					if early {                                   // the peer closes before it has heard of its fault
						go func() {
							synctest.Wait()
							_, _ = there.Write(answer)
						}()
					}
					out := NewOutbox(Limits{Frames: 10, Bytes: 1 << 20}, NewFlusher(prometheus.NewRegistry()))
					c := over(t, here, out)
					ended := make(chan time.Duration, 1)
					began := time.Now()
					go func() {
						err := error(nil)
						for err == nil {
							err = c.Read(func(Opcode, []byte) {})
						}
						c.Finish(err)
						ended <- time.Since(began)
					}()
					head := make([]byte, 2)
					if _, err := io.ReadFull(there, head); err != nil {
						t.Fatal(err)
					}
					payload := make([]byte, head[1])
					if _, err := io.ReadFull(there, payload); err != nil {
						t.Fatal(err)
					}
					if head[0] != 0x88 || binary.BigEndian.Uint16(payload) != tt.code {
						t.Fatalf("got % x % x, want a close frame with %d", head, payload, tt.code)
					}
					if !early {
						_, _ = there.Write(answer) // no need of it if the fault was a close frame
					}
					if took := <-ended; took != 0 {
						t.Errorf("the connection was kept for %v after both sides had closed", took)
					}
					if n, err := there.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
						t.Errorf("after the close frame: %d bytes, %v; want EOF", n, err)
					}
				})
			})
		}
	}
}

// over makes a Conn of a connection whose handshake is over.
func over(t *testing.T, conn net.Conn, out *Outbox) *Conn {
	t.Helper()
	handshake := &tape{in: bytes.NewReader(nil)}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = upgradeHeader()
	u := NewUpgrader(Options{MaxMessage: 1000})
	h := &hijackable{httptest.NewRecorder(), handshake}
	c, err := u.Upgrade(h, r, Subprotocol{Name: "gotapi.v1"}, NewOutbox(Limits{}, NewFlusher(prometheus.NewRegistry())))
	if err != nil {
		t.Fatal(err)
	}
	c.out, c.socket.Conn = out, conn
	out.Start(conn)
	return c
}
