package edge_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// This file checks a real edge against what RFC 6455 demands of a server, over a raw TCP
// connection. It covers the ground of sections 1 to 7, 9 and 10 of the Autobahn test
// suite, whose numbers are in the names. A second member of the group watches that
// exactly the right messages arrive: of a broken one, nothing may.

// Opcodes, and the bit of the last frame of a message.
const (
	continuation, text, bin = 0x0, 0x1, 0x2
	closing, ping, pong     = 0x8, 0x9, 0xa
	fin                     = 0x80
)

// biggest is the largest message of the edge in this test.
const biggest = 1 << 20

// frame is one frame of a client.
func frame(first byte, payload string) []byte {
	switch n := len(payload); {
	case n < 126:
		return framed(first, payload, byte(n))
	case n < 1<<16:
		return framed(first, payload, binary.BigEndian.AppendUint16([]byte{126}, uint16(n))...)
	default:
		return framed(first, payload, binary.BigEndian.AppendUint64([]byte{127}, uint64(n))...)
	}
}

// framed is a frame whose length is written in that way.
func framed(first byte, payload string, length ...byte) []byte {
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	length[0] |= 0x80
	b := slices.Concat([]byte{first}, length, mask[:])
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

func closeFrame(code uint16, reason string) []byte {
	return frame(fin|closing, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

// fragments is a message in frames of at most size bytes.
func fragments(op byte, payload string, size int) (all []byte) {
	for first := op; ; first = continuation {
		n := min(size, len(payload))
		if n == len(payload) {
			return append(all, frame(fin|first, payload)...)
		}
		all = append(all, frame(first, payload[:n])...)
		payload = payload[n:]
	}
}

// rfcCase is one connection.
type rfcCase struct {
	name string
	sent [][]byte
	// What the other member gets, as "text hello".
	heard []string
	// The payloads of pongs.
	pongs []string
	// The code of the server's close frame; 0: the connection goes on.
	code uint16
	// Instead of code: what the close frame holds.
	bare bool
	// The bytes of a write; 0: all at once.
	chop int
}

func rfcCases() (all []rfcCase) {
	return slices.Concat(framing(), pings(), reserved(), fragmentation(), utf8Handling(), closeHandling(), sizes(), lengths())
}

// framing is section 1.
func framing() (all []rfcCase) {
	for _, n := range []int{0, 1, 125, 126, 127, 128, 65_535, 65_536} {
		for _, chop := range []int{0, 997} {
			payload := strings.Repeat("*", n)
			all = append(all,
				rfcCase{
					name: fmt.Sprintf("1.1 text of %d, writes of %d", n, chop), sent: [][]byte{frame(fin|text, payload)},
					heard: []string{"text " + payload}, chop: chop,
				},
				rfcCase{
					name: fmt.Sprintf("1.2 binary of %d, writes of %d", n, chop), sent: [][]byte{frame(fin|bin, payload)},
					heard: []string{"binary " + payload}, chop: chop,
				})
		}
	}
	return all
}

// pings is section 2.
func pings() []rfcCase {
	ten, answers := [][]byte{}, []string{}
	for i := range 10 {
		payload := fmt.Sprint("payload-", i)
		ten, answers = append(ten, frame(fin|ping, payload)), append(answers, payload)
	}
	long := strings.Repeat("\xfe", 125)
	return []rfcCase{
		{name: "2.1 ping without payload", sent: [][]byte{frame(fin|ping, "")}, pongs: []string{""}},
		{name: "2.2 ping with text", sent: [][]byte{frame(fin|ping, "Hello, world!")}, pongs: []string{"Hello, world!"}},
		{name: "2.3 ping with binary", sent: [][]byte{frame(fin|ping, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff")}, pongs: []string{"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"}},
		{name: "2.4 ping of 125", sent: [][]byte{frame(fin|ping, long)}, pongs: []string{long}},
		{name: "2.5 ping of 126", sent: [][]byte{frame(fin|ping, long+"\xfe")}, code: 1002},
		{name: "2.6 ping of 125, a byte at a time", sent: [][]byte{frame(fin|ping, long)}, pongs: []string{long}, chop: 1},
		{name: "2.7 pong that nobody asked for", sent: [][]byte{frame(fin|pong, "")}},
		{name: "2.8 pong with payload", sent: [][]byte{frame(fin|pong, "unsolicited")}},
		{name: "2.9 pong, then ping", sent: [][]byte{frame(fin|pong, "unsolicited"), frame(fin|ping, "ping")}, pongs: []string{"ping"}},
		{name: "2.10 ten pings", sent: ten, pongs: answers},
		{name: "2.11 ten pings, a byte at a time", sent: ten, pongs: answers, chop: 1},
	}
}

// reserved is sections 3 and 4.
func reserved() (all []rfcCase) {
	hello := frame(fin|text, "hello")
	for rsv := byte(0x10); rsv <= 0x70; rsv += 0x10 {
		for name, op := range map[string]byte{"text": text, "binary": bin, "ping": ping, "close": closing} {
			for _, chop := range []int{0, 1} {
				all = append(all, rfcCase{
					name: fmt.Sprintf("3 %s with RSV %d, writes of %d", name, rsv>>4, chop), chop: chop,
					sent:  [][]byte{hello, frame(fin|rsv|op, "\x03\xe8"), frame(fin|ping, "")},
					heard: []string{"text hello"}, code: 1002,
				})
			}
		}
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		for _, payload := range []string{"", "reserved opcode payload"} {
			all = append(all, rfcCase{
				name: fmt.Sprintf("4 opcode %d with %q", op, payload),
				sent: [][]byte{hello, frame(fin|op, payload), frame(fin|ping, "")}, heard: []string{"text hello"}, code: 1002,
			})
		}
	}
	return all
}

// fragmentation is section 5.
func fragmentation() (all []rfcCase) {
	first, last := frame(text, "fragment1"), frame(fin|continuation, "fragment2")
	between := frame(fin|ping, "ping payload")
	both := []string{"text fragment1fragment2"}
	lone := frame(fin|text, "hello")
	for _, chop := range []int{0, 1} {
		of := func(name string, c rfcCase) {
			c.name, c.chop = fmt.Sprintf("5.%s, writes of %d", name, chop), chop
			all = append(all, c)
		}
		of("1 ping in fragments", rfcCase{sent: [][]byte{frame(ping, "fragment1"), last}, code: 1002})
		of("2 pong in fragments", rfcCase{sent: [][]byte{frame(pong, "fragment1"), last}, code: 1002})
		of("3 text in two", rfcCase{sent: [][]byte{first, last}, heard: both})
		of("6 ping between", rfcCase{sent: [][]byte{first, between, last}, heard: both, pongs: []string{"ping payload"}})
		of("9 end of nothing", rfcCase{sent: [][]byte{frame(fin|continuation, "non-continuation"), lone}, code: 1002})
		of("12 middle of nothing", rfcCase{sent: [][]byte{frame(continuation, "non-continuation"), lone}, code: 1002})
		of("15 middle after the end", rfcCase{
			sent: [][]byte{first, last, frame(continuation, "fragment3"), frame(fin|text, "fragment4")}, heard: both, code: 1002,
		})
		of("16 middle before the beginning, twice", rfcCase{
			sent: [][]byte{frame(continuation, "1"), first, last, frame(continuation, "1"), first, last}, code: 1002,
		})
		of("18 text within text", rfcCase{sent: [][]byte{first, frame(fin|text, "fragment2")}, code: 1002})
		of("18 binary within text", rfcCase{sent: [][]byte{first, frame(bin, "fragment2"), last}, code: 1002})
		of("19 five with pings", rfcCase{
			sent: [][]byte{
				first, frame(continuation, "fragment2"), between, frame(continuation, "fragment3"), frame(continuation, "fragment4"),
				between, frame(fin|continuation, "fragment5"),
			},
			heard: []string{"text fragment1fragment2fragment3fragment4fragment5"}, pongs: []string{"ping payload", "ping payload"},
		})
		of("empty fragments", rfcCase{
			sent: [][]byte{frame(bin, ""), frame(continuation, ""), frame(continuation, "x"), frame(fin|continuation, "")}, heard: []string{"binary x"},
		})
	}
	return all
}

// utf8Handling is section 6.
func utf8Handling() (all []rfcCase) {
	const around = "κόσμε"
	for _, valid := range []string{
		around, "Hello-µ@ßöäüàá-UTF-8!!", "\x00", "\x7f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufffd", "\ufffe", "\uffff",
		"\U00010000", "\U0001fffe", "\U0010ffff", "\ufeff", strings.Repeat("😀", 40),
	} {
		for _, size := range []int{1 << 20, 1, 3} {
			all = append(all, rfcCase{
				name: fmt.Sprintf("6 valid %.20q in fragments of %d", valid, size),
				sent: [][]byte{fragments(text, valid, size)}, heard: []string{"text " + valid},
			})
		}
	}
	for _, invalid := range []string{
		"\x80", "\xbf", "\x80\xbf\x80", "\xc0", "\xdf", "\xe0", "\xef\xbf", "\xf0\x80\x80", "\xf7\xbf\xbf", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80",
		"\xfe", "\xff", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xe0\x9f\xbf", "\xf0\x80\x80\xaf", "\xf0\x8f\xbf\xbf", "\xc0\x80",
		"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80", "\xf4\x90\x80\x80", "\xf4\x8f\xbf",
	} {
		for _, broken := range []string{invalid, around + invalid, around + invalid + "edited"} {
			for _, size := range []int{1 << 20, 1} {
				all = append(all, rfcCase{
					name: fmt.Sprintf("6 invalid %q in fragments of %d", broken, size),
					sent: [][]byte{fragments(text, broken, size), frame(fin|text, "later")}, code: 1007,
				})
			}
		}
	}
	return append(all,
		// Nothing but the invalid beginning of a message is sent: it fails at once.
		rfcCase{name: "6.4.1 fails before the last fragment", sent: [][]byte{frame(text, around), frame(continuation, "\xf4\x90\x80\x80")}, code: 1007},
		rfcCase{name: "6.4.3 fails within a frame", sent: [][]byte{frame(fin|text, around+"\xf4\x90\x80\x80"+strings.Repeat("x", 2000))[:40]}, code: 1007},
		rfcCase{name: "6 binary may be anything", sent: [][]byte{frame(fin|bin, "\xff\xfe")}, heard: []string{"binary \xff\xfe"}},
	)
}

// closeHandling is section 7.
func closeHandling() []rfcCase {
	hello := frame(fin|text, "hello")
	late := strings.Repeat("x", 256<<10)
	all := []rfcCase{
		{name: "7.1.1 text, then close", sent: [][]byte{hello, closeFrame(1000, "")}, heard: []string{"text hello"}, code: 1000},
		{name: "7.1.2 two closes", sent: [][]byte{closeFrame(1000, ""), closeFrame(1000, "")}, code: 1000},
		{name: "7.1.3 ping after close", sent: [][]byte{closeFrame(1000, ""), frame(fin|ping, "late")}, code: 1000},
		{name: "7.1.4 text after close", sent: [][]byte{closeFrame(1000, ""), hello}, code: 1000},
		{name: "7.1.5 close within a message", sent: [][]byte{frame(text, "fragment1"), closeFrame(1000, ""), frame(fin|continuation, "fragment2")}, code: 1000},
		{name: "7.1.6 large text, then close", sent: [][]byte{frame(fin|text, late), hello, closeFrame(1000, ""), frame(fin|ping, "")}, heard: []string{"text " + late, "text hello"}, code: 1000},
		{name: "7.3.1 close without payload", sent: [][]byte{frame(fin|closing, "")}, bare: true},
		{name: "7.3.2 close with one byte", sent: [][]byte{hello, frame(fin|closing, "a")}, heard: []string{"text hello"}, code: 1002},
		{name: "7.3.3 close with a code", sent: [][]byte{closeFrame(1000, "")}, code: 1000},
		{name: "7.3.4 close with a reason", sent: [][]byte{closeFrame(1000, "Hello World!")}, code: 1000},
		{name: "7.3.5 close with the longest reason", sent: [][]byte{closeFrame(1000, strings.Repeat("*", 123))}, code: 1000},
		{name: "7.3.6 close with a reason too long", sent: [][]byte{closeFrame(1000, strings.Repeat("*", 124))}, code: 1002},
		{name: "7.5.1 close with a reason that is not UTF-8", sent: [][]byte{closeFrame(1000, "κόσμε\xed\xa0\x80edited")}, code: 1002},
	}
	for _, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		all = append(all, rfcCase{name: fmt.Sprint("7.7 valid code ", code), sent: [][]byte{closeFrame(code, "")}, code: code})
	}
	for _, code := range []uint16{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535} {
		all = append(all, rfcCase{name: fmt.Sprint("7.9 invalid code ", code), sent: [][]byte{hello, closeFrame(code, "")}, heard: []string{"text hello"}, code: 1002})
	}
	return all
}

// sizes is sections 9 and 10.
func sizes() (all []rfcCase) {
	for _, n := range []int{64 << 10, 256 << 10, biggest} {
		payload := strings.Repeat("BAsd7&jh23", n/10+1)[:n]
		all = append(all,
			rfcCase{name: fmt.Sprintf("9.1 text of %d", n), sent: [][]byte{frame(fin|text, payload)}, heard: []string{"text " + payload}},
			rfcCase{name: fmt.Sprintf("9.2 binary of %d", n), sent: [][]byte{frame(fin|bin, payload)}, heard: []string{"binary " + payload}})
	}
	large := strings.Repeat("0123456789abcdef", 16<<10)
	for _, size := range []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10} {
		all = append(all,
			rfcCase{name: fmt.Sprint("9.3 text in fragments of ", size), sent: [][]byte{fragments(text, large, size)}, heard: []string{"text " + large}},
			rfcCase{name: fmt.Sprint("9.4 binary in fragments of ", size), sent: [][]byte{fragments(bin, large, size)}, heard: []string{"binary " + large}},
			rfcCase{name: fmt.Sprint("9.5 writes of ", size), sent: [][]byte{frame(fin|text, large)}, heard: []string{"text " + large}, chop: size})
	}
	for _, n := range []int{0, 16, 64, 256, 1 << 10, 4 << 10} {
		many := rfcCase{name: fmt.Sprintf("9.7 a thousand of %d", n)}
		for range 1000 {
			many.sent = append(many.sent, frame(fin|text, strings.Repeat("*", n)))
			many.heard = append(many.heard, "text "+strings.Repeat("*", n))
		}
		all = append(all, many)
	}
	fragmented := strings.Repeat("*", 65_536)
	return append(all,
		rfcCase{name: "10.1.1 fragments of 1300", sent: [][]byte{fragments(text, fragmented, 1300)}, heard: []string{"text " + fragmented}},
		rfcCase{name: "too large", sent: [][]byte{frame(fin|text, strings.Repeat("x", biggest+1))}, code: 1009},
		rfcCase{name: "too large in fragments", sent: [][]byte{fragments(bin, strings.Repeat("x", biggest+1), 8<<10)}, code: 1009},
		rfcCase{name: "too large by its header alone", sent: [][]byte{framed(fin|text, "", 127, 0x7f, 255, 255, 255, 255, 255, 255, 255)}, code: 1009},
	)
}

// lengths is what RFC 6455 demands in section 5.2, and Autobahn does not ask.
func lengths() (all []rfcCase) {
	hello := frame(fin|text, "hello")
	for name, broken := range map[string][]byte{
		"5 in 16 bits":      framed(fin|text, "12345", 126, 0, 5),
		"0 in 16 bits":      framed(fin|bin, "", 126, 0, 0),
		"125 in 16 bits":    framed(text, strings.Repeat("x", 125), 126, 0, 125),
		"300 in 64 bits":    framed(fin|text, strings.Repeat("x", 300), 127, 0, 0, 0, 0, 0, 0, 1, 44),
		"65,535 in 64 bits": framed(fin|bin, strings.Repeat("x", 65_535), 127, 0, 0, 0, 0, 0, 0, 255, 255),
		"ping in 16 bits":   framed(fin|ping, "x", 126, 0, 1),
		"close in 16 bits":  framed(fin|closing, "\x03\xe8", 126, 0, 2),
		"the 64th bit":      framed(fin|bin, "", 127, 128, 0, 0, 0, 0, 0, 0, 1),
		"without a mask":    {fin | text, 2, 'h', 'i'},
	} {
		for _, chop := range []int{0, 9} {
			all = append(all, rfcCase{
				name: fmt.Sprintf("5.2 %s, writes of %d", name, chop), sent: [][]byte{hello, broken}, heard: []string{"text hello"}, code: 1002, chop: chop,
			})
		}
	}
	return all
}

func TestWebSocketsAreThoseOfRFC6455(t *testing.T) {
	t.Parallel()
	svc := newHistorysvc()
	cfg := config(svc.start(t))
	cfg.MaxMessageBytes, cfg.MemberQueueBytes = biggest, 4*biggest
	f := start(t, cfg)
	for i, c := range rfcCases() {
		t.Run(c.name, func(t *testing.T) { f.runCase(t, fmt.Sprint("/rfc6455/", i), &c) })
	}
}

func (f *runningEdge) runCase(t *testing.T, path string, c *rfcCase) {
	t.Helper()
	watcher, _, err := dial(websocket.DefaultDialer, "ws://"+f.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watcher.Close() }()
	sender := f.dialRaw(t, path)
	sent := slices.Concat(c.sent...)
	want := binary.BigEndian.AppendUint16(nil, c.code)
	switch {
	case c.bare:
		want = []byte{}
	case c.code == 0: // the connection goes on: we end it
		want = binary.BigEndian.AppendUint16(nil, websocket.CloseNormalClosure)
		sent = append(sent, closeFrame(websocket.CloseNormalClosure, "")...)
	}
	go func() {
		for piece := range slices.Chunk(sent, cmp.Or(c.chop, len(sent))) {
			if _, err := sender.Write(piece); err != nil {
				return // the edge has closed
			}
		}
	}()
	pongs, got := sender.untilClosed(t)
	if !slices.Equal(pongs, c.pongs) {
		t.Errorf("pongs %q, want %q", pongs, c.pongs)
	}
	if got = got[:min(2, len(got))]; !bytes.Equal(got, want) {
		t.Errorf("the close frame begins with % x, want % x", got, want)
	}
	sender.wantEOF(t)

	const end = "the end of the case"
	f.wantPost(path, end, http.StatusOK, fmt.Sprintf(`{"code":200,"group":%q,"stored":false}`, path))
	heard := listen(t, watcher, "text "+end)
	if !slices.Equal(heard, c.heard) {
		t.Errorf("the other member got %d messages: %.200q\nwant %d: %.200q", len(heard), heard, len(c.heard), c.heard)
	}
}

// listen returns the messages before end.
func listen(t *testing.T, c *websocket.Conn, end string) (all []string) {
	t.Helper()
	for {
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		kind, b, err := c.ReadMessage()
		if err != nil {
			t.Fatalf("after %d messages: %v", len(all), err)
		}
		message := map[int]string{websocket.TextMessage: "text ", websocket.BinaryMessage: "binary "}[kind] + string(b)
		if message == end {
			return all
		}
		all = append(all, message)
	}
}

// rawSocket is a WebSocket without a library.
type rawSocket struct {
	net.Conn
	in *bufio.Reader
}

func (f *runningEdge) dialRaw(t *testing.T, path string) *rawSocket {
	t.Helper()
	conn, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, strings.Replace(upgradeHead, "/room/1", path, 1)+"\r\n"); err != nil {
		t.Fatal(err)
	}
	s := &rawSocket{conn, bufio.NewReader(conn)}
	r, err := http.ReadResponse(s.in, nil)
	if err != nil || r.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %v, %v", r, err)
	}
	return s
}

// untilClosed reads pongs, and the payload of the close frame. It answers that.
func (s *rawSocket) untilClosed(t *testing.T) (pongs []string, closed []byte) {
	t.Helper()
	for {
		head := make([]byte, 2)
		if _, err := io.ReadFull(s.in, head); err != nil {
			t.Fatalf("after %d pongs: %v", len(pongs), err)
		}
		if head[1] > 125 {
			t.Fatalf("frame % x: masked, or longer than pongs and close frames are", head)
		}
		payload := make([]byte, head[1])
		if _, err := io.ReadFull(s.in, payload); err != nil {
			t.Fatal(err)
		}
		switch head[0] {
		case fin | ping: // keepalive
		case fin | pong:
			pongs = append(pongs, string(payload))
		case fin | closing:
			_, _ = s.Write(closeFrame(1000, "")) // it may have closed already
			return pongs, payload
		default:
			t.Fatalf("frame % x with %q, want pongs and a close frame only", head, payload)
		}
	}
}

// wantEOF waits for the end of TCP. A connection on which more was sent than the edge
// has read may be reset instead.
func (s *rawSocket) wantEOF(t *testing.T) {
	t.Helper()
	b, err := s.in.ReadByte()
	if timeout, ok := errors.AsType[net.Error](err); err == nil || ok && timeout.Timeout() {
		t.Errorf("after the close frame: byte %#x, error %v; want the end", b, err)
	}
}
