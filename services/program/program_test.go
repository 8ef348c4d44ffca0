package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/services/config"
	"github.com/gotapi/gotapi-ws/services/telemetry/telemetrytest"
)

// result is what one run of a program left behind.
type result struct {
	code           int
	stdout, stderr string
}

// echoSettings has a flag that must not be "bad", one that can be reloaded, and
// a file.
type echoSettings struct {
	name  string
	limit int
	file  string
	probe func(context.Context) error
}

func (s *echoSettings) RegisterFlags(fs *flag.FlagSet) {
	fs.StringVar(&s.name, "name", "good", "a name")
	fs.IntVar(&s.limit, "limit", 1, "a limit below 10")
	fs.StringVar(&s.file, "file", "", "a file")
	config.MarkReloadable(fs, "limit")
}

func (s *echoSettings) Validate() error {
	var wrong config.Errors
	wrong.Check(s.name != "bad", "-name: is bad")
	wrong.Check(s.limit < 10, "-limit: too high")
	return wrong.Err()
}

func (s *echoSettings) CheckFiles() error {
	if s.file == "" {
		return nil
	}
	_, err := os.Stat(s.file)
	return err
}

func (s *echoSettings) SecretFiles() []string { return []string{s.file} }

func (s *echoSettings) Warnings() []string {
	if s.name == "short" {
		return []string{"-name: is short"}
	}
	return nil
}

func (s *echoSettings) Probe(ctx context.Context) error { return s.probe(ctx) }

type (
	echoProgram = Program[*echoSettings]
	echoProcess = Process[*echoSettings]
)

// echo returns a program that ends at once.
func echo() echoProgram {
	return echoProgram{
		Name:    "echo",
		Summary: "a service for tests",
		New: func() *echoSettings {
			return &echoSettings{probe: func(context.Context) error { return nil }}
		},
		Run: func(context.Context, *echoSettings, echoProcess) error { return nil },
	}
}

func mainOf(ctx context.Context, p echoProgram, args ...string) result {
	var stdout, stderr telemetrytest.Log
	code := p.main(ctx, p.load(args), &stdout, &stderr, nil)
	return result{code, stdout.String(), stderr.String()}
}

func TestBadSettingIsOneLineAndExitCode2(t *testing.T) {
	for _, args := range [][]string{{"-nope"}, {"-name", "bad"}, {"-file", "/does/not/exist"}, {"-log-format", "xml"}, {"extra"}, {"-ops-listen", "nowhere"}} {
		got := mainOf(t.Context(), echo(), args...)
		if got.code != ExitUsage || got.stdout != "" {
			t.Errorf("%q: exit code %d, stdout %q, want 2 and nothing", args, got.code, got.stdout)
		}
		if strings.Count(got.stderr, "\n") != 1 || !strings.HasPrefix(got.stderr, "echo: ") {
			t.Errorf("%q: stderr %q, want one line", args, got.stderr)
		}
		if hint := strings.Contains(got.stderr, "echo -h"); hint != (args[0] != "-file") {
			t.Errorf("%q: stderr %q names the help: %t", args, got.stderr, hint)
		}
	}
}

func TestHelpAndVersionAreAnswersNotErrors(t *testing.T) {
	for arg, want := range map[string]string{
		"-h":        "GOTAPI_NAME",
		"--help":    "GOTAPI_OPS_LISTEN",
		"-version":  "echo ",
		"--version": "commit",
	} {
		got := mainOf(t.Context(), echo(), arg)
		if got.code != ExitOK || got.stderr != "" || !strings.Contains(got.stdout, want) {
			t.Errorf("%s: %+v, want 0 and %q on stdout", arg, got, want)
		}
	}
}

func TestCheckConfigSaysAllThatIsWrong(t *testing.T) {
	t.Setenv("GOTAPI_NAMES", "x")
	p := echo()
	p.Run = func(context.Context, *echoSettings, echoProcess) error {
		t.Error("the check ran the service")
		return nil
	}
	if got := mainOf(t.Context(), p, "-check-config"); got.code != ExitOK || !strings.Contains(got.stdout, "are valid") ||
		!strings.Contains(got.stdout, "warning: unknown environment variable GOTAPI_NAMES") {
		t.Errorf("good settings: %+v, want 0 and a warning", got)
	}
	t.Setenv("GOTAPI_OPS_LISTEN", "")
	t.Setenv("GOTAPI_LIMIT", "11")
	t.Setenv("GOTAPI_LOG_LEVEL", "loud")
	got := mainOf(t.Context(), p, "-check-config", "-name", "bad", "-file", "/does/not/exist")
	if got.code != ExitFailed {
		t.Errorf("bad settings: exit code %d, want 1", got.code)
	}
	for _, want := range []string{"-name: is bad\n", "-limit: too high\n", "/does/not/exist", "GOTAPI_LOG_LEVEL"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("bad settings: no %q in %q", want, got.stdout)
		}
	}
}

func TestCheckConfigSaysEachFaultOnce(t *testing.T) {
	for _, args := range [][]string{
		{"-limit", "many", "-name", "bad", "-file", "/does/not/exist", "-ops-listen", "nowhere", "-nope", "-check-config"},
		{"-check-config", "-limit", "many", "-nope", "-name", "bad", "-ops-listen", "nowhere", "-file", "/does/not/exist"},
	} {
		got := mainOf(t.Context(), echo(), args...)
		if got.code != ExitFailed || strings.Count(got.stdout, "\n") != 5 {
			t.Errorf("%q: %+v, want five lines", args, got)
		}
		for _, want := range []string{"-limit", "-name: is bad", "/does/not/exist", "-ops-listen", "-nope"} {
			if strings.Count(got.stdout, want) != 1 {
				t.Errorf("%q: %q is not there once:\n%s", args, want, got.stdout)
			}
		}
	}
	// The start says as much, in one line.
	got := mainOf(t.Context(), echo(), "-limit", "many", "-name", "bad", "-file", "/does/not/exist")
	for _, want := range []string{"-limit", "-name: is bad", "/does/not/exist"} {
		if got.code != ExitUsage || strings.Count(got.stderr, want) != 1 {
			t.Errorf("the start: %+v, want %q once", got, want)
		}
	}
}

func TestCheckConfigWarns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("a secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o644); err != nil { //nolint:gosec // that is the point
		t.Fatal(err)
	}
	got := mainOf(t.Context(), echo(), "-check-config", "-name", "short", "-file", file)
	for _, want := range []string{"warning: -name: is short\n", "warning: " + file + ": every user of this machine can read this secret", "are valid"} {
		if got.code != ExitOK || !strings.Contains(got.stdout, want) {
			t.Errorf("%+v, want 0 and %q", got, want)
		}
	}
}

func TestProbeSaysItWithTheExitCode(t *testing.T) {
	p := echo()
	p.Run = func(context.Context, *echoSettings, echoProcess) error {
		t.Error("a probe ran the service")
		return nil
	}
	// Files that are broken now do not matter: the process has read them before.
	if got := mainOf(t.Context(), p, "-probe", "-file", "/does/not/exist"); got.code != ExitOK {
		t.Errorf("probe of a well process: %+v", got)
	}
	p.New = func() *echoSettings {
		return &echoSettings{probe: func(ctx context.Context) error {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("probe has no deadline")
			}
			return errors.New("nobody there")
		}}
	}
	if got := mainOf(t.Context(), p, "-probe"); got.code != ExitFailed || got.stderr != "echo: nobody there\n" {
		t.Errorf("probe of a broken process: %+v", got)
	}
}

func TestFailureIsLoggedAndExitCode1(t *testing.T) {
	p := echo()
	p.Run = func(context.Context, *echoSettings, echoProcess) error { return errors.New("redis is down") }
	for _, args := range [][]string{nil, {"-ops-listen", "127.0.0.1:0"}} {
		if got := mainOf(t.Context(), p, args...); got.code != ExitFailed || !strings.Contains(got.stderr, "redis is down") {
			t.Errorf("%q: %+v, want 1 and the cause", args, got)
		}
	}
	if got := mainOf(t.Context(), echo(), "-ops-listen", "192.0.2.1:1"); got.code != ExitFailed || !strings.Contains(got.stderr, "-ops-listen") {
		t.Errorf("an address of another machine: %+v, want 1 and the flag", got)
	}
}

// running is a program under test that runs until stop.
type running struct {
	t       *testing.T
	log     *telemetrytest.Log
	ops     string
	hangups chan os.Signal
	stop    func()
}

func runEcho(t *testing.T, p echoProgram, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{t: t, log: new(telemetrytest.Log), hangups: make(chan os.Signal)}
	code := make(chan int, 1)
	go func() {
		code <- p.main(ctx, p.load(append([]string{"-ops-listen", "127.0.0.1:0"}, args...)), io.Discard, r.log, r.hangups)
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if got := <-code; got != ExitOK {
			t.Errorf("exit code %d, want 0; log:\n%s", got, r.log.String())
		}
	})
	t.Cleanup(r.stop)
	r.ops = "http://" + opsAddress(t, r.log)
	return r
}

// awaitLog waits until a text is in the log that often.
func (r *running) awaitLog(text string, times int) {
	r.t.Helper()
	eventually(r.t, 10*time.Second, func() error {
		if strings.Count(r.log.String(), text) < times {
			return fmt.Errorf("the log lacks %q, %d times:\n%s", text, times, r.log)
		}
		return nil
	})
}

// eventually asks until the answer is nil.
func eventually(t *testing.T, within time.Duration, ask func() error) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(time.Millisecond) {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestTheLogSaysThatTheProgramStops(t *testing.T) {
	p := echo()
	p.Run = func(ctx context.Context, _ *echoSettings, _ Process[*echoSettings]) error {
		<-ctx.Done()
		return nil
	}
	r := runEcho(t, p)
	if strings.Contains(r.log.String(), `"stopping"`) {
		t.Errorf("before the signal, the log says that it stops:\n%s", r.log)
	}
	r.stop()
	r.awaitLog(`"stopping"`, 1)
}

func TestOpsEndpointShowsMetricsReadinessAndVersion(t *testing.T) {
	p := echo()
	ready := make(chan error, 1)
	ready <- errors.New("warming up")
	p.Run = func(ctx context.Context, _ *echoSettings, p echoProcess) error {
		if err := p.Metrics.Register(prometheus.NewCounter(prometheus.CounterOpts{Name: "gotapi_test_total"})); err != nil {
			return err
		}
		p.Ready.Add("stove", func(context.Context) error {
			select {
			case err := <-ready:
				return err
			default:
				return nil
			}
		})
		p.Log.Info("serving")
		<-ctx.Done()
		return nil
	}
	r := runEcho(t, p)
	r.awaitLog("serving", 1)
	if status, body := get(t, r.ops+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "stove: warming up") {
		t.Errorf("/readyz = %d %q, want 503 and the reason", status, body)
	}
	if status, body := get(t, r.ops+"/readyz"); status != http.StatusOK {
		t.Errorf("/readyz = %d %q, want 200", status, body)
	}
	_, body := get(t, r.ops+"/metrics")
	for _, want := range []string{"gotapi_test_total 0", "gotapi_build_info{", "go_goroutines"} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if _, body := get(t, r.ops+"/version"); !strings.Contains(body, `"version":`) || !strings.Contains(body, `"go":"go1`) {
		t.Errorf("/version = %s, want version and go", body)
	}
}

func TestReloadUsesWhatCanChangeAndNamesTheRest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("limit: 2\nname: one\n")
	p := echo()
	got := make(chan echoSettings, 10)
	p.Run = func(ctx context.Context, _ *echoSettings, p echoProcess) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case s := <-p.Reloads:
				got <- *s
			}
		}
	}
	r := runEcho(t, p, "-config", file)

	write("limit: 3\nname: two\nlog-level: debug\n")
	r.hangups <- syscall.SIGHUP
	// The name is fixed: it is as it was at the start.
	if s := <-got; s.limit != 3 || s.name != "one" {
		t.Errorf("the service got limit %d and name %s, want 3 and one", s.limit, s.name)
	}
	r.awaitLog("need a restart", 1)
	if !strings.Contains(r.log.String(), `"changed":["limit","log-level"]`) || !strings.Contains(r.log.String(), `"settings":["name"]`) {
		t.Errorf("the log does not say what has changed:\n%s", r.log.String())
	}
	if _, level := get(t, r.ops+"/log-level"); level != "DEBUG\n" {
		t.Errorf("the level is %q, want DEBUG", level)
	}

	// One bad setting, and nothing of the rest is used.
	for i, bad := range []string{"limit: 4\nname: bad\n", "limit: 11\n", "limit: 4\nnope: 1\n", "limit: 4\nfile: /does/not/exist\n"} {
		write(bad)
		r.hangups <- syscall.SIGHUP
		r.awaitLog("keep the previous ones", i+1)
	}
	select {
	case s := <-got:
		t.Errorf("the service got limit %d although the settings were bad", s.limit)
	default:
	}
	if _, level := get(t, r.ops+"/log-level"); level != "DEBUG\n" {
		t.Errorf("after refused settings the level is %q, want DEBUG", level)
	}
}

// What was in a pipe is gone: without it all settings, those of access too, would be
// the defaults.
func TestSettingsFromAPipeAreNotReloaded(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(pipe, []byte("limit: 2\n"), 0) }()
	p := echo()
	p.Run = func(ctx context.Context, _ *echoSettings, p echoProcess) error {
		select {
		case <-ctx.Done():
		case s := <-p.Reloads:
			t.Errorf("the service got limit %d", s.limit)
		}
		return nil
	}
	r := runEcho(t, p, "-config", pipe)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // if it waits for somebody who writes, there is one
		if f, err := os.OpenFile(pipe, os.O_RDWR, 0); err == nil {
			_ = f.Close()
		}
	})
	r.hangups <- syscall.SIGHUP
	r.awaitLog("keep the previous ones", 1)
	if !strings.Contains(r.log.String(), "a pipe cannot be read again") {
		t.Errorf("the log does not say why:\n%s", r.log.String())
	}
}

// opsAddress waits for the log line that names it.
func opsAddress(t *testing.T, log *telemetrytest.Log) (address string) {
	t.Helper()
	line := regexp.MustCompile(`operations endpoint listens.*?"address":"([^"]+)"`)
	eventually(t, 10*time.Second, func() error {
		m := line.FindStringSubmatch(log.String())
		if m == nil {
			return fmt.Errorf("no ops address in the log:\n%s", log)
		}
		address = m[1]
		return nil
	})
	return address
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestSecretsThatEverybodyCanReadAreWarnedOf(t *testing.T) {
	for mode, warns := range map[os.FileMode]bool{0o600: false, 0o440: false, 0o644: true, 0o602: true} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte("a secret"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
		got := mainOf(t.Context(), echo(), "-file", path)
		if strings.Contains(got.stderr, path) != warns || strings.Contains(got.stderr, "a secret\n") {
			t.Errorf("mode %v: %s", mode, got.stderr)
		}
	}
}

// A process that is replaced keeps the address until its members have left.
func TestTheOperationsAddressMayBeInUseForAWhile(t *testing.T) {
	before, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := echo()
	served := make(chan struct{})
	p.Run = func(ctx context.Context, _ *echoSettings, _ echoProcess) error {
		close(served)
		<-ctx.Done()
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan result, 1)
	go func() { ended <- mainOf(ctx, p, "-ops-listen", before.Addr().String()) }()
	<-served
	_ = before.Close()
	url := "http://" + before.Addr().String() + "/livez"
	eventually(t, 30*time.Second, func() error {
		resp, err := http.Get(url)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	})
	cancel()
	if got := <-ended; got.code != ExitOK || !strings.Contains(got.stderr, "in use") {
		t.Errorf("%+v", got)
	}
}
