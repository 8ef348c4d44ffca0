package edge_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/gotapi/gotapi-ws/edge"
)

const (
	data = `{"type":2,"uuid":"u1","body":{"hash":"h","data":"hello world","sent":false}}`
	ack  = `{"type":1,"command":1,"uuid":"u1"}`
)

// config is the default one but for a free port and a fast end.
func config(dial ...grpc.DialOption) edge.Config {
	var cfg edge.Config
	cfg.RegisterFlags(flag.NewFlagSet("edge", flag.ContinueOnError))
	cfg.Listen = "127.0.0.1:0"
	cfg.History = "passthrough:///historysvc"
	cfg.DialOptions = dial
	cfg.Drain = 50 * time.Millisecond
	return cfg
}

// runningEdge is an edge that runs.
type runningEdge struct {
	t    *testing.T
	addr string
	// Ends Run and returns its error.
	stop func() error
}

func start(t *testing.T, cfg edge.Config) *runningEdge {
	t.Helper()
	return startLogging(t, cfg, slog.New(slog.DiscardHandler))
}

func startLogging(t *testing.T, cfg edge.Config, log *slog.Logger) *runningEdge {
	t.Helper()
	ready := make(chan net.Addr, 1)
	cfg.OnReady = func(addr net.Addr) { ready <- addr }
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- edge.Run(ctx, cfg, log, prometheus.NewRegistry()) }()
	stopped := false
	f := &runningEdge{t: t, stop: func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}}
	t.Cleanup(func() {
		if err := f.stop(); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	select {
	case addr := <-ready:
		f.addr = addr.String()
	case err := <-ended:
		t.Fatalf("Run ended at once: %v", err)
	}
	return f
}

// startBoth starts an edge with a history service of its own.
func startBoth(t *testing.T) (*runningEdge, *historysvc) {
	t.Helper()
	svc := newHistorysvc()
	return start(t, config(svc.start(t))), svc
}

func (f *runningEdge) post(path, body string) (code int, answer string) {
	f.t.Helper()
	r, err := http.Post("http://"+f.addr+path, "application/x-www-form-urlencoded", strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func (f *runningEdge) wantPost(path, body string, code int, want string) {
	f.t.Helper()
	if got, answer := f.post(path, body); got != code || answer != want {
		f.t.Errorf("POST %s %s: got %d %s, want %d %s", path, body, got, answer, code, want)
	}
}

// client is a WebSocket.
type client struct {
	t *testing.T
	*websocket.Conn
}

// dial returns the answer that stood in place of the upgrade.
func dial(d *websocket.Dialer, url string, h http.Header) (c *websocket.Conn, refusal answer, err error) {
	c, r, err := d.Dial(url, h)
	if err != nil && r != nil {
		refusal = answer{r.StatusCode, r.Header.Get("Content-Type")}
	}
	return c, refusal, err
}

type answer struct {
	code        int
	contentType string
}

func (f *runningEdge) join(path string) *client {
	f.t.Helper()
	c, refusal, err := dial(websocket.DefaultDialer, "ws://"+f.addr+path, nil)
	if err != nil {
		f.t.Fatalf("joining %s: %v %+v", path, err, refusal)
	}
	f.t.Cleanup(func() { _ = c.Close() })
	return &client{f.t, c}
}

func (c *client) send(kind int, text string) {
	c.t.Helper()
	if err := c.WriteMessage(kind, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// want reads the next messages.
func (c *client) want(kind int, texts ...string) {
	c.t.Helper()
	for _, want := range texts {
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		gotKind, got, err := c.ReadMessage()
		if err != nil {
			c.t.Fatalf("waiting for %s: %v", want, err)
		}
		if string(got) != want || gotKind != kind {
			c.t.Fatalf("got message %s (%d), want %s (%d)", got, gotKind, want, kind)
		}
	}
}

// wantClose reads the end.
func (c *client) wantClose(code int) {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, got, err := c.ReadMessage()
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != code {
		c.t.Fatalf("got message %q, error %v, want close %d", got, err, code)
	}
}

func TestPublishReadAndRecallOverHTTP(t *testing.T) {
	t.Parallel()
	f, _ := startBoth(t)
	f.wantPost("/room/9527/", data, 200, `{"code":200,"group":"/room/9527/","stored":true,"uuid":"u1","duplicate":false}`)
	f.wantPost("/room/9527/", data, 200, `{"code":200,"group":"/room/9527/","stored":true,"uuid":"u1","duplicate":true}`)
	f.wantPost("/room/9527/", "hello", 200, `{"code":200,"group":"/room/9527/","stored":false}`)
	_, page := f.post("/__/history", "groupName=/room/9527/&position=-50&size=50")
	if diff := cmp.Diff([]any{data}, field(page, "data")); diff != "" || field(page, "position") != -50.0 {
		t.Errorf("page %s, data -want +got:\n%s", page, diff)
	}
	f.wantPost("/__/cancel", "groupName=/room/9527/&uuid=u1", 200, `{"code":200,"msg":"recalled"}`)
	f.wantPost("/__/cancel", "groupName=/room/9527/&uuid=other", 404, `{"code":404,"msg":"no such message"}`)
	f.wantPost("/__/history/", "groupName=/room/9527/", 200, `{"code":200,"position":0,"msg":"","data":[]}`)
	f.wantPost("/__status", "", 200, "status ok!")
}

func TestTwoMembersTalk(t *testing.T) {
	t.Parallel()
	f, svc := startBoth(t)
	a, b, elsewhere := f.join("/room/1"), f.join("/room/1"), f.join("/room/1/")
	a.send(websocket.TextMessage, "low-level")
	b.want(websocket.TextMessage, "low-level")
	a.send(websocket.BinaryMessage, "\xff\x00")
	b.want(websocket.BinaryMessage, "\xff\x00")
	a.send(websocket.TextMessage, data)
	a.want(websocket.TextMessage, ack)
	b.want(websocket.TextMessage, data)
	f.wantPost("/room/1", "over HTTP", 200, `{"code":200,"group":"/room/1","stored":false}`)
	a.want(websocket.TextMessage, "over HTTP")
	b.want(websocket.TextMessage, "over HTTP")
	f.wantPost("/__/cancel", "groupName=/room/1&uuid=u1", 200, `{"code":200,"msg":"recalled"}`)
	recall := `{"type":1,"command":6,"uuid":"u1"}`
	a.want(websocket.TextMessage, recall)
	b.want(websocket.TextMessage, recall)
	f.wantPost("/room/1/", "elsewhere", 200, `{"code":200,"group":"/room/1/","stored":false}`)
	elsewhere.want(websocket.TextMessage, "elsewhere") // and nothing before it

	eventually(t, "the members are reported", func() bool { return svc.reported("/room/1") == 2 && svc.reported("/room/1/") == 1 })
	_ = b.Close()
	eventually(t, "the members that are left are reported", func() bool { return svc.reported("/room/1") == 1 })
}

func TestQueryOverASocket(t *testing.T) {
	t.Parallel()
	f, _ := startBoth(t)
	f.post("/a", data)
	a := f.join("/a")
	a.send(websocket.TextMessage, `{"type":1,"command":2,"uuid":"q","pullargs":{"offset":0,"size":50}}`)
	a.want(websocket.TextMessage, `{"type":1,"command":2,"uuid":"q","body":{"data":{"position":0,"data":[`+
		`"{\"type\":2,\"uuid\":\"u1\",\"body\":{\"hash\":\"h\",\"data\":\"hello world\",\"sent\":false}}"]}}}`)
}

func TestMembersMissNothingWhenStreamsBreak(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]error{"a service that drains": nil, "a service that is killed": errors.New("killed")} {
		t.Run(name, func(t *testing.T) {
			f, svc := startBoth(t)
			a, b := f.join("/a"), f.join("/a")
			const n = 30
			sent, acks := make([]string, 0, n), make([]string, 0, n)
			for i := range n {
				text := fmt.Sprintf(`{"type":2,"uuid":"%d","body":{}}`, i)
				a.send(websocket.TextMessage, text)
				sent = append(sent, text)
				acks = append(acks, fmt.Sprintf(`{"type":1,"command":1,"uuid":"%d"}`, i))
				if i%10 == 5 {
					svc.breakStreams(cause)
				}
			}
			b.want(websocket.TextMessage, sent...)
			a.want(websocket.TextMessage, acks...)
		})
	}
}

func TestWithoutHistoryServiceEverythingIsRefusedUntilThereIsOne(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	_ = listener.Close()
	cfg := config()
	cfg.History = addr
	cfg.PublishTimeout = 200 * time.Millisecond
	f := start(t, cfg)

	if code, answer := f.post("/a", data); code != 503 {
		t.Errorf("publish: got %d %s, want 503", code, answer)
	}
	began := time.Now()
	_, refusal, err := dial(websocket.DefaultDialer, "ws://"+f.addr+"/a", nil)
	if want := (answer{http.StatusServiceUnavailable, "application/json"}); err == nil || refusal != want {
		t.Errorf("upgrade: got %+v, %v, want %+v", refusal, err, want)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the upgrade was refused after %v, want about 2 s", took)
	}

	listener, err = net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	newHistorysvc().serve(t, listener)
	eventually(t, "publishes are stored again", func() bool { code, _ := f.post("/a", data); return code == 200 })
	f.join("/a")
}

func TestStopAnswersWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	f, svc := startBoth(t)
	a, b := f.join("/a"), f.join("/a")
	svc.stall()
	a.send(websocket.TextMessage, data)
	eventually(t, "the publish has reached the service", func() bool {
		svc.mu.Lock()
		defer svc.mu.Unlock()
		return len(svc.waiting) == 1
	})
	stopped := make(chan error)
	go func() { stopped <- f.stop() }()
	b.wantClose(websocket.CloseGoingAway) // it waits for nothing
	svc.resume()
	a.want(websocket.TextMessage, ack)
	a.wantClose(websocket.CloseGoingAway)
	if err := <-stopped; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if c, err := net.Dial("tcp", f.addr); err == nil {
		_ = c.Close()
		t.Error("it still listens")
	}
}

func TestAdminEndpoints(t *testing.T) {
	t.Parallel()
	svc := newHistorysvc()
	cfg := config(svc.start(t))
	cfg.AdminSecretFile = write(t, "secret", "s3cret\n")
	f := start(t, cfg)
	f.wantPost("/__/ttl", "groupName=/a&ttl=60&secret=s3cret", 200, `{"code":200,"msg":"set"}`)
	f.wantPost("/__/ttl", "groupName=/a&ttl=60&secret=other", 403, `{"code":403,"msg":"the admin secret is wrong"}`)
	f.join("/room/1")
	eventually(t, "the group is listed", func() bool { return f.get("/__/groups?secret=s3cret") == "/room/1\n" })
}

func TestAdministratorsSeeWhichProgramsWorkTogether(t *testing.T) {
	t.Parallel()
	svc := newHistorysvc()
	cfg := config(svc.start(t))
	cfg.AdminSecretFile = write(t, "secret", "s3cret\n")
	f := start(t, cfg)
	if code, answer := f.getCode("/__/services"); code != 401 {
		t.Errorf("without the secret: got %d %s, want 401", code, answer)
	}
	const want = `"services":[{"address":"historysvc","version":"v7.8.9","commit":"c0ffee","silent":false,"mine":true,"streams":1,` +
		`"edges":[{"id":"2a","version":"v7.6.0","commit":""}]}]}`
	eventually(t, "the history service is listed", func() bool {
		code, answer := f.getCode("/__/services?secret=s3cret")
		return code == 200 && strings.HasPrefix(answer, `{"code":200,"edge":{"id":"`) && strings.HasSuffix(answer, want)
	})
}

// TestStatusIsAboutAllProcesses also when no history service has its store, or none is
// there.
func TestStatusIsAboutAllProcesses(t *testing.T) {
	t.Parallel()
	svc := newHistorysvc()
	cfg := config(svc.start(t))
	cfg.AdminSecretFile = write(t, "secret", "s3cret\n")
	f := start(t, cfg)
	shows := func(what string, texts ...string) {
		t.Helper()
		eventually(t, what, func() bool {
			code, answer := f.getCode("/__/status?secret=s3cret")
			for _, text := range texts {
				if code != 200 || strings.Count(answer, text) != 1 {
					return false
				}
			}
			return true
		})
	}
	const (
		others = `{"name":"GotapiEdgeBudgetFull","text":"edge e:4998: full"},{"name":"GotapiFileDescriptors","text":"history service h:5998: few"}`
		apart  = `{"name":"GotapiVersionsDiffer","text":"edge e:4998 runs v7.6.0 and history service h:5998 runs v7.8.9, `
	)
	shows("all are listed", `"services":[{"address":"historysvc","host":"h:5998","version":"v7.8.9","commit":"c0ffee","silent":false,"streams":1}]`,
		`{"id":"2a","host":"e:4998","version":"v7.6.0","commit":"","members":3,"groups":2}`,
		`{"id":"77","host":"","version":"","commit":"","members":1,"groups":1}`,
		`"alarms":[`+others+`,`+apart)
	svc.mu.Lock()
	svc.away = true
	svc.mu.Unlock()
	shows("the store is down", `"store":{"kind":"",`, `{"name":"GotapiRedisDown","text":"no history service is ready`, others)
	svc.refuse(true)
	svc.breakStreams(errors.New("gone"))
	shows("there is no stream", `{"name":"GotapiEdgeWithoutHistory","text":"edge `, `"services":[]`)
}

// Each line of it opened the admin endpoints.
func TestAnAdminSecretThatIsNotTextIsOne(t *testing.T) {
	t.Parallel()
	svc := newHistorysvc()
	cfg := config(svc.start(t))
	cfg.AdminSecretFile = write(t, "secret", "\x00bin\nary")
	f := start(t, cfg)
	f.wantPost("/__/ttl", "groupName=/a&ttl=60&secret=ary", 403, `{"code":403,"msg":"the admin secret is wrong"}`)
	f.wantPost("/__/ttl", "groupName=/a&ttl=60&secret=%00bin%0Aary", 200, `{"code":200,"msg":"set"}`)
}

func TestOriginsHoldForSocketsToo(t *testing.T) {
	t.Parallel()
	svc := newHistorysvc()
	cfg := config(svc.start(t))
	cfg.AllowedOrigins = "https://a.example, https://*.b.example"
	f := start(t, cfg)
	for origin, ok := range map[string]bool{
		"https://a.example": true, "https://x.b.example": true, "https://c.example": false,
		"http://" + f.addr: true, "https://" + f.addr: true, // the pages of the edge itself
		"http://" + f.addr + "0": false, f.addr: false, "http://c.example/" + f.addr: false, "null": false,
	} {
		c, _, err := dial(websocket.DefaultDialer, "ws://"+f.addr+"/a", http.Header{"Origin": {origin}})
		if (err == nil) != ok {
			t.Errorf("origin %s: got error %v, want allowed %v", origin, err, ok)
		}
		if err == nil {
			_ = c.Close()
		}
	}
}

// eventually polls a condition that must come true.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
