package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// programs are the programs to start.
type programs struct {
	bin, redisServer        string
	edgeFlags, historyFlags []string
	// How many edges; 0: one.
	edges int
	// Both services in one process, gotapi-ws, whose figures are those of the edge.
	together bool
}

// servers are the processes under load, on loopback ports of their own.
type servers struct {
	addr    string // of the first edge's HTTP
	history string // of the history service's gRPC
	redis   string // of Redis

	edges []string // of the HTTP of each edge

	dir                  string
	edgeCmds             []*exec.Cmd
	historyCmd, redisCmd *exec.Cmd
}

// usage is CPU time, user and system, by process.
type usage struct{ edge, historysvc, redis time.Duration }

func (u usage) total() time.Duration { return u.edge + u.historysvc + u.redis }

func (u usage) minus(v usage) usage {
	return usage{u.edge - v.edge, u.historysvc - v.historysvc, u.redis - v.redis}
}

func startServers(ctx context.Context, p programs) (_ *servers, err error) {
	ports, err := freePorts(2 + max(p.edges, 1))
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "gotapi-load-")
	if err != nil {
		return nil, err
	}
	s := &servers{history: ports[0], redis: ports[1], addr: ports[2], edges: ports[2:], dir: dir}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	_, redisPort, _ := net.SplitHostPort(s.redis)
	if s.redisCmd, err = s.start(p.redisServer, "--port", redisPort, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir); err != nil {
		return nil, err
	}
	if err = waitFor(ctx, func() error { return dialable(s.redis) }); err != nil {
		return nil, err
	}
	if err = s.startServices(p); err != nil {
		return nil, err
	}
	return s, waitFor(ctx, s.ready)
}

func (s *servers) startServices(p programs) (err error) {
	redis := []string{"-redis", "redis://" + s.redis + "/0", "-log-level", "warn"}
	if p.together && p.edges > 1 {
		return errors.New("these cases need several edges, but -together has only one: leave it out")
	}
	if p.together {
		return s.startEdge(p.bin, "gotapi-ws", slices.Concat([]string{"-listen", s.addr, "-grpc-listen", s.history}, redis, p.edgeFlags, p.historyFlags))
	}
	s.historyCmd, err = s.start(filepath.Join(p.bin, "historysvc"), slices.Concat([]string{"-listen", s.history}, redis, p.historyFlags)...)
	if err != nil {
		return err
	}
	for _, addr := range s.edges {
		if err := s.startEdge(p.bin, "edge", slices.Concat([]string{"-listen", addr, "-history", s.history, "-log-level", "warn"}, p.edgeFlags)); err != nil {
			return err
		}
	}
	return nil
}

func (s *servers) startEdge(bin, name string, args []string) error {
	cmd, err := s.start(filepath.Join(bin, name), args...)
	if err != nil {
		return err
	}
	s.edgeCmds = append(s.edgeCmds, cmd)
	return nil
}

// command is a program that ends with ctx or this process, and complains on its stderr.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// start runs a server until stop.
func (s *servers) start(name string, args ...string) (*exec.Cmd, error) {
	cmd := command(context.Background(), name, args...)
	return cmd, cmd.Start()
}

// ready returns nil once a message passes through every edge.
func (s *servers) ready() error {
	for _, addr := range s.edges {
		if err := post("http://"+addr+"/ready", "", `{"type":2,"uuid":"ready"}`); err != nil {
			return err
		}
	}
	return nil
}

func (s *servers) stop() {
	for _, cmd := range append(slices.Clone(s.edgeCmds), s.historyCmd, s.redisCmd) {
		if cmd != nil && cmd.Process != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	_ = os.RemoveAll(s.dir)
}

func (s *servers) cpu() (u usage, err error) {
	for _, p := range []struct {
		cmd *exec.Cmd
		to  *time.Duration
	}{{s.historyCmd, &u.historysvc}, {s.redisCmd, &u.redis}} {
		if p.cmd == nil {
			continue // together with the edge
		}
		if *p.to, err = testbed.CPU(p.cmd.Process.Pid); err != nil {
			return u, err
		}
	}
	for _, cmd := range s.edgeCmds {
		cpu, err := testbed.CPU(cmd.Process.Pid)
		if err != nil {
			return u, err
		}
		u.edge += cpu
	}
	return u, nil
}

// rss is the resident memory of all edges in bytes.
func (s *servers) rss() (total int64, err error) {
	for _, cmd := range s.edgeCmds {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", cmd.Process.Pid))
		if err != nil {
			return 0, err
		}
		f := strings.Fields(string(b))
		if len(f) < 2 {
			return 0, errors.New("cannot read /proc/PID/statm")
		}
		pages, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return 0, err
		}
		total += pages * int64(os.Getpagesize())
	}
	return total, nil
}

func freePorts(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addrs[i] = l.Addr().String()
	}
	return addrs, nil
}

func dialable(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	return c.Close()
}

// waitFor tries until try succeeds or ten seconds have passed.
func waitFor(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}
