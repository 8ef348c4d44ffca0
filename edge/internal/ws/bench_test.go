package ws

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// again is a connection that sends the same bytes over and over.
type again struct {
	bytes []byte
	at    int
}

func (r *again) Read(b []byte) (int, error) {
	n := copy(b, r.bytes[r.at:])
	r.at = (r.at + n) % len(r.bytes)
	return n, nil
}

// masked is a text message as a client sends it.
func masked(payload []byte) []byte {
	b := []byte{0x81}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	default:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	}
	mask := [4]byte{1, 2, 3, 4}
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	return b
}

// reading is a connection on which messages of so many bytes never end.
func reading(tb testing.TB, size int) *Conn {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodGet, "/", nil)
	r.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"MDEyMzQ1Njc4OWFiY2RlZg=="},
	}
	conn := &tape{in: bytes.NewReader(nil)}
	out := NewOutbox(Limits{Frames: 1000, Bytes: 1 << 20}, NewFlusher(prometheus.NewRegistry()))
	c, err := NewUpgrader(Options{MaxMessage: 1 << 16}).Upgrade(hijackable{httptest.NewRecorder(), conn}, r, Subprotocol{Name: "gotapi.v1"}, out)
	if err != nil {
		tb.Fatal(err)
	}
	conn.in = &again{bytes: masked(bytes.Repeat([]byte("x"), size))}
	return c
}

// BenchmarkRead is one message from the socket to its handler, without system
// calls.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{128, 32 << 10} {
		b.Run(fmt.Sprint(size, " B"), func(b *testing.B) {
			c := reading(b, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Read(func(Opcode, []byte) {}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// null is a connection that takes everything at once, for the price of a system
// call.
type null struct {
	net.Conn
	file *os.File
}

func (n null) SyscallConn() (syscall.RawConn, error) { return n.file.SyscallConn() }

// writing is an Outbox whose peer takes everything at once.
func writing(tb testing.TB) *Outbox {
	tb.Helper()
	file, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	f := NewFlusher(prometheus.NewRegistry())
	out := NewOutbox(Limits{Frames: 1 << 20, Bytes: 1 << 30}, f)
	out.Start(null{file: file})
	tb.Cleanup(func() {
		out.Wait()
		f.Wait()
		file.Close()
	})
	return out
}

// sendAndSee sends a frame and yields until it has left.
func sendAndSee(out *Outbox, f Frame) {
	before, _ := out.Written()
	out.Send(f)
	for {
		if now, _ := out.Written(); now > before {
			return
		}
		runtime.Gosched()
	}
}

// burst is 16 frames through queue, flusher and one system call or a few.
func burst(out *Outbox, frames []Frame) {
	out.SendAll(frames[1:])
	sendAndSee(out, frames[0])
}

func burstOf(f Frame) []Frame {
	frames := make([]Frame, 16)
	for i := range frames {
		frames[i] = f
	}
	return frames
}

// BenchmarkOutbox is one frame through queue, flusher and a system call that
// does nothing: alone, and with many waiting.
func BenchmarkOutbox(b *testing.B) {
	frame := Text(make([]byte, 128))
	b.Run("alone", func(b *testing.B) {
		out := writing(b)
		b.ReportAllocs()
		for b.Loop() {
			sendAndSee(out, frame)
		}
	})
	b.Run("16 waiting", func(b *testing.B) {
		out, frames := writing(b), burstOf(frame)
		b.ReportAllocs()
		for n := 0; n < b.N; n += len(frames) {
			burst(out, frames)
		}
	})
}

// The bounds leave room for what the race detector makes of a sync.Pool, and for
// the start of a worker; what is per frame, or of the size of a message, is above.
func TestFramesAreWrittenWithoutAllocations(t *testing.T) {
	out, frames := writing(t), burstOf(Text(make([]byte, 128)))
	if got := testing.AllocsPerRun(1000, func() { burst(out, frames) }); got > 4 {
		t.Errorf("%v allocations for %d frames", got, len(frames))
	}
}

func TestAMessageIsReadWithOneAllocation(t *testing.T) {
	c := reading(t, 128)
	got := testing.AllocsPerRun(1000, func() {
		if err := c.Read(func(Opcode, []byte) {}); err != nil {
			t.Fatal(err)
		}
	})
	if got > 2 {
		t.Errorf("%v allocations for a message", got)
	}
}
