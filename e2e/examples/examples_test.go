// Package examples runs examples as their readers do: programs of other languages
// against the built services.
package examples

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m, nil) }

// programs are the examples, by language. `make examples` prepares them.
var programs = map[string][]string{
	// Debian's, which has python3-grpcio.
	"python": {"/usr/bin/python3", "examples/grpc/python/room.py"},
	"node":   {"node", "examples/grpc/node/room.mjs"},
}

// program is one example with its server and room.
type program struct {
	t        *testing.T
	language string
	args     []string
}

func newProgram(t *testing.T, language, server, room string) program {
	p := programs[language]
	return program{t, language, []string{p[0], filepath.Join(testbed.Root(), p[1]), "--server", server, "--room", room}}
}

func (p program) command(args ...string) *exec.Cmd {
	all := append(p.args[1:len(p.args):len(p.args)], args...)
	return exec.CommandContext(p.t.Context(), p.args[0], all...) //nolint:gosec // the programs above
}

// run returns the lines that the program prints.
func (p program) run(args ...string) []string {
	p.t.Helper()
	cmd := p.command(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("%s %q: %v\n%s\n(`make examples` prepares the examples)", p.language, args, err, &stderr)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// watch starts the program, and returns what it prints, line by line.
func (p program) watch() <-chan string {
	p.t.Helper()
	cmd := p.command("watch")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	lines, read := make(chan string, 1000), make(chan struct{})
	go func() {
		defer close(read)
		defer close(lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			lines <- in.Text()
		}
	}()
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait() // it was killed
		if p.t.Failed() {
			p.t.Logf("%s watch: %s", p.language, &stderr)
		}
	})
	return lines
}

// want takes the lines that come next. The text of a message is its end.
func (p program) want(lines <-chan string, want ...string) {
	p.t.Helper()
	for _, w := range want {
		select {
		case line, ok := <-lines:
			if !ok || !strings.Contains(line, w) {
				p.t.Fatalf("%s printed %q, want a line with %q", p.language, line, w)
			}
		case <-time.After(time.Minute):
			p.t.Fatalf("%s printed nothing for a minute, want %q", p.language, w)
		}
	}
}

func TestWatchGoesOnWhenItsServerComesBack(t *testing.T) {
	for language := range programs {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			s := testbed.Start(t, testbed.Config{Store: testbed.Single, Services: 2})
			room := client.Group()
			watched, other := s.Services[0], s.Services[1]
			here, there := newProgram(t, language, watched.Addr, room), newProgram(t, language, other.Addr, room)

			there.run("publish", "before the watch")
			lines := here.watch()
			here.want(lines, "watching")
			there.run("publish", "first")
			here.want(lines, `"first"`)
			watched.Kill()
			there.run("publish", "while it is down")
			watched.Start()
			here.want(lines, "watching", `"while it is down"`)
			there.run("publish", "last")
			here.want(lines, `"last"`)

			if got := there.run("page"); len(got) != 4 {
				t.Errorf("the history is %q, want 4 messages", got)
			}
		})
	}
}

// Pages of more than 4 MiB broke all callers with the default limits of gRPC.
func TestHistoryOfManyMegabytesIsReadWithDefaultLimits(t *testing.T) {
	s := testbed.Start(t, testbed.Config{Store: testbed.Single})
	room := client.Group()
	const n = 400
	text := strings.Repeat("x", 30_000)
	for i := range n {
		client.Publish(t, s.Edges[0].Addr, room, client.Data(fmt.Sprint("u", i), text))
	}
	for language := range programs {
		lines := newProgram(t, language, s.Services[0].Addr, room).run("page")
		if len(lines) != n {
			t.Errorf("%s read %d messages, want %d", language, len(lines), n)
		}
		for i, line := range lines {
			if uuid := client.Parse(t, line).UUID; uuid != fmt.Sprint("u", n-1-i) {
				t.Errorf("%s: message %d is %s, want u%d", language, i, uuid, n-1-i)
			}
		}
	}
}
