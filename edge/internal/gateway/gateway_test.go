package gateway

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/caller"
	"github.com/gotapi/gotapi-ws/edge/internal/console"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	adminv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/admin/v1"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// historyService answers as the test says.
type historyService struct {
	adminService
	historyv1.UnimplementedHistoryServiceServer
	page   func(context.Context, *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error)
	cancel func(context.Context, *historyv1.CancelRequest) (*historyv1.CancelResponse, error)
	ttl    func(context.Context, *historyv1.SetTTLRequest) (*historyv1.SetTTLResponse, error)
	groups func(context.Context, *historyv1.ListGroupsRequest) (*historyv1.ListGroupsResponse, error)
}

func (s *historyService) GetHistory(ctx context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
	return s.page(ctx, r)
}

func (s *historyService) Cancel(ctx context.Context, r *historyv1.CancelRequest) (*historyv1.CancelResponse, error) {
	return s.cancel(ctx, r)
}

func (s *historyService) SetTTL(ctx context.Context, r *historyv1.SetTTLRequest) (*historyv1.SetTTLResponse, error) {
	return s.ttl(ctx, r)
}

func (s *historyService) ListGroups(ctx context.Context, r *historyv1.ListGroupsRequest) (*historyv1.ListGroupsResponse, error) {
	return s.groups(ctx, r)
}

// rig is a Handler behind a real HTTP server.
type rig struct {
	t       testing.TB
	address string
	handler http.Handler
	history *historyService
	budget  *limit.Budget
	// What was published, and what it is answered with.
	published []*relay.Publication
	result    relay.Result
	// Groups whose upgrade was asked for.
	upgraded []group.Name
}

func newRig(tb testing.TB, opts Options) *rig {
	tb.Helper()
	return newRigFor(tb, opts, access.Config{})
}

// newRigFor has callers who must say who they are, as rights says.
func newRigFor(tb testing.TB, opts Options, rights access.Config) *rig {
	tb.Helper()
	rig := &rig{t: tb, history: &historyService{}, budget: plenty(), result: relay.Result{Outcome: relay.Accepted}}
	if opts.MaxMessageBytes == 0 {
		opts.MaxMessageBytes = 1000
	}
	pages, err := console.New("", func() console.Figures { return console.Figures{} })
	if err != nil {
		tb.Fatal(err)
	}
	h, err := New(tb.Context(), Backends{
		Publisher: rig,
		Budget:    rig.budget,
		History:   NewForwarder(serve(tb, rig.history)),
		Console:   pages,
		Callers:   newCallers(tb, rights),
		Sockets:   rig,
		Services: func(context.Context) ([]byte, error) {
			return []byte(`{"code":200,"edge":{"id":"1","version":"v1","commit":"c0ffee"},"services":[]}`), nil
		},
		Processes: func(context.Context) Processes {
			return Processes{
				Connected: true, Services: []ServiceProcess{},
				Edges: []EdgeProcess{{ID: "1", Host: "h:4998", Version: "v1", Commit: "c0ffee"}},
			}
		},
	}, opts, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewServer(h)
	tb.Cleanup(server.Close)
	rig.handler = h
	rig.address = server.Listener.Addr().String()
	return rig
}

// secrets are those of Options.
func secrets(texts ...string) (all [][]byte) {
	for _, text := range texts {
		all = append(all, []byte(text))
	}
	return all
}

// plenty is a budget that no test uses up unawares.
func plenty() *limit.Budget { return limit.NewBudget(1<<40, prometheus.NewRegistry()) }

// Publish implements Publisher.
func (r *rig) Publish(p *relay.Publication) {
	r.published = append(r.published, p)
	p.End(r.result)
}

// ServeV2 implements Sockets.
func (r *rig) ServeV2(w http.ResponseWriter, _ *http.Request, _ *access.Identity) {
	r.upgraded = append(r.upgraded, v2Path)
	w.WriteHeader(http.StatusSwitchingProtocols)
}

// ServeHTTP implements Sockets.
func (r *rig) ServeHTTP(w http.ResponseWriter, _ *http.Request, g group.Name, _ *access.Identity) {
	r.upgraded = append(r.upgraded, g)
	w.WriteHeader(http.StatusTeapot) // known from what the Handler itself says
}

func newCallers(tb testing.TB, cfg access.Config) *caller.Callers {
	tb.Helper()
	authorizer, err := access.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	return caller.New(authorizer, Origins(nil))
}

// serve puts s behind a connection in memory.
func serve(tb testing.TB, s historyv1.HistoryServiceServer) *grpc.ClientConn {
	tb.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	historyv1.RegisterHistoryServiceServer(server, s)
	if admin, ok := s.(adminv1.AdminServiceServer); ok {
		adminv1.RegisterAdminServiceServer(server, admin)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///history",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		<-done
	})
	return conn
}

type answer struct {
	code   int
	header http.Header
	body   string
}

// do sends a request whose target is exactly that; headers are "Name: value".
func (r *rig) do(method, target, body string, headers ...string) answer {
	r.t.Helper()
	request := method + " " + target + " HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n"
	for _, h := range headers {
		if strings.HasPrefix(h, "Connection:") {
			request = strings.Replace(request, "Connection: close\r\n", "", 1)
		}
		request += h + "\r\n"
	}
	if body != "" {
		request += "Content-Length: " + itoa(len(body)) + "\r\n"
	}
	return r.raw(method, request+"\r\n"+body)
}

// raw sends those bytes.
func (r *rig) raw(method, request string) answer {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	// The server may answer, and hang up, before it has read everything.
	go func() { _, _ = io.WriteString(conn, request) }()
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		r.t.Fatalf("%s: %v", strings.SplitN(request, "\r\n", 2)[0], err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

func itoa(n int) string { return string(appendInt(nil, int32(n))) }

const form = "Content-Type: application/x-www-form-urlencoded"
