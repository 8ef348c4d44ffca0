// Package cli tests the built command-line client against the built servers.
package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m, nil) }

// command prepares gotapi with these arguments. Nobody's settings reach it.
func command(t *testing.T, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), client.Timeout)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, testbed.Binary(t, "gotapi"), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	return cmd
}

// run runs a command to its end and returns its exit code and output.
func run(t *testing.T, cmd *exec.Cmd) (code int, out, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}

// must runs a command that succeeds, and returns the lines it wrote.
func must(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := command(t, args...)
	code, out, stderr := run(t, cmd)
	if code != 0 {
		t.Fatalf("%q: exit code %d: %s", args, code, stderr)
	}
	return strings.Split(strings.TrimSuffix(out, "\n"), "\n")
}

func TestEverySchemeDoesTheSame(t *testing.T) {
	t.Parallel()
	p := testbed.StartAllInOne(t)
	for scheme, url := range map[string]string{"http": "http://" + p.Addr, "ws": "ws://" + p.Addr, "grpc": "grpc://" + p.GRPC} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			group := client.Group()
			uuids := must(t, "pub", group, "one", "two", "--url", url)
			fromStdin := command(t, "pub", group, "--url", url, "--json")
			fromStdin.Stdin = strings.NewReader("three\n")
			code, out, stderr := run(t, fromStdin)
			var published struct {
				UUID   string
				Stored bool
			}
			if err := json.Unmarshal([]byte(out), &published); err != nil || code != 0 || !published.Stored {
				t.Fatalf("pub from standard input: exit code %d, %q %s: %v", code, out, stderr, err)
			}
			file := filepath.Join(t.TempDir(), "message")
			if err := os.WriteFile(file, []byte("four\nlines"), 0o600); err != nil {
				t.Fatal(err)
			}
			uuids = append(uuids, published.UUID)
			uuids = append(uuids, must(t, "pub", group, "--file", file, "--uuid", "mine", "--url", url)...)
			must(t, "pub", group, "--raw", "not stored", "--url", url)

			want := []string{uuids[0] + "  one", uuids[1] + "  two", uuids[2] + "  three", `mine  four\nlines`}
			if diff := cmp.Diff(want, must(t, "tail", group, "--url", url)); diff != "" {
				t.Errorf("tail (-want +got):\n%s", diff)
			}
			shown := fmt.Sprintf("%d packets in", len(want))
			if code, _, stderr := run(t, command(t, "tail", group, "-f", "--for", "1ms", "--url", url)); code != 0 || !strings.Contains(stderr, shown) {
				t.Errorf("tail -f: exit code %d, %q, want 0 and %q", code, stderr, shown)
			}
			if diff := cmp.Diff([]string{uuids[0] + "  recalled"}, must(t, "cancel", group, uuids[0], "--url", url)); diff != "" {
				t.Errorf("cancel (-want +got):\n%s", diff)
			}
			slices.Reverse(want)
			if diff := cmp.Diff(want[:3], must(t, "history", group, "--all", "-n", "1", "--url", url)); diff != "" {
				t.Errorf("history (-want +got):\n%s", diff)
			}
			if code, _, stderr := run(t, command(t, "cancel", group, "unknown", "--url", url)); code != 5 {
				t.Errorf("recall of an unknown message: exit code %d (%s), want 5", code, stderr)
			}
			// What is stored comes first, then what is live.
			got := must(t, "sub", group, "--after", uuids[1], "--count", "2", "--raw", "--url", url)
			if len(got) != 2 || !strings.Contains(got[0], `"three"`) || !strings.Contains(got[1], `"mine"`) {
				t.Errorf("sub --after: %q", got)
			}
		})
	}
}

func TestAdminCommandsNeedTheSecret(t *testing.T) {
	t.Parallel()
	p := testbed.StartAllInOne(t)
	group, url := client.Group(), "http://"+p.Addr
	client.Join(t, p.Addr, group)
	if code, _, _ := run(t, command(t, "groups", "--url", url)); code != 4 {
		t.Errorf("groups without a token: exit code %d, want 4", code)
	}
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(testbed.AdminSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	testbed.Eventually(t, "the group is listed", func(context.Context) error {
		if got = must(t, "groups", "--url", url, "--token-file", file); got[0] == "" {
			return errors.New("no group")
		}
		return nil
	})
	if diff := cmp.Diff([]string{"  1  " + group}, got); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	must(t, "ttl", group, "1h", "--url", url, "--token-file", file)
}

// TestOperatorsSeeAndPurgeAGroup: over HTTP and gRPC, a purge tells the members, and what
// was purged does not come back.
func TestOperatorsSeeAndPurgeAGroup(t *testing.T) {
	t.Parallel()
	ops := testbed.FreeAddr(t)
	p := testbed.StartAllInOne(t, "-ops-listen", ops)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(testbed.AdminSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	url := "http://" + p.Addr
	for _, admin := range []string{url, "grpc://" + p.GRPC} {
		group := client.Group()
		flags := []string{"--url", admin, "--token-file", file}
		uuids := must(t, "pub", group, "one", "two", "three", "--url", url)
		member := subscribe(t, group, "--url", url)
		member.next("connected")

		if status := must(t, append([]string{"status"}, flags...)...); !strings.HasPrefix(status[0], "store ") {
			t.Errorf("status: %q", status)
		}
		if status := must(t, append([]string{"status", "--json"}, flags...)...); !strings.Contains(status[0], `"alarms":[]`) {
			t.Errorf("status: %q", status)
		}
		if members := must(t, "who", group, "--ops", "http://"+ops); len(members) != 2 || !strings.Contains(members[1], "127.0.0.1") {
			t.Errorf("who: %q", members)
		}
		run(t, command(t, "cancel", group, "unknown", "--url", url))
		if reasons := must(t, "why", "--ops", "http://"+ops, "--group", group, "--json"); !strings.Contains(reasons[0], `"code":404`) {
			t.Errorf("why: %q", reasons)
		}
		if report := must(t, append([]string{"groups", group}, flags...)...); !slices.Contains(report, "messages  3") {
			t.Errorf("report: %q", report)
		}
		if top := must(t, append([]string{"groups", "--sort", "bytes"}, flags...)...); !strings.Contains(strings.Join(top, "\n"), "  "+group) {
			t.Errorf("groups by bytes: %q", top)
		}
		if code, _, stderr := run(t, command(t, append([]string{"purge", group}, flags...)...)); code != 2 || !strings.Contains(stderr, "has 3 messages") {
			t.Errorf("purge without --yes: exit code %d, %s", code, stderr)
		}
		must(t, append([]string{"purge", group, "--yes"}, flags...)...)
		if event := member.next("gap", "message"); event != "gap " {
			t.Errorf("a member heard %q after the purge", event)
		}
		if left := must(t, "history", group, "--url", url); left[0] != "" {
			t.Errorf("history after the purge: %q", left)
		}
		must(t, "pub", group, "one", "--uuid", uuids[0], "--url", url)
		again := must(t, "pub", group, "four", "--url", url)
		if left := must(t, "history", group, "--url", url); len(left) != 1 || !strings.HasPrefix(left[0], again[0]) {
			t.Errorf("history after the purge and a new message: %q", left)
		}
	}
}

// stream is a running `gotapi sub --json`.
type stream struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
	err   *bytes.Buffer
}

func subscribe(t *testing.T, args ...string) *stream {
	t.Helper()
	s := &stream{t: t, cmd: command(t, append([]string{"sub", "--json"}, args...)...), err: &bytes.Buffer{}}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr = s.err
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.lines = bufio.NewScanner(out)
	return s
}

// next returns the next event that is not about the connection, in short.
func (s *stream) next(kinds ...string) string {
	s.t.Helper()
	for s.lines.Scan() {
		var e struct{ Event, UUID string }
		if err := json.Unmarshal(s.lines.Bytes(), &e); err != nil {
			s.t.Fatalf("%q: %v", s.lines.Bytes(), err)
		}
		if slices.Contains(kinds, e.Event) {
			return e.Event + " " + e.UUID
		}
	}
	s.t.Fatalf("sub ended: %s", s.err)
	return ""
}

// interrupt ends it as Ctrl-C does, and returns its exit code.
func (s *stream) interrupt() int {
	_ = s.cmd.Process.Signal(syscall.SIGINT)
	_, _ = io.Copy(io.Discard, s.rest())
	_ = s.cmd.Wait()
	return s.cmd.ProcessState.ExitCode()
}

func (s *stream) rest() io.Reader {
	var rest bytes.Buffer
	for s.lines.Scan() {
		rest.Write(s.lines.Bytes())
	}
	return &rest
}

func TestSubGoesOnExactlyWhenTheServerComesBack(t *testing.T) {
	t.Parallel()
	s := testbed.Start(t, testbed.Config{Store: testbed.Single})
	group := client.Group()
	for _, tt := range []struct {
		name, url string
		fails     *testbed.Process
	}{
		{"ws", "ws://" + s.Edges[0].Addr, s.Edges[0]},
		{"grpc", "grpc://" + s.Services[0].GRPC, s.Services[0]},
	} {
		sub := subscribe(t, group, "--url", tt.url)
		sub.next("connected")
		must(t, "pub", group, "x", "--uuid", tt.name+"1", "--url", tt.url)
		if got := sub.next("message", "gap"); got != "message "+tt.name+"1" {
			t.Errorf("%s: %q", tt.name, got)
		}
		tt.fails.Kill()
		sub.next("disconnected")
		tt.fails.Start()
		// Published before sub is back, or after: it comes, once.
		must(t, "pub", group, "x", "--uuid", tt.name+"2", "--url", tt.url)
		must(t, "cancel", group, tt.name+"1", "--url", tt.url)
		must(t, "pub", group, "x", "--uuid", tt.name+"3", "--url", tt.url)
		for _, want := range []string{"message " + tt.name + "2", "recalled " + tt.name + "1", "message " + tt.name + "3"} {
			got := sub.next("message", "recalled", "gap")
			if got != want && !strings.HasPrefix(got, "recalled") && !strings.HasPrefix(want, "recalled") {
				t.Errorf("%s: got %q, want %q", tt.name, got, want)
			}
		}
		if code := sub.interrupt(); code != 0 {
			t.Errorf("%s: interrupted: exit code %d, want 0 (%s)", tt.name, code, sub.err)
		}
	}
}

func TestPubIsStoredOnceAlthoughTheServerIsKilledMeanwhile(t *testing.T) {
	t.Parallel()
	s := testbed.Start(t, testbed.Config{Store: testbed.Single})
	for _, scheme := range []string{"http", "ws"} {
		group, url := client.Group(), scheme+"://"+s.Edges[0].Addr
		const n = 200
		cmd := command(t, "pub", group, "--url", url)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		half := make(chan struct{})
		go func() {
			defer in.Close()
			for i := range n {
				if i == n/2 {
					close(half)
				}
				_, _ = io.WriteString(in, "line\n")
			}
		}()
		go func() {
			<-half
			s.Edges[0].Kill()
			s.Edges[0].Launch()
		}()
		code, out, stderr := run(t, cmd)
		if code != 0 {
			t.Fatalf("%s: exit code %d: %s", scheme, code, stderr)
		}
		s.Edges[0].AwaitReady()
		page := client.History(t, s.Edges[0].Addr, group)
		uuids := make([]string, len(page.Data))
		for i, text := range page.Data {
			uuids[i] = client.Parse(t, text).UUID
		}
		slices.Reverse(uuids)
		if diff := cmp.Diff(uuids, strings.Fields(out)); diff != "" || len(uuids) != n {
			t.Errorf("%s: %d stored; printed uuids are not the history (-history +printed):\n%s", scheme, len(uuids), diff)
		}
	}
}

func TestBenchReportsInEveryScheme(t *testing.T) {
	t.Parallel()
	p := testbed.StartAllInOne(t)
	for _, url := range []string{"http://" + p.Addr, "ws://" + p.Addr, "grpc://" + p.GRPC} {
		out := must(t, "bench", "--url", url, "--groups", "2", "--subscribers", "2", "--rate", "100", "--duration", "500ms", "--warmup", "0s", "--json")
		var r struct {
			Mode                 string
			Acked, Deliveries    int
			DeliveriesExpected   int                `json:"deliveries_expected"`
			Ack                  map[string]float64 `json:"ack_latency_ms"`
			Unsent, Unacked, Gap int
		}
		if err := json.Unmarshal([]byte(out[0]), &r); err != nil {
			t.Fatalf("%s: %q: %v", url, out, err)
		}
		if r.Mode != "open" || r.Acked != 50 || r.Deliveries != 100 || r.DeliveriesExpected != 100 || r.Ack["p50"] <= 0 || r.Ack["max"] < r.Ack["p99"] {
			t.Errorf("%s: %+v, want 50 acked, 100 delivered", url, r)
		}
	}
	bench := command(t, "bench", "--url", "ws://"+p.Addr, "--duration", "10m", "--prefix", "/interrupted")
	var out bytes.Buffer
	bench.Stdout = &out
	stderr, err := bench.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := bench.Start(); err != nil {
		t.Fatal(err)
	}
	// It runs once something is in its group.
	testbed.Eventually(t, "bench publishes", func(context.Context) error {
		if len(client.History(t, p.Addr, "/interrupted/0", "size", "1").Data) == 0 {
			return errors.New("nothing yet")
		}
		return nil
	})
	_ = bench.Process.Signal(syscall.SIGINT)
	said, _ := io.ReadAll(stderr)
	_ = bench.Wait()
	if code := bench.ProcessState.ExitCode(); code != 0 || !strings.Contains(out.String(), "closed loop") || !strings.Contains(out.String(), "acked") {
		t.Errorf("interrupted bench: exit code %d, %q, %q; want its summary", code, out.String(), said)
	}
}
