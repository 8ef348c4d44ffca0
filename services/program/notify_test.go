package program

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTheServiceManagerHearsWhenTheProgramServesAndWhenItStops: units of Type=notify.
func TestTheServiceManagerHearsWhenTheProgramServesAndWhenItStops(t *testing.T) {
	dir, err := os.MkdirTemp("", "notify") //nolint:usetesting // t.TempDir may be too long a path for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "socket")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = manager.Close() })
	t.Setenv(notifyVariable, path)
	serve := make(chan struct{})
	p := echo()
	p.Run = func(ctx context.Context, _ *echoSettings, process echoProcess) error {
		<-serve
		process.Ready.Add("redis", func(context.Context) error { return errors.New("away") }) // it serves all the same
		<-ctx.Done()
		return nil
	}
	r := runEcho(t, p)
	hear := func() string {
		t.Helper()
		if err := manager.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, err := manager.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	if err := manager.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := manager.Read(make([]byte, 100)); err == nil {
		t.Errorf("the manager heard %d bytes before the program serves", n)
	}
	close(serve)
	if got := hear(); got != "READY=1" {
		t.Errorf("the manager heard %q, want READY=1", got)
	}
	r.stop()
	if got := hear(); got != "STOPPING=1" {
		t.Errorf("the manager heard %q, want STOPPING=1", got)
	}
}

func TestAServiceManagerThatIsAwayIsNoReasonToFail(t *testing.T) {
	t.Setenv(notifyVariable, "/nonexistent/socket")
	p := echo()
	p.Run = func(ctx context.Context, _ *echoSettings, process echoProcess) error {
		process.Ready.Add("x", func(context.Context) error { return nil })
		<-ctx.Done()
		return nil
	}
	r := runEcho(t, p)
	r.awaitLog("cannot notify the service manager", 1)
	r.stop()
}

func TestEveryLineOfTheLogNamesItsProgram(t *testing.T) {
	p := echo()
	p.Run = func(ctx context.Context, _ *echoSettings, process echoProcess) error {
		process.Log.WarnContext(ctx, "something of the service", "after", 1500*time.Millisecond)
		process.Ready.Add("x", func(context.Context) error { return nil })
		<-ctx.Done()
		return nil
	}
	r := runEcho(t, p)
	r.awaitLog("something of the service", 1)
	r.stop()
	lines := strings.Split(strings.TrimSpace(r.log.String()), "\n")
	for _, line := range lines {
		var said struct{ Msg, Program, After string }
		if err := json.Unmarshal([]byte(line), &said); err != nil || said.Program != "echo" || strings.Count(line, `"program"`) != 1 {
			t.Errorf("%s: %v", line, err)
		}
		if strings.Contains(said.Msg, "something") && said.After != "1.5s" {
			t.Errorf("a duration without its unit: %s", line)
		}
	}
	if len(lines) < 4 {
		t.Errorf("only %d lines", len(lines))
	}
}
