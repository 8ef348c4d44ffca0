package verify

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestStreamsPassThroughProxies streams events, and polls for them, through the proxies of
// docs/howto/behind-a-proxy.md: each event comes before the next one is published.
func TestStreamsPassThroughProxies(t *testing.T) {
	sections := readProxyPage(t)
	http2 := replacements(sections["Event streams"])
	if len(http2) != 2 {
		t.Fatalf("the page has for HTTP/2 %q", http2)
	}
	const bufferingOff = "proxy_http_version 1.1;\n        proxy_buffering off;"
	for name, tt := range map[string]struct {
		title, tool string
		major       int
		replace     []string
	}{
		"nginx":                     {"nginx", "nginx", 1, nil},
		"nginx, HTTP/2":             {"nginx", "nginx", 2, http2["nginx"]},
		"nginx, unbuffered":         {"nginx", "nginx", 1, []string{"proxy_http_version 1.1;", bufferingOff}},
		"nginx, HTTP/2, unbuffered": {"nginx", "nginx", 2, append([]string{"proxy_http_version 1.1;", bufferingOff}, http2["nginx"]...)},
		"HAProxy":                   {"HAProxy", "haproxy", 1, nil},
		"HAProxy, HTTP/2":           {"HAProxy", "haproxy", 2, http2["HAProxy"]},
		"HAProxy, PROXY protocol":   {"HAProxy with the PROXY protocol", "haproxy", 1, nil},
		"Caddy":                     {"Caddy", "caddy", 1, nil},
		"Caddy, HTTP/2":             {"Caddy", "caddy", 2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			need(t, tt.tool)
			text, flags := block.FindStringSubmatch(sections[tt.title])[2], edgeFlags.FindStringSubmatch(sections[tt.title])
			for from := range slices.Chunk(tt.replace, 2) {
				text = replaceOnce(t, text, from[0], from[1])
			}
			edge, front := unused(t), unused(t)
			startServer(t, edge, "/__status", strings.Fields(flags[1])...)
			startProxy(t, tt.tool, replaceOnce(t, text, "127.0.0.1:4998", edge), "", front, "")
			followEvents(t, "https://"+front, tt.major)
		})
	}
}

// sseEvent is an event of a stream, or of a long poll.
type sseEvent struct{ On, Pos, Packet string }

// followEvents streams a group over that version of HTTP, and polls for its events.
func followEvents(t *testing.T, base string, major int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: major == 2}
	defer transport.CloseIdleConnections()
	send := func(method, target, body string, header http.Header) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, method, base+target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(r.Header, header)
		answer, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = answer.Body.Close() })
		if answer.ProtoMajor != major || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %s %s, want HTTP/%d and 200", method, target, answer.Proto, answer.Status, major)
		}
		return answer
	}
	const group = "/\u623f//a/b/"
	path := "/" + url.PathEscape("\u623f") + "//a%2Fb/"
	publish := func(packet string) { _, _ = io.Copy(io.Discard, send("POST", path, packet, nil).Body) }
	stream := func(method, target, body string, header http.Header) (next func() sseEvent) {
		t.Helper()
		lines := bufio.NewScanner(send(method, target, body, header).Body)
		return func() sseEvent {
			t.Helper()
			var one sseEvent
			for lines.Scan() {
				if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
					if err := json.Unmarshal([]byte(data), &one); err != nil {
						t.Fatal(err)
					}
					return one
				}
			}
			t.Fatalf("the stream ended: %v", lines.Err())
			return one
		}
	}
	one := stream("GET", path, "", http.Header{"Accept": {"text/event-stream"}})
	many := stream("POST", "/__/events", `{"do":"join","group":"`+group+`","id":1}`, nil)
	at := one() // the answer
	many()
	one() // live
	many()
	for _, packet := range []string{`{"type":2,"uuid":"1"}`, `{"type":2,"uuid":"2"}`} {
		publish(packet)
		for _, next := range []func() sseEvent{one, many} {
			if got := next(); got.On != "message" || got.Packet != packet {
				t.Fatalf("the stream has %+v, want the message %s", got, packet)
			}
		}
	}
	query := "/__/events?wait=20&groupName=" + url.QueryEscape(group) + "&from="
	poll := func(at string) (p struct {
		Events []sseEvent
		Pos    string
	},
	) {
		t.Helper()
		if err := json.NewDecoder(send("GET", query+at, "", nil).Body).Decode(&p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	two := poll(at.Pos)
	if len(two.Events) != 2 || two.Events[1].Packet != `{"type":2,"uuid":"2"}` {
		t.Errorf("the poll has %+v, want two messages", two)
	}
	go func() {
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, base+path, strings.NewReader(`{"type":2,"uuid":"3"}`))
		if answer, err := transport.RoundTrip(r); err == nil {
			_ = answer.Body.Close()
		}
	}()
	if waited := poll(two.Pos); len(waited.Events) != 1 {
		t.Errorf("the poll that waited has %+v, want a message", waited)
	}
}
