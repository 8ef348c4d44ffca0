package program

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// result is what one run of a program left behind.
type result struct {
	code           int
	stdout, stderr string
}

// echo returns a program with one flag, -name, that must not be "bad".
func echo() Program {
	var name string
	return Program{
		Name:          "echo",
		Summary:       "a service for tests",
		RegisterFlags: func(fs *flag.FlagSet) { fs.StringVar(&name, "name", "good", "a name") },
		Validate: func() error {
			if name == "bad" {
				return errors.New("-name: is bad")
			}
			return nil
		},
		Probe: func(context.Context) error { return nil },
		Run:   func(context.Context, *slog.Logger, prometheus.Registerer) error { return nil },
	}
}

func mainOf(ctx context.Context, p Program, args ...string) result {
	var stdout, stderr buffer
	code := p.main(ctx, args, &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

func TestBadSettingIsOneLineAndExitCode2(t *testing.T) {
	for _, args := range [][]string{{"-nope"}, {"-name", "bad"}, {"-log-format", "xml"}, {"extra"}} {
		got := mainOf(t.Context(), echo(), args...)
		if got.code != ExitUsage || got.stdout != "" {
			t.Errorf("%q: exit code %d, stdout %q, want 2 and nothing", args, got.code, got.stdout)
		}
		if strings.Count(got.stderr, "\n") != 1 || !strings.HasPrefix(got.stderr, "echo: ") {
			t.Errorf("%q: stderr %q, want one line", args, got.stderr)
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

func TestProbeSaysItWithTheExitCode(t *testing.T) {
	p := echo()
	p.Run = func(context.Context, *slog.Logger, prometheus.Registerer) error {
		t.Error("a probe ran the service")
		return nil
	}
	if got := mainOf(t.Context(), p, "-probe"); got.code != ExitOK {
		t.Errorf("probe of a well process: %+v", got)
	}
	p.Probe = func(ctx context.Context) error {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("probe has no deadline")
		}
		return errors.New("nobody there")
	}
	if got := mainOf(t.Context(), p, "-probe"); got.code != ExitFailed || got.stderr != "echo: nobody there\n" {
		t.Errorf("probe of a broken process: %+v", got)
	}
}

func TestFailureIsLoggedAndExitCode1(t *testing.T) {
	p := echo()
	p.Run = func(context.Context, *slog.Logger, prometheus.Registerer) error { return errors.New("redis is away") }
	for _, args := range [][]string{nil, {"-ops-listen", "127.0.0.1:0"}} {
		if got := mainOf(t.Context(), p, args...); got.code != ExitFailed || !strings.Contains(got.stderr, "redis is away") {
			t.Errorf("%q: %+v, want 1 and the cause", args, got)
		}
	}
	if got := mainOf(t.Context(), echo(), "-ops-listen", "nowhere"); got.code != ExitFailed || !strings.Contains(got.stderr, "-ops-listen") {
		t.Errorf("bad -ops-listen: %+v, want 1 and the flag", got)
	}
}

func TestOpsEndpointShowsMetricsAndProbesTheService(t *testing.T) {
	p := echo()
	probed := errors.New("warming up")
	p.Probe = func(context.Context) error { return probed }
	p.Run = func(ctx context.Context, _ *slog.Logger, reg prometheus.Registerer) error {
		reg.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "gotapi_test_total"}))
		<-ctx.Done()
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	var stderr buffer
	code := make(chan int, 1)
	go func() { code <- p.main(ctx, []string{"-ops-listen", "127.0.0.1:0"}, io.Discard, &stderr) }()
	base := "http://" + opsAddress(t, &stderr)

	if status, body := get(t, base+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "warming up") {
		t.Errorf("/readyz = %d %q, want 503 and the probe's error", status, body)
	}
	_, body := get(t, base+"/metrics")
	for _, want := range []string{"gotapi_test_total 0", "gotapi_build_info{", "go_goroutines"} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	cancel()
	if got := <-code; got != ExitOK {
		t.Errorf("exit code %d, want 0; log:\n%s", got, stderr.String())
	}
}

// opsAddress waits for the log line that names it.
func opsAddress(t *testing.T, log *buffer) string {
	t.Helper()
	line := regexp.MustCompile(`operations endpoint listens.*?"address":"([^"]+)"`)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if m := line.FindStringSubmatch(log.String()); m != nil {
			return m[1]
		}
	}
	t.Fatalf("no ops address in the log:\n%s", log.String())
	return ""
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

// buffer is a strings.Builder for two goroutines.
type buffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
