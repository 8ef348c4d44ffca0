package historysvc_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/gotapi/gotapi-ws/access/grpcstatus"
	"github.com/gotapi/gotapi-ws/historysvc"
	adminv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/admin/v1"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

const room = "/room/9527/"

// service is a running history service and a connection to it.
type service struct {
	history historyv1.HistoryServiceClient
	admin   adminv1.AdminServiceClient
	relay   relayv1.RelayServiceClient
	health  healthv1.HealthClient
	redis   *miniredis.Miniredis
	metrics *prometheus.Registry
	// stop ends Run; done gets its error.
	stop context.CancelFunc
	done chan error
}

func settings(t *testing.T, args ...string) historysvc.Config {
	t.Helper()
	var cfg historysvc.Config
	fs := flag.NewFlagSet("historysvc", flag.ContinueOnError)
	cfg.RegisterFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatalf("settings: %v", err)
	}
	return cfg
}

// start runs a service on port 0 over an imitation of Redis.
func start(t *testing.T) *service {
	t.Helper()
	redis := miniredis.RunT(t)
	cfg := settings(t, "-listen", "127.0.0.1:0", "-redis", "redis://"+redis.Addr()+"/0")
	cfg.Embedded = true
	return startWith(t, cfg, redis)
}

func startWith(t *testing.T, cfg historysvc.Config, redis *miniredis.Miniredis) *service {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatalf("settings: %v", err)
	}
	ready := make(chan net.Addr, 1)
	cfg.OnReady = func(addr net.Addr) { ready <- addr }
	ctx, stop := context.WithCancel(context.Background())
	s := &service{redis: redis, metrics: prometheus.NewRegistry(), stop: stop, done: make(chan error, 1)}
	go func() { s.done <- historysvc.Run(ctx, cfg, slog.New(slog.DiscardHandler), s.metrics) }()
	t.Cleanup(func() { s.end(t) })
	select {
	case addr := <-ready:
		s.connect(t, addr.String())
	case err := <-s.done:
		s.done <- nil
		t.Fatalf("start: %v", err)
	}
	return s
}

func (s *service) connect(t *testing.T, target string, opts ...grpc.DialOption) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+target, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	s.history = historyv1.NewHistoryServiceClient(conn)
	s.admin = adminv1.NewAdminServiceClient(conn)
	s.relay = relayv1.NewRelayServiceClient(conn)
	s.health = healthv1.NewHealthClient(conn)
}

// end stops the service and waits for it.
func (s *service) end(t *testing.T) {
	t.Helper()
	s.stop()
	if err := <-s.done; err != nil {
		t.Errorf("Run: %v", err)
	}
	s.done <- nil
}

func data(uuid string) []byte {
	return fmt.Appendf(nil, `{"type":2,"uuid":%q,"body":{"data":"hello"}}`, uuid)
}

func (s *service) publish(t *testing.T, packet []byte) *historyv1.PublishResponse {
	t.Helper()
	resp, err := s.history.Publish(t.Context(), &historyv1.PublishRequest{GroupName: room, Packet: packet})
	if err != nil {
		t.Fatalf("Publish %s: %v", packet, err)
	}
	return resp
}

func (s *service) texts(t *testing.T) []string {
	t.Helper()
	resp, err := s.history.GetHistory(t.Context(), &historyv1.GetHistoryRequest{GroupName: room})
	if err != nil {
		t.Fatalf("GetHistory: %v", err)
	}
	return resp.GetData()
}

func TestMessagesArePublishedReadAndRecalled(t *testing.T) {
	s := start(t)
	first := s.publish(t, data("u1"))
	again := s.publish(t, data("u1"))
	low := s.publish(t, []byte("hello"))
	if !first.GetStored() || first.GetDuplicate() || first.GetUuid() != "u1" || first.GetGroup() != room {
		t.Errorf("first publish: %v", first)
	}
	if !again.GetStored() || !again.GetDuplicate() {
		t.Errorf("second publish: %v", again)
	}
	if low.GetStored() || low.Uuid != nil || low.Duplicate != nil {
		t.Errorf("low-level publish: %v", low)
	}
	s.publish(t, data("u2"))
	if diff := cmp.Diff([]string{string(data("u2")), string(data("u1"))}, s.texts(t)); diff != "" {
		t.Errorf("history, want (-), got (+):\n%s", diff)
	}
	for range 2 {
		if _, err := s.history.Cancel(t.Context(), &historyv1.CancelRequest{GroupName: room, Uuid: "u1"}); err != nil {
			t.Errorf("Cancel: %v", err)
		}
	}
	if diff := cmp.Diff([]string{string(data("u2"))}, s.texts(t)); diff != "" {
		t.Errorf("history after the recall, want (-), got (+):\n%s", diff)
	}
	_, err := s.history.Cancel(t.Context(), &historyv1.CancelRequest{GroupName: room, Uuid: "nobody"})
	if status.Code(err) != codes.NotFound {
		t.Errorf("Cancel of an unknown message: %v, want NotFound", err)
	}
}

// TestStatusNamesTheEdgesAndWhatIsWrong also while the store is down: then it is asked for.
func TestStatusNamesTheEdgesAndWhatIsWrong(t *testing.T) {
	s := start(t)
	e := s.edge(t, 0xab)
	e.send(&relayv1.ConnectRequest{
		Presence: &relayv1.Presence{Full: true, Members: map[string]uint32{room: 3}},
		Health:   &relayv1.Health{Alarms: []*relayv1.Alarm{{Name: "GotapiEdgeBudgetFull", Text: "edge e:4998: full"}}},
	})
	var got *adminv1.GetStatusResponse
	status := func(ok func() bool) {
		t.Helper()
		eventually(t, func() bool {
			var err error
			if got, err = s.admin.GetStatus(t.Context(), &adminv1.GetStatusRequest{}); err != nil {
				t.Fatal(err)
			}
			return ok()
		}, func() string { return got.String() })
	}
	hears := func(name, text string) bool {
		return slices.ContainsFunc(got.GetAlarms(), func(a *adminv1.Alarm) bool {
			return a.GetName() == name && strings.Contains(a.GetText(), text)
		})
	}
	status(func() bool {
		return len(got.GetEdges()) == 1 && got.GetEdges()[0].GetMembers() == 3 && hears("GotapiEdgeBudgetFull", "edge e:4998: full")
	})
	if edge := got.GetEdges()[0]; edge.GetId() != "ab" || edge.GetVersion() != "v9" || edge.GetHost() != "e:4998" || edge.GetCommit() != "c0ffee" {
		t.Errorf("the edge: %v", edge)
	}
	if got.GetStore().GetKind() != "embedded" || hears("GotapiRedisDown", "") || got.GetService().GetHost() == "" {
		t.Errorf("with a store: %v", got)
	}
	s.redis.SetError("LOADING it is down")
	status(func() bool { return hears("GotapiRedisDown", "it is down") })
	if got.GetStore() != nil || len(got.GetEdges()) != 1 || !hears("GotapiEdgeBudgetFull", "") {
		t.Errorf("without a store: %v", got)
	}
	s.redis.SetError("")
	status(func() bool { return got.GetStore() != nil && !hears("GotapiRedisDown", "") })
}

func TestHistoryIsReadInPages(t *testing.T) {
	s := start(t)
	for _, u := range []string{"u1", "u2", "u3", "u4"} {
		s.publish(t, data(u))
	}
	size := int32(2)
	read := func(r *historyv1.GetHistoryRequest) *historyv1.GetHistoryResponse {
		r.GroupName, r.Size = room, &size
		resp, err := s.history.GetHistory(t.Context(), r)
		if err != nil {
			t.Fatalf("GetHistory %v: %v", r, err)
		}
		return resp
	}
	for _, tt := range []struct {
		request *historyv1.GetHistoryRequest
		want    []string
	}{
		{&historyv1.GetHistoryRequest{}, []string{"u4", "u3"}},
		{&historyv1.GetHistoryRequest{Position: 3}, []string{"u1"}},
		{&historyv1.GetHistoryRequest{Position: -2}, []string{"u2", "u1"}},
		{&historyv1.GetHistoryRequest{Before: "u3"}, []string{"u2", "u1"}},
		{&historyv1.GetHistoryRequest{After: "u1"}, []string{"u2", "u3"}},
	} {
		resp := read(tt.request)
		want := make([]string, 0, len(tt.want))
		for _, u := range tt.want {
			want = append(want, string(data(u)))
		}
		if diff := cmp.Diff(want, resp.GetData()); diff != "" {
			t.Errorf("%v: want (-), got (+):\n%s", tt.request, diff)
		}
		if resp.GetPosition() != tt.request.GetPosition() || resp.GetCode() != 200 {
			t.Errorf("%v: answered %v", tt.request, resp)
		}
	}
	if resp := read(&historyv1.GetHistoryRequest{}); resp.GetNext() != 2 {
		t.Errorf("next of the first page: %v, want 2", resp.Next)
	}
}

func TestWatchReplaysAndGoesOn(t *testing.T) {
	s := start(t)
	s.publish(t, data("u1"))
	s.publish(t, data("u2"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch, err := s.history.Watch(ctx, &historyv1.WatchRequest{Groups: []*historyv1.WatchedGroup{
		{GroupName: room, Start: &historyv1.WatchedGroup_AfterUuid{AfterUuid: "u1"}},
		{GroupName: "/other"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]string)
	var last string
	next := func(n int) {
		t.Helper()
		for range n {
			r, err := watch.Recv()
			if err != nil {
				t.Fatalf("Watch: %v", err)
			}
			got[r.GetGroupName()] = append(got[r.GetGroupName()], said(r))
			if r.GetGroupName() == room {
				last = r.GetPosition()
			}
		}
	}
	next(3) // started twice, u2
	s.publish(t, []byte("low"))
	next(1)
	if _, err := s.history.Cancel(t.Context(), &historyv1.CancelRequest{GroupName: room, Uuid: "u1"}); err != nil {
		t.Fatal(err)
	}
	next(1)
	s.publish(t, data("u3"))
	next(1)
	want := map[string][]string{
		room:     {"started", string(data("u2")), "low", "recalled u1", string(data("u3"))},
		"/other": {"started"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("watch, want (-), got (+):\n%s", diff)
	}

	// From the last position on, there is nothing but what comes now.
	watch, err = s.history.Watch(ctx, &historyv1.WatchRequest{Groups: []*historyv1.WatchedGroup{
		{GroupName: room, Start: &historyv1.WatchedGroup_After{After: last}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	clear(got)
	next(1)
	s.publish(t, data("u4"))
	next(1)
	if diff := cmp.Diff(map[string][]string{room: {"started", string(data("u4"))}}, got); diff != "" {
		t.Errorf("second watch, want (-), got (+):\n%s", diff)
	}
}

func said(r *historyv1.WatchResponse) string {
	switch e := r.GetEvent().(type) {
	case *historyv1.WatchResponse_Message:
		return string(e.Message.GetPacket())
	case *historyv1.WatchResponse_Packet:
		return string(e.Packet.GetPacket())
	case *historyv1.WatchResponse_Recalled:
		return "recalled " + e.Recalled.GetUuid()
	case *historyv1.WatchResponse_Started:
		return "started"
	case *historyv1.WatchResponse_Gap:
		return "gap"
	default:
		return "nothing"
	}
}

func TestRequestsAreRefusedWithTheFieldThatIsBad(t *testing.T) {
	s := start(t)
	big := int32(10001)
	watch := func(groups ...*historyv1.WatchedGroup) func() error {
		return func() error {
			w, err := s.history.Watch(t.Context(), &historyv1.WatchRequest{Groups: groups})
			if err == nil {
				_, err = w.Recv()
			}
			return err
		}
	}
	publish := func(group, packet string) func() error {
		return func() error {
			_, err := s.history.Publish(t.Context(), &historyv1.PublishRequest{GroupName: group, Packet: []byte(packet)})
			return err
		}
	}
	history := func(r *historyv1.GetHistoryRequest) func() error {
		return func() error { _, err := s.history.GetHistory(t.Context(), r); return err }
	}
	for _, tt := range []struct {
		name string
		call func() error
		code codes.Code
		text string
	}{
		{"publish to a bad name", publish("room", "x"), codes.InvalidArgument, "group_name"},
		{"publish to the timer", publish("/timer", "x"), codes.PermissionDenied, ""},
		{"publish to the lobby", publish("/", "x"), codes.PermissionDenied, ""},
		{"empty packet", publish(room, ""), codes.InvalidArgument, "packet"},
		{"large packet", publish(room, strings.Repeat("x", 32<<10+1)), codes.InvalidArgument, "packet"},
		{"forged ack", publish(room, `{"type":1,"command":1,"uuid":"u"}`), codes.InvalidArgument, "packet"},
		{"ping", publish(room, `{"type":1,"command":5,"uuid":"u"}`), codes.InvalidArgument, "packet"},
		{"bad uuid", publish(room, `{"type":2,"uuid":"a\u0000b"}`), codes.InvalidArgument, "packet"},
		{"history of a bad name", history(&historyv1.GetHistoryRequest{GroupName: "/a{b"}), codes.InvalidArgument, "group_name"},
		{"history of the timer", history(&historyv1.GetHistoryRequest{GroupName: "/timer"}), codes.InvalidArgument, "group_name"},
		{"size too large", history(&historyv1.GetHistoryRequest{GroupName: room, Size: &big}), codes.InvalidArgument, "size"},
		{"before and after", history(&historyv1.GetHistoryRequest{GroupName: room, Before: "a", After: "b"}), codes.InvalidArgument, "after"},
		{"position and before", history(&historyv1.GetHistoryRequest{GroupName: room, Before: "a", Position: 1}), codes.InvalidArgument, "position"},
		{"unknown before", history(&historyv1.GetHistoryRequest{GroupName: room, Before: "nobody"}), codes.NotFound, ""},
		{"recall without uuid", func() error {
			_, err := s.history.Cancel(t.Context(), &historyv1.CancelRequest{GroupName: room})
			return err
		}, codes.InvalidArgument, "uuid"},
		{"ttl of 0", func() error {
			_, err := s.history.SetTTL(t.Context(), &historyv1.SetTTLRequest{GroupName: room})
			return err
		}, codes.InvalidArgument, "ttl"},
		{"ttl of ages", func() error {
			_, err := s.history.SetTTL(t.Context(), &historyv1.SetTTLRequest{GroupName: room, Ttl: 1 << 62})
			return err
		}, codes.InvalidArgument, "ttl"},
		{"watch of nothing", watch(), codes.InvalidArgument, "groups"},
		{"watch of the timer", watch(&historyv1.WatchedGroup{GroupName: "/timer"}), codes.InvalidArgument, "groups[0].group_name"},
		{"watch of a group twice", watch(&historyv1.WatchedGroup{GroupName: room}, &historyv1.WatchedGroup{GroupName: room}), codes.InvalidArgument, "groups[1].group_name"},
		{"watch of 1001 groups", watch(make([]*historyv1.WatchedGroup, 1001)...), codes.InvalidArgument, "groups"},
		{"read of a bad name", func() error {
			_, err := s.relay.Read(t.Context(), &relayv1.ReadRequest{Group: "x"})
			return err
		}, codes.InvalidArgument, "group"},
	} {
		err := tt.call()
		s := status.Convert(err)
		if s.Code() != tt.code || !strings.HasPrefix(s.Message(), tt.text) {
			t.Errorf("%s: %v, want %v that begins with %q", tt.name, err, tt.code, tt.text)
		}
		if info := grpcstatus.InfoOf(s); info.GetReason() == "" {
			t.Errorf("%s: %v has no reason", tt.name, err)
		}
		var fields []string
		for _, detail := range s.Details() {
			if bad, ok := detail.(*errdetails.BadRequest); ok {
				fields = append(fields, bad.GetFieldViolations()[0].GetField())
			}
		}
		if tt.text != "" && (len(fields) != 1 || fields[0] != tt.text) {
			t.Errorf("%s: names the fields %q, want %q", tt.name, fields, tt.text)
		}
	}
}

func TestWatchThatEndsNamesTheGroup(t *testing.T) {
	s := start(t)
	if err := s.redis.Set("/damaged", "not a list"); err != nil {
		t.Fatal(err)
	}
	w, err := s.history.Watch(t.Context(), &historyv1.WatchRequest{Groups: []*historyv1.WatchedGroup{
		{GroupName: room}, {GroupName: "/damaged", Start: &historyv1.WatchedGroup_AfterUuid{AfterUuid: "u1"}},
	}})
	for err == nil {
		_, err = w.Recv()
	}
	got := status.Convert(err)
	info := grpcstatus.InfoOf(got)
	if got.Code() != codes.FailedPrecondition || !strings.HasPrefix(got.Message(), "group /damaged: ") ||
		info.GetReason() != "GROUP_DAMAGED" || info.GetMetadata()["group_name"] != "/damaged" {
		t.Errorf("got %v, %v; want FailedPrecondition that names the group", got, info)
	}
}

func TestCallThatItsCallerCancelsIsCountedSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var asked atomic.Int32
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 1 {
			_, _ = io.Copy(io.Discard, r.Body) // so that the end of the connection is noticed
			cancel()
			<-r.Context().Done()
		}
	}))
	t.Cleanup(hook.Close)
	redis := miniredis.RunT(t)
	cfg := settings(t, "-listen", "127.0.0.1:0", "-redis", "redis://"+redis.Addr()+"/0", "-hook-before-url", hook.URL)
	cfg.Embedded = true
	s := startWith(t, cfg, redis)
	s.publish(t, data("u1"))
	if _, err := s.history.Publish(ctx, &historyv1.PublishRequest{GroupName: room, Packet: data("u2")}); status.Code(err) != codes.Canceled {
		t.Fatalf("got %v, want Canceled", err)
	}
	var diff string
	eventually(t, func() bool {
		diff = cmp.Diff(map[string]uint64{"OK": 1, "Canceled": 1}, s.calls(t, "Publish"))
		return diff == ""
	}, func() string { return "counted, want (-), got (+):\n" + diff })
}

// calls returns how many calls of a method were counted, by code.
func (s *service) calls(t *testing.T, method string) map[string]uint64 {
	t.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := make(map[string]uint64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := make(map[string]string)
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == "gotapi_history_call_seconds" && labels["method"] == method {
				counted[labels["code"]] = m.GetHistogram().GetSampleCount()
			}
		}
	}
	return counted
}

func TestTTLHoldsForTheGroup(t *testing.T) {
	s := start(t)
	s.publish(t, data("u1"))
	if _, err := s.history.SetTTL(t.Context(), &historyv1.SetTTLRequest{GroupName: room, Ttl: 60}); err != nil {
		t.Fatal(err)
	}
	if got := s.redis.TTL(room); got <= 0 || got > time.Minute {
		t.Errorf("the list expires in %v, want a minute", got)
	}
}

func TestKeyOfAnotherTypeIsRefused(t *testing.T) {
	s := start(t)
	if err := s.redis.Set(room, "a string"); err != nil {
		t.Fatal(err)
	}
	_, err := s.history.Publish(t.Context(), &historyv1.PublishRequest{GroupName: room, Packet: data("u1")})
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("Publish: %v, want FailedPrecondition", err)
	}
	w, err := s.history.Watch(t.Context(), &historyv1.WatchRequest{Groups: []*historyv1.WatchedGroup{{GroupName: room}}})
	if err == nil {
		_, err = w.Recv()
	}
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("Watch: %v, want FailedPrecondition", err)
	}
}

func TestPublishThatIsCertainlyNotStoredSaysSo(t *testing.T) {
	s := start(t)
	s.redis.SetError("LOADING for a while")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := s.history.Publish(ctx, &historyv1.PublishRequest{GroupName: room, Packet: data("u1")})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("Publish: %v, want Unavailable", err)
	}
	e := s.edge(t, 7)
	publish := e.data(1, "u1")
	publish.TimeoutMs = 1000
	e.send(&relayv1.ConnectRequest{Publishes: []*relayv1.Publish{publish}})
	e.until(func() bool { return len(e.results) == 1 })
	if r := e.results[1]; r.GetOutcome() != relayv1.Outcome_OUTCOME_UNAVAILABLE {
		t.Errorf("relayed publish: %v, want UNAVAILABLE", r)
	}
}

func TestHealthTellsWhetherRedisAnswers(t *testing.T) {
	s := start(t)
	w, err := s.health.Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	want := func(want healthv1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		r, err := w.Recv()
		if err != nil || r.GetStatus() != want {
			t.Fatalf("health: %v, %v, want %v", r.GetStatus(), err, want)
		}
	}
	want(healthv1.HealthCheckResponse_SERVING)
	s.redis.SetError("ERR down")
	want(healthv1.HealthCheckResponse_NOT_SERVING)
	s.redis.SetError("")
	want(healthv1.HealthCheckResponse_SERVING)
}

func TestExtraListenersAreServed(t *testing.T) {
	redis := miniredis.RunT(t)
	pipe := bufconn.Listen(1 << 16)
	cfg := settings(t, "-listen", "127.0.0.1:0", "-redis", "redis://"+redis.Addr()+"/0")
	cfg.Embedded, cfg.ExtraListeners = true, []net.Listener{pipe}
	s := startWith(t, cfg, redis)
	s.connect(t, "pipe", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return pipe.DialContext(ctx)
	}))
	s.publish(t, data("u1"))
}

func TestUnreachableRedisIsOneClearLine(t *testing.T) {
	cfg := settings(t, "-listen", "127.0.0.1:0", "-redis", "redis://127.0.0.1:1/0")
	err := historysvc.Run(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "redis") {
		t.Errorf("got %v, want one line that names redis", err)
	}
}

func TestStopEndsStreamsAndAnswersPublishesUnderWay(t *testing.T) {
	s := start(t)
	e := s.edge(t, 7)
	watch, err := s.history.Watch(t.Context(), &historyv1.WatchRequest{Groups: []*historyv1.WatchedGroup{{GroupName: room}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil { // started
		t.Fatal(err)
	}
	const n = 100
	publishes := make([]*relayv1.Publish, n)
	for i := range publishes {
		publishes[i] = e.data(uint64(i+1), fmt.Sprint("u", i))
	}
	e.send(&relayv1.ConnectRequest{Publishes: publishes})
	e.until(func() bool { return e.received > 0 })
	began := time.Now()
	s.stop()
	e.until(func() bool { return e.err != nil })
	if !errors.Is(e.err, io.EOF) || len(e.results) != n {
		t.Errorf("the stream ended with %v and %d results, want EOF and %d", e.err, len(e.results), n)
	}
	for {
		if _, err = watch.Recv(); err != nil {
			break
		}
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("the watch ended with %v, want Unavailable", err)
	}
	s.end(t)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

func TestPublishesThatCannotFinishAreCutOffAfterTheDrainTime(t *testing.T) {
	redis := miniredis.RunT(t)
	cfg := settings(t, "-listen", "127.0.0.1:0", "-redis", "redis://"+redis.Addr()+"/0", "-drain", "100ms")
	cfg.Embedded = true
	s := startWith(t, cfg, redis)
	e := s.edge(t, 7)
	redis.SetError("LOADING forever")
	e.send(&relayv1.ConnectRequest{Publishes: []*relayv1.Publish{e.data(1, "u1")}})
	e.send(&relayv1.ConnectRequest{Publishes: []*relayv1.Publish{e.data(2, "u2")}})
	e.until(func() bool { return e.received == 2 })
	began := time.Now()
	s.stop()
	e.until(func() bool { return e.err != nil })
	s.end(t)
	if errors.Is(e.err, io.EOF) {
		t.Error("the stream ended well although publishes on it are not answered")
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

// The client of these tests has gRPC's default limits.
func TestEveryPageFitsIntoWhatACallerReceivesByDefault(t *testing.T) {
	s := start(t)
	const n = 150
	filler := strings.Repeat("x", 32<<10-100)
	for i := range n {
		s.publish(t, fmt.Appendf(nil, `{"type":2,"uuid":"u%d","body":{"data":%q}}`, i, filler))
	}
	for name, r := range map[string]*historyv1.GetHistoryRequest{
		"newest":    {},
		"largest":   {Size: proto.Int32(10000)},
		"versioned": {Size: proto.Int32(10000), IfNoneMatch: proto.String("")},
		"oldest":    {Position: -n},
		"before":    {Before: fmt.Sprintf("u%d", n-1), Size: proto.Int32(10000)},
		"after":     {After: "u0", Size: proto.Int32(10000)},
	} {
		r.GroupName = room
		page, err := s.history.GetHistory(t.Context(), r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(page.GetData()) < n*3/4 || page.Next == nil {
			t.Errorf("%s: %d texts, next %v; want most of 4 MiB, and that more follows", name, len(page.GetData()), page.Next)
		}
	}
	all, err := s.history.GetHistory(t.Context(), &historyv1.GetHistoryRequest{GroupName: room, MaxBytes: 8 << 20}, grpc.MaxCallRecvMsgSize(16<<20))
	if err != nil || len(all.GetData()) != n || all.Next != nil {
		t.Errorf("8 MiB: %d texts, %v, want all %d", len(all.GetData()), err, n)
	}
	for _, bad := range []int32{-1, 8<<20 + 1} {
		if _, err := s.history.GetHistory(t.Context(), &historyv1.GetHistoryRequest{GroupName: room, MaxBytes: bad}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("max_bytes %d: %v", bad, err)
		}
	}
}
