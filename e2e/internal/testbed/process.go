package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// Process is a program that can be stopped, killed and started again.
type Process struct {
	// Addr is where it listens: HTTP for an edge and for gotapi-ws, gRPC for a
	// history service, RESP for Redis.
	Addr string
	// GRPC is where gotapi-ws and a history service listen for gRPC.
	GRPC string

	tb    TB
	name  string
	path  string
	args  []string
	log   string
	ready func(ctx context.Context) error

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended; err says how
	err  error
}

// StartProcess starts a program and waits until ready returns nil.
func StartProcess(tb TB, name, path string, ready func(ctx context.Context) error, args ...string) *Process {
	tb.Helper()
	p := &Process{
		tb: tb, name: name, path: path, args: args, ready: ready,
		log: filepath.Join(tb.TempDir(), name+".log"),
	}
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			p.showLog()
		}
	})
	p.Start()
	return p
}

// Start starts the process (again) and waits until it is ready.
func (p *Process) Start() {
	p.tb.Helper()
	p.Launch()
	p.AwaitReady()
}

// Launch starts the process (again) and does not wait.
func (p *Process) Launch() {
	p.tb.Helper()
	if err := p.start(); err != nil {
		p.tb.Fatalf("start %s: %v", p.name, err)
	}
}

// AwaitReady waits until the process that was started is ready.
func (p *Process) AwaitReady() {
	p.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), StartTimeout)
	defer cancel()
	done := p.Done()
	err := poll(ctx, func(ctx context.Context) error {
		select {
		case <-done:
			cancel() // it will not become ready any more
			return fmt.Errorf("it ended: %w", p.err)
		default:
			return p.ready(ctx)
		}
	})
	if err != nil {
		p.showLog()
		p.tb.Fatalf("%s (%s %s) did not become ready: %v", p.name, p.path, strings.Join(p.args, " "), err)
	}
}

func (p *Process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.CommandContext(context.Background(), p.path, p.args...) //nolint:gosec // the programs under test, and redis-server
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = environment()
	// So that it ends with the test process even if that is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() {
		p.err = cmd.Wait()
		close(done)
	}()
	return nil
}

// environment is ours without the variables that set the programs' flags.
func environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GOTAPI_") {
			env = append(env, kv)
		}
	}
	return env
}

// Kill ends the process as a crash would (SIGKILL), if it runs, and waits.
func (p *Process) Kill() {
	p.signal(syscall.SIGKILL)
	<-p.Done()
}

// Terminate asks the process to end (SIGTERM) and does not wait.
func (p *Process) Terminate() { p.signal(syscall.SIGTERM) }

// PID is the process id; 0 before it was started.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Name names the process in failures.
func (p *Process) Name() string { return p.name }

// Stop asks the process to end (SIGTERM) and returns how it did.
func (p *Process) Stop() error {
	p.Terminate()
	select {
	case <-p.Done():
		return p.err
	case <-time.After(StartTimeout):
		p.Kill()
		return errors.New("it did not end within " + StartTimeout.String())
	}
}

// Pause makes the process hang until Resume.
func (p *Process) Pause() { p.signal(syscall.SIGSTOP) }

// Resume lets a paused process run again.
func (p *Process) Resume() { p.signal(syscall.SIGCONT) }

// Signal sends any signal.
func (p *Process) Signal(s syscall.Signal) { p.signal(s) }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// Log returns what the process has written so far.
func (p *Process) Log() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

func (p *Process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Signal(s)
	}
}

func (p *Process) showLog() {
	const tail = 40
	lines := bytes.Split([]byte(strings.TrimSpace(p.Log())), []byte("\n"))
	if len(lines) > tail {
		lines = lines[len(lines)-tail:]
	}
	p.tb.Logf("---- end of the log of %s (%s)\n%s", p.name, p.Addr, bytes.Join(lines, []byte("\n")))
}

// serving is the readiness of an edge.
func serving(addr string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/__status", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/__status: %s", resp.Status)
		}
		return nil
	}
}

// healthy is the readiness of a gRPC server.
func healthy(addr string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer conn.Close()
		resp, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
		if err != nil {
			return err
		}
		if s := resp.GetStatus(); s != healthv1.HealthCheckResponse_SERVING {
			return fmt.Errorf("health: %v", s)
		}
		return nil
	}
}

func both(a, b func(ctx context.Context) error) func(ctx context.Context) error {
	return func(ctx context.Context) error { return errors.Join(a(ctx), b(ctx)) }
}
