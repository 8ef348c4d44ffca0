package edge

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/gotapi/gotapi-ws/services/tlsfiles/tlstest"
)

// boundedServer serves "ok", at /wait when the client has given up, within bounds of so many connections and begun headers.
func boundedServer(t *testing.T, most, headers int, secure *tls.Config) (addr string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	b, err := newBounds(new(Config), log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	b.most, b.waiting.maxHeaders = most, headers
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ok := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			<-r.Context().Done()
		}
		_, _ = io.WriteString(w, "ok")
	})
	s := newServer("http", b.withResetLimit(ok), boundedListener{Listener: ln, bounds: b, secure: secure != nil}, secure, 0, 0, log)
	b.watch(s.http)
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	t.Cleanup(func() {
		_ = s.http.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server ended with %v", err)
		}
	})
	return ln.Addr().String()
}

// get asks over a connection of its own.
func get(t *testing.T, addr string, secure *tls.Config, header string) error {
	t.Helper()
	conn := dialTo(t, addr, secure)
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n"+header+"\r\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err == nil && !bytes.HasSuffix(answer, []byte("ok")) {
		err = fmt.Errorf("answer %q", answer)
	}
	return err
}

func dialTo(t *testing.T, addr string, secure *tls.Config) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if secure != nil {
		conn = tls.Client(conn, secure)
	}
	return conn
}

// Strangers who opened as many connections as files allow kept everybody out.
func TestConnectionsThatSendNothingGiveWayToOthers(t *testing.T) {
	t.Parallel()
	const most = 4
	addr := boundedServer(t, most, minHeaders, nil)
	for range 2 * most {
		dialTo(t, addr, nil)
		if err := get(t, addr, nil, ""); err != nil {
			t.Errorf("another client: %v", err)
		}
	}
}

// Headers of many small fields take many times their bytes while they are read.
func TestHeadersThatHaveBegunGiveWayToOthers(t *testing.T) {
	t.Parallel()
	for name, secure := range map[string]*tls.Config{"plain": nil, "TLS": serverTLS(t)} {
		const headers = 3
		addr := boundedServer(t, 0, headers, secure)
		var client *tls.Config
		if secure != nil {
			client = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // a test
		}
		const begun = 3 * headers
		ended := make(chan error, begun)
		for range begun {
			conn := dialTo(t, addr, client)
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\n"+strings.Repeat("a:\r\n", 1000)); err != nil {
				t.Fatal(err)
			}
			go func() {
				_, err := conn.Read(make([]byte, 1))
				ended <- err
			}()
		}
		for range begun - headers {
			if err := <-ended; err == nil {
				t.Errorf("%s: a header that has begun got an answer", name)
			}
		}
		if err := get(t, addr, client, "Cookie: "+strings.Repeat("x", 10_000)+"\r\n"); err != nil {
			t.Errorf("%s: a client with a large header: %v", name, err)
		}
	}
}

func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	pair := tlstest.NewAuthority(t).Server(t, "127.0.0.1")
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}
}

// CVE-2023-44487.
func TestConnectionsThatResetManyRequestsAreClosed(t *testing.T) {
	t.Parallel()
	addr := boundedServer(t, 0, minHeaders, serverTLS(t))
	conn := dialTo(t, addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) //nolint:gosec // a test
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	_ = framer.WriteSettings()
	var head bytes.Buffer
	headers, id := hpack.NewEncoder(&head), uint32(1)
	request := func(path string) error {
		head.Reset()
		for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "edge"}, {Name: ":path", Value: path}} {
			_ = headers.WriteField(f)
		}
		id += 2
		return framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head.Bytes(), EndStream: true, EndHeaders: true})
	}
	reset := func(n int) {
		for range n { // it may be over already
			_ = request("/wait")
			_ = framer.WriteRSTStream(id, http2.ErrCodeCancel)
		}
	}
	reset(resetBurst / 2)
	if err := request("/"); err != nil {
		t.Fatal(err)
	}
	for answered := false; !answered; {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("a client that has given up some requests: %v", err)
		}
		answered = frame.Header().Type == http2.FrameData && frame.Header().StreamID == id
	}
	go reset(4 * resetBurst)
	for {
		if _, err := framer.ReadFrame(); err != nil {
			break
		}
	}
}

func TestOnlyApplicationDataOfTLSIsCounted(t *testing.T) {
	t.Parallel()
	record := func(kind byte, n int) []byte {
		return append([]byte{kind, 3, 3, byte(n >> 8), byte(n)}, make([]byte, n)...)
	}
	all := bytes.Join([][]byte{record(22, 300), record(20, 1), record(applicationData, 700), record(22, 0), record(applicationData, 5)}, nil)
	for size := 1; size < len(all); size *= 3 {
		r, n := new(records), 0
		for rest := all; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			n += r.count(rest[:min(size, len(rest))])
		}
		if n != 705 {
			t.Errorf("in pieces of %d: %d bytes, want 705", size, n)
		}
	}
}
