package edge_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/grpc/test/bufconn"

	"github.com/gotapi/gotapi-ws/edge"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
)

// limited starts an edge with those limits.
func limited(t *testing.T, l edge.Limits) *runningEdge {
	t.Helper()
	cfg := config(newHistorysvc().start(t))
	cfg.Limits = l
	return start(t, cfg)
}

// raw sends bytes over a connection of its own and reads the response.
func (f *runningEdge) raw(request string) *http.Response {
	f.t.Helper()
	conn, err := net.Dial("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	go func() { _, _ = io.WriteString(conn, request) }() // the server may answer before it has read all
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		f.t.Fatalf("%.80q: %v", request, err)
	}
	return r
}

const (
	upgradeHead = "GET /room/1 HTTP/1.1\r\nHost: edge\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	publishHead = "POST /room/1 HTTP/1.1\r\nHost: edge\r\nContent-Length: 1\r\n"
)

// wantRaw checks the status, and that a refusal is an error in JSON that says
// when to come again.
func (f *runningEdge) wantRaw(what, request string, code int) {
	f.t.Helper()
	r := f.raw(request)
	if r.StatusCode != code {
		f.t.Fatalf("%s: %s, want %d", what, r.Status, code)
	}
	if code != http.StatusTooManyRequests {
		return
	}
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("Retry-After") == "" || !strings.HasPrefix(string(body), `{"code":429,"msg":"`) {
		f.t.Errorf("%s: Retry-After %q, %s", what, r.Header.Get("Retry-After"), body)
	}
}

func TestConnectionsOfOneAddressAreLimited(t *testing.T) {
	t.Parallel()
	f := limited(t, edge.Limits{Settings: limit.Settings{AddressConnections: 1}})
	c := f.join("/room/1")
	f.wantRaw("a second one", upgradeHead+"\r\n", 429)
	_ = c.Close()
	f.eventually("room for another one", func() bool { return f.raw(upgradeHead+"\r\n").StatusCode == http.StatusSwitchingProtocols })
}

func (f *runningEdge) eventually(what string, ok func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			f.t.Fatalf("never: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestUpgradesAndRequestsOfOneAddressAreLimited(t *testing.T) {
	t.Parallel()
	f := limited(t, edge.Limits{Settings: limit.Settings{AddressUpgrades: 0.001, AddressRequests: 0.001}})
	f.wantRaw("first upgrade", upgradeHead+"\r\n", 101)
	f.wantRaw("second upgrade", upgradeHead+"\r\n", 429)
	f.wantRaw("first request", publishHead+"\r\nx", 200)
	f.wantRaw("second request", publishHead+"\r\nx", 429)
	f.wantRaw("the status is for everybody", "GET /__status HTTP/1.1\r\nHost: edge\r\n\r\n", 200)
}

func TestWhatLooksLikeAnUpgradeButIsNoneIsARequest(t *testing.T) {
	t.Parallel()
	f := limited(t, edge.Limits{Settings: limit.Settings{AddressRequests: 0.001}})
	version := strings.Replace(upgradeHead, "/room/1", "/__/version", 1) + "\r\n"
	f.wantRaw("first", version, 200)
	f.wantRaw("second", version, 429)
	f.wantRaw("an upgrade", upgradeHead+"\r\n", 101)
}

func TestMessagesIntoOneGroupAreLimitedOverHTTP(t *testing.T) {
	t.Parallel()
	f := limited(t, edge.Limits{Settings: limit.Settings{GroupMessages: 0.001}})
	f.wantRaw("first", publishHead+"\r\nx", 200)
	f.wantRaw("second", publishHead+"\r\nx", 429)
	f.wantRaw("another group", strings.Replace(publishHead, "/room/1", "/room/2", 1)+"\r\nx", 200)
}

func TestWhoSendsTooFastIsToldAndThenDisconnected(t *testing.T) {
	t.Parallel()
	f := limited(t, edge.Limits{Settings: limit.Settings{ConnectionMessages: 0.5}}) // one at once
	c, other := f.join("/room/1"), f.join("/room/1")
	c.send(websocket.TextMessage, data)
	c.want(websocket.TextMessage, ack)
	other.want(websocket.TextMessage, data)
	c.send(websocket.TextMessage, data)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	var after int
	_, refusal, err := c.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := fmt.Sscanf(string(refusal), `{"type":1,"command":7,"uuid":"u1","body":{"data":{"code":429,"msg":"too many messages","retryAfter":%d}}}`, &after); n != 1 ||
		after < 1 || after > 2001 {
		t.Fatalf("got %s (%v), want code 429 and when to come again within 2 s", refusal, err)
	}
	for range 200 {
		if c.WriteMessage(websocket.TextMessage, []byte("low")) != nil {
			break
		}
	}
	for {
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, _, err = c.ReadMessage(); err != nil {
			break
		}
	}
	if !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
		t.Errorf("a client that keeps flooding: the connection ended with %v, want close 1008", err)
	}
	other.send(websocket.TextMessage, strings.Replace(data, "u1", "u2", 1))
	other.want(websocket.TextMessage, strings.Replace(ack, "u1", "u2", 1)) // and got nothing of the flood
}

func TestClientsBehindATrustedProxyAreToldApart(t *testing.T) {
	t.Parallel()
	l := edge.Limits{Settings: limit.Settings{AddressUpgrades: 0.001}}
	spoof := func(a string) string { return upgradeHead + "X-Forwarded-For: " + a + "\r\n\r\n" }
	f := limited(t, l)
	f.wantRaw("nobody is trusted", spoof("203.0.113.1"), 101)
	f.wantRaw("a made-up address", spoof("203.0.113.2"), 429)

	l.TrustedProxies = "127.0.0.0/8"
	f = limited(t, l)
	f.wantRaw("first client", spoof("203.0.113.1"), 101)
	f.wantRaw("second client", spoof("203.0.113.2"), 101)
	f.wantRaw("first client, again", spoof("1.1.1.1, 203.0.113.1"), 429)
}

func TestThePROXYProtocolIsForTrustedProxies(t *testing.T) {
	t.Parallel()
	const v1a, v1b = "PROXY TCP4 203.0.113.1 127.0.0.1 4711 80\r\n", "PROXY TCP4 203.0.113.2 127.0.0.1 4711 80\r\n"
	v2a := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + "\xcb\x00\x71\x01\x7f\x00\x00\x01\x12\x67\x00\x50"
	l := edge.Limits{Settings: limit.Settings{AddressUpgrades: 0.001}, ProxyProtocol: true, TrustedProxies: "127.0.0.1"}
	f := limited(t, l)
	f.wantRaw("version 1", v1a+upgradeHead+"\r\n", 101)
	f.wantRaw("version 2, the same client", v2a+upgradeHead+"\r\n", 429)
	f.wantRaw("another client", v1b+upgradeHead+"\r\n", 101)
	f.wantRaw("no header, as of a health check", "GET /__status HTTP/1.1\r\nHost: edge\r\n\r\n", 200)

	// Clients in the proxies' network: everybody's, where all come over Docker's.
	l.TrustedProxies = "127.0.0.1,203.0.113.0/24"
	f = limited(t, l)
	f.wantRaw("a client", v1a+upgradeHead+"X-Forwarded-For: 1.1.1.1\r\n\r\n", 101)
	f.wantRaw("the client, with another name", v1a+upgradeHead+"X-Forwarded-For: 2.2.2.2\r\n\r\n", 429)
	f.wantRaw("the client, with another name", v1a+upgradeHead+"Forwarded: for=3.3.3.3\r\n\r\n", 429)

	l.TrustedProxies = "192.0.2.1"
	limited(t, l).wantRaw("a stranger's header", v1a+upgradeHead+"\r\n", 400)
}

func TestLargeHeadersAreRefused(t *testing.T) {
	t.Parallel()
	f, _ := startBoth(t)
	f.wantRaw("64 KiB of headers", upgradeHead+"X: "+strings.Repeat("x", 64<<10)+"\r\n\r\n", 431)
}

// slow dials an edge in the bubble, sends the beginning of a request, and returns
// how long the edge waits for the rest.
func slow(t *testing.T, beginning string) time.Duration {
	t.Helper()
	ln := bufconn.Listen(1 << 20)
	cfg := config(newHistorysvc().start(t))
	cfg.Listener = ln
	f := start(t, cfg)
	conn, err := ln.DialContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, beginning); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	_, _ = io.Copy(io.Discard, conn) // until the edge gives it up
	took := time.Since(begin)
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	return took
}

func TestSlowRequestsAreGivenUp(t *testing.T) {
	for _, tt := range []struct {
		name, beginning string
		most            time.Duration
	}{
		{"nothing at all", "", 11 * time.Second},
		{"half of a header", "GET / HTTP/1.1\r\nHost: edge\r\nX: ", 11 * time.Second},
		{"half of a body", "POST /room/1 HTTP/1.1\r\nHost: edge\r\nContent-Length: 100\r\n\r\nhalf", 16 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			if took := slow(t, tt.beginning); took > tt.most {
				t.Errorf("%s: given up after %v, want at most %v", tt.name, took, tt.most)
			}
		})
	}
}

func TestCompressionIsNotNegotiated(t *testing.T) {
	t.Parallel()
	f, _ := startBoth(t)
	r := f.raw(upgradeHead + "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n")
	if r.StatusCode != http.StatusSwitchingProtocols || r.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Errorf("%s with extensions %q, want 101 with none: a small message could unpack to a large one", r.Status, r.Header.Get("Sec-WebSocket-Extensions"))
	}
	// A body that says it is compressed is refused, not unpacked.
	f.wantRaw("a compressed body", "POST /room/1 HTTP/1.1\r\nHost: edge\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08", 415)
}

func TestLimitsAreChecked(t *testing.T) {
	t.Parallel()
	for want, l := range map[string]edge.Limits{
		"-limit-user-messages: negative":        {Settings: limit.Settings{UserMessages: -1}},
		"-trusted-proxies: \"10.0.0.0/99\"":     {TrustedProxies: "10.0.0.0/99"},
		"-proxy-protocol needs -trusted-proxie": {ProxyProtocol: true},
	} {
		cfg := config()
		cfg.Limits = l
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want one with %q", l, err, want)
		}
	}
}
