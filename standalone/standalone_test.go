package standalone_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/services/config"
	"github.com/gotapi/gotapi-ws/standalone"
)

const data = `{"type":2,"uuid":"thisisuuid","body":{"hash":"hello1234","data":"hello world","sent":false}}`

// server is a gotapi-ws in this process.
type server struct {
	http, grpc string
	banner     *bytes.Buffer
	stop       func() error
}

// start runs gotapi-ws with free ports and the given flags until stop, or else
// the test's end.
func start(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{banner: new(bytes.Buffer)}
	ready := make(chan struct{})
	cfg := standalone.Config{Out: s.banner, OnReady: func(http, grpc net.Addr) {
		s.http, s.grpc = http.String(), grpc.String()
		close(ready)
	}}
	parse(t, &cfg, append([]string{"-listen", "127.0.0.1:0", "-grpc-listen", "127.0.0.1:0"}, args...)...)
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() {
		ended <- standalone.Run(ctx, cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	}()
	stopped := false
	s.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("Run ended at once: %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("not ready after 30 s")
	}
	return s
}

func parse(t *testing.T, cfg *standalone.Config, args ...string) *flag.FlagSet {
	t.Helper()
	fs := flag.NewFlagSet("gotapi-ws", flag.ContinueOnError)
	cfg.RegisterFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

func (s *server) post(t *testing.T, path, body string) string {
	t.Helper()
	_, _, answer := overHTTP{&checked{http: s.http}}.do(t, http.MethodPost, path, "", body)
	return answer
}

func wantPrefix(t *testing.T, what, got, want string) {
	t.Helper()
	if !strings.HasPrefix(got, want) {
		t.Errorf("%s: got %s, want %s...", what, got, want)
	}
}

const historyOfData = `{"code":200,"position":-50,"msg":"","data":["{\"type\":2,\"uuid\":\"thisisuuid\",`

func TestPublishedMessageIsInTheHistoryUntilItIsRecalled(t *testing.T) {
	s := start(t)
	wantPrefix(t, "publish", s.post(t, "/room/9527/", data), `{"code":200,"group":"/room/9527/","stored":true`)
	wantPrefix(t, "history", s.post(t, "/__/history", "groupName=/room/9527/&position=-50&size=50"), historyOfData)
	wantPrefix(t, "recall", s.post(t, "/__/cancel", "groupName=/room/9527/&uuid=thisisuuid"), `{"code":200`)
	if got := s.post(t, "/__/history", "groupName=/room/9527/"); strings.Contains(got, "hello1234") {
		t.Errorf("history after the recall: %s", got)
	}
}

func TestBannerSaysWhereItListensAndThatNothingIsKept(t *testing.T) {
	s := start(t)
	for _, want := range []string{
		"http://" + s.http + " ", s.grpc, "IS LOST AT EXIT",
		"curl -d '" + data + "' http://" + s.http + "/room/9527/",
		"ws://" + s.http + "/room/9527/",
	} {
		if !strings.Contains(s.banner.String(), want) {
			t.Errorf("banner lacks %q:\n%s", want, s.banner)
		}
	}
}

func TestNothingIsLeftRunningAfterStop(t *testing.T) {
	before := runtime.NumGoroutine()
	s := start(t)
	s.post(t, "/room/1", data)
	if err := s.stop(); err != nil {
		t.Fatalf("Run = %v, want nil", err)
	}
	for _, addr := range []string{s.http, s.grpc} {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = conn.Close()
			t.Errorf("%s still accepts connections", addr)
		}
	}
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, before it were %d:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A stream over gRPC would do all the same, and nothing else would tell.
func TestRelayTakesTheShortcut(t *testing.T) {
	s := start(t)
	s.post(t, "/room/1", data)
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	if !bytes.Contains(stacks, []byte("standalone.(*serviceEnd).Recv")) {
		t.Errorf("no goroutine waits for frames at the service's end of the shortcut:\n%s", stacks)
	}
}

func TestHistoryInRedisSurvivesARestart(t *testing.T) {
	redis := startRedis(t)
	s := start(t, "-redis", redis)
	if strings.Contains(s.banner.String(), "KEEPS NOTHING") {
		t.Errorf("banner with a Redis:\n%s", s.banner)
	}
	wantPrefix(t, "publish", s.post(t, "/room/9527/", data), `{"code":200`)
	if err := s.stop(); err != nil {
		t.Fatalf("Run = %v, want nil", err)
	}
	s = start(t, "-redis", redis)
	wantPrefix(t, "history", s.post(t, "/__/history", "groupName=/room/9527/&position=-50&size=50"), historyOfData)
	if got := s.post(t, "/room/9527/", data); !strings.Contains(got, `"duplicate":true`) {
		t.Errorf("the same uuid after the restart: %s, want a duplicate", got)
	}
}

// startRedis runs a redis-server that listens on a socket only, and returns its URL.
func startRedis(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis") //nolint:usetesting // paths of sockets are short, t.TempDir's can be too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	cmd := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "")
	if err := cmd.Start(); err != nil {
		t.Fatalf("redis-server (make test installs it): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("redis-server does not listen: %v", err)
		}
	}
	u := url.URL{Scheme: "unix", Path: socket, RawQuery: "db=0"}
	return u.String()
}

func TestFlagsOfBothServicesDoNotClash(t *testing.T) {
	fs := parse(t, new(standalone.Config))
	for name, want := range map[string]string{
		"listen": "127.0.0.1:4998", "grpc-listen": "127.0.0.1:5998", "redis": "",
		"drain": "10s", "grpc-drain": "5s", "max-message-bytes": "32768",
	} {
		f := fs.Lookup(name)
		if f == nil || f.DefValue != want {
			t.Errorf("-%s: %+v, want the default %q", name, f, want)
		}
	}
	if fs.Lookup("history") != nil {
		t.Error("-history is offered, which has no meaning here")
	}
}

func TestMessageLimitHoldsForBothServices(t *testing.T) {
	var cfg standalone.Config
	parse(t, &cfg, "-max-message-bytes", "1000")
	if cfg.Edge.MaxMessageBytes != 1000 || cfg.History.MaxMessageBytes != 1000 {
		t.Errorf("edge %d, history service %d, want 1000 in both", cfg.Edge.MaxMessageBytes, cfg.History.MaxMessageBytes)
	}
}

func TestBadSettingsAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"-listen", "nowhere"},
		{"-grpc-listen", "nowhere"},
		{"-redis", "127.0.0.1:6379"},
		{"-listen", "127.0.0.1:99999"},
		{"-grpc-listen", "127.0.0.1:99999"},
		{"-max-message-bytes", "0", "-listen", "nowhere"},
	} {
		var cfg standalone.Config
		parse(t, &cfg, args...)
		err := cfg.Validate()
		if err == nil || !strings.Contains(err.Error(), args[0]) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: Validate = %v, want one line that names the setting", args, err)
			continue
		}
		if last := args[len(args)-1]; strings.Count(err.Error(), strconv.Quote(last)) > 1 {
			t.Errorf("%q: Validate = %v, which says the same twice", args, err)
		}
	}
}

func TestABadSettingOfBothServicesIsSaidOnce(t *testing.T) {
	for _, args := range [][]string{
		{"-auth-secret-file", "/does/not/exist"},
		{"-hook-timeout", "-1s", "-hook-before-url", "http://127.0.0.1:1/"},
	} {
		var cfg standalone.Config
		parse(t, &cfg, args...)
		var wrong config.Errors
		wrong.Add(cfg.Validate())
		wrong.Add(cfg.CheckFiles())
		if len(wrong) != 1 || !strings.Contains(wrong[0], args[0]) {
			t.Errorf("%q: %q, want one problem that names the setting", args, wrong)
		}
	}
}

func TestASettingThatTheServicesHaveInCommonByNameIsToldApart(t *testing.T) {
	var cfg standalone.Config
	parse(t, &cfg, "-drain", "-1s", "-grpc-drain", "-1s", "-grpc-listen", "nowhere", "-history-cap", "0")
	err := cfg.Validate()
	var wrong config.Errors
	if !errors.As(err, &wrong) {
		t.Fatal(err)
	}
	slices.Sort(wrong)
	want := config.Errors{"-drain: negative", "-grpc-drain: negative", `-grpc-listen: "nowhere" is not an address such as 127.0.0.1:5998`, "-history-cap: less than 1"}
	if diff := cmp.Diff(want, wrong); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestABadValueIsToldWhatIsExpectedWhateverTheSetting(t *testing.T) {
	newFlags := func() *flag.FlagSet {
		fs := flag.NewFlagSet("gotapi-ws", flag.ContinueOnError)
		new(standalone.Config).RegisterFlags(fs)
		return fs
	}
	newFlags().VisitAll(func(f *flag.Flag) {
		if err := config.Parse(newFlags(), []string{"-" + f.Name + "=?"}); err != nil && strings.Contains(err.Error(), "parse error") {
			t.Error(err)
		}
	})
}

func TestABadValueOfASettingOfBothServicesIsToldWhatIsExpected(t *testing.T) {
	for setting, want := range map[string]string{
		"-recall-window=2":       "not a duration such as 10s",
		"-max-message-bytes=32k": "not a whole number",
	} {
		fs := flag.NewFlagSet("gotapi-ws", flag.ContinueOnError)
		new(standalone.Config).RegisterFlags(fs)
		if err := config.Parse(fs, []string{setting}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", setting, err, want)
		}
	}
}

func TestTakenPortIsOneClearError(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, flagName := range []string{"-listen", "-grpc-listen"} {
		var cfg standalone.Config
		parse(t, &cfg, "-listen", "127.0.0.1:0", "-grpc-listen", "127.0.0.1:0", flagName, taken.Addr().String())
		err = standalone.Run(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err == nil || !strings.Contains(err.Error(), taken.Addr().String()) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: Run = %v, want one line with the address", flagName, err)
		}
	}
}

func TestProbeOfARunningAndOfAStoppedProcess(t *testing.T) {
	s := start(t)
	var cfg standalone.Config
	parse(t, &cfg, "-listen", s.http, "-grpc-listen", s.grpc)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := cfg.Probe(ctx); err != nil {
		t.Errorf("probe of a running process: %v", err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if err := cfg.Probe(ctx); err == nil {
		t.Error("probe of a stopped process: no error")
	}
}

func TestARestartNeedNotWaitForMembersToLeave(t *testing.T) {
	t.Parallel()
	first := start(t, "-drain", "3s")
	u := "ws://" + first.http + "/room/1"
	for range 2 { // the second one is disconnected at the end of the drain
		conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), u, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
	}
	stopped := make(chan error, 1)
	go func() { stopped <- first.stop() }()
	for { // until the first one has begun to stop
		conn, err := net.Dial("tcp", first.http)
		if err != nil {
			break
		}
		_ = conn.Close()
	}
	start(t, "-listen", first.http, "-grpc-listen", first.grpc)
	select {
	case err := <-stopped:
		t.Errorf("the first process has ended before (%v): this test shows nothing", err)
	default:
	}
}
