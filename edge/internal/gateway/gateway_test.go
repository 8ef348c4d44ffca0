package gateway

import (
	"bufio"
	"context"
	"fmt"
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
	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	adminv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/admin/v1"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/header"
)

// historyService answers as the test says.
type historyService struct {
	adminService
	historyv1.UnimplementedHistoryServiceServer
	relayv1.UnimplementedRelayServiceServer
	page   func(context.Context, *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error)
	recall func(context.Context, *relayv1.RecallRequest) (*relayv1.RecallResponse, error)
	ttl    func(context.Context, *historyv1.SetTTLRequest) (*historyv1.SetTTLResponse, error)
	groups func(context.Context, *historyv1.ListGroupsRequest) (*historyv1.ListGroupsResponse, error)
}

func (s *historyService) GetHistory(ctx context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
	return s.page(ctx, r)
}

func (s *historyService) Recall(ctx context.Context, r *relayv1.RecallRequest) (*relayv1.RecallResponse, error) {
	return s.recall(ctx, r)
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
	// Instead of result, for each; may be nil.
	answer func(*relay.Publication) relay.Result
	// How many were published at once.
	batches []int
	// Groups whose upgrade was asked for.
	upgraded []group.Name
	// What streams and long polls were asked for.
	streamed []string
}

func newRig(tb testing.TB, opts Options) *rig {
	tb.Helper()
	return newRigFor(tb, opts, access.Config{})
}

// newRigFor has callers who must say who they are, as rights says.
func newRigFor(tb testing.TB, opts Options, rights access.Config) *rig {
	tb.Helper()
	rig := &rig{t: tb, history: &historyService{}, budget: plenty(), result: relay.Result{Outcome: relay.Accepted, Seq: 1}}
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
		Config: func(g group.Name) groupsettings.Explanation {
			var none *groupsettings.File
			return none.Explain(g, "h:4998", func(*groupsettings.Entry) []groupsettings.Value {
				return []groupsettings.Value{{Name: "hooks", Value: "none", From: groupsettings.FromDefault}}
			})
		},
		Streams: rig,
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
func (r *rig) Publish(batch ...*relay.Publication) {
	r.batches = append(r.batches, len(batch))
	for _, p := range batch {
		r.published = append(r.published, p)
		result := r.result
		if r.answer != nil {
			result = r.answer(p)
		}
		p.End(result)
	}
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

// ServeGroup implements Streams.
func (r *rig) ServeGroup(w http.ResponseWriter, _ *http.Request, _ *access.Identity, g group.Name, from string, last header.Integer) {
	r.streamed = append(r.streamed, fmt.Sprintf("%s %q %v", g, from, last))
	w.Header().Set("Content-Type", "text/event-stream")
}

// ServeGroups implements Streams.
func (r *rig) ServeGroups(w http.ResponseWriter, _ *http.Request, _ *access.Identity, body []byte) {
	r.streamed = append(r.streamed, string(body))
	w.Header().Set("Content-Type", "text/event-stream")
}

// ServePoll implements Streams.
func (r *rig) ServePoll(w http.ResponseWriter, _ *http.Request, _ *access.Identity, g group.Name, from string, wait time.Duration) {
	r.streamed = append(r.streamed, fmt.Sprintf("%s %q %v", g, from, wait))
	httpjson.Write(w, http.StatusOK, []byte(`{"code":200,"events":[],"pos":"p"}`))
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
func serve(tb testing.TB, s historyv1.HistoryServiceServer, also ...func(*grpc.Server)) *grpc.ClientConn {
	tb.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	historyv1.RegisterHistoryServiceServer(server, s)
	if r, ok := s.(relayv1.RelayServiceServer); ok {
		relayv1.RegisterRelayServiceServer(server, r)
	}
	if admin, ok := s.(adminv1.AdminServiceServer); ok {
		adminv1.RegisterAdminServiceServer(server, admin)
	}
	for _, register := range also {
		register(server)
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
