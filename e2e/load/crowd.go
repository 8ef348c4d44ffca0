package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

// crowdEdges is how many edges, and as many processes of this program, a crowd is
// spread over: 100,000 connections, where a process may have 20,000 files open. It
// is the same for small crowds, so that they can be compared.
const crowdEdges = 7

// crowdPart is the settings of one process of a crowd.
type crowdPart struct {
	Addr, Prefix          string
	Groups, Size, Unacked int // as in shape; Unacked 0: no publishers
}

// serveCrowd is one process of a crowd: it opens its groups, says "open", begins
// to publish when it reads a line, and then answers each line with the number of
// acks so far. It ends with in, or ctx.
func serveCrowd(ctx context.Context, text string, in io.Reader, out io.Writer) error {
	var part crowdPart
	if err := json.Unmarshal([]byte(text), &part); err != nil {
		return err
	}
	fleet, err := openRoomsAt(ctx, part.Addr, part.Prefix, part.Groups, part.Size, part.Unacked)
	if err != nil {
		return err
	}
	defer fleet.close()
	fleet.startReaders()
	fmt.Fprintln(out, "open")

	var acked atomic.Int64
	pubCtx, stop := context.WithCancel(ctx)
	var publishers sync.WaitGroup
	defer publishers.Wait()
	defer stop()
	lines := bufio.NewScanner(in)
	for begun := false; lines.Scan(); begun = true {
		if begun {
			fmt.Fprintln(out, acked.Load())
			continue
		}
		if part.Unacked == 0 {
			continue
		}
		for _, r := range fleet.rooms {
			publishers.Go(func() { _ = r.members[0].publish(pubCtx, r.name, part.Unacked, packetBytes, &acked) })
		}
	}
	return lines.Err()
}

// crowd is the processes.
type crowd struct {
	cmds []*exec.Cmd
	in   []io.WriteCloser
	out  []*bufio.Reader
}

// openCrowd spreads groups over all edges, and returns when all members are there.
func openCrowd(ctx context.Context, s *servers, of shape) (_ *crowd, err error) {
	c := &crowd{}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	for i, addr := range s.edges {
		part := crowdPart{
			Addr: addr, Prefix: fmt.Sprintf("/crowd/%d", i), Size: of.size, Unacked: of.unacked,
			Groups: of.groups*(i+1)/len(s.edges) - of.groups*i/len(s.edges),
		}
		if err := c.start(ctx, part); err != nil {
			return c, err
		}
	}
	for _, out := range c.out {
		if line, err := out.ReadString('\n'); line != "open\n" {
			return c, fmt.Errorf("a part of the crowd did not come: %q, %w", line, err)
		}
	}
	return c, nil
}

func (c *crowd) start(ctx context.Context, part crowdPart) error {
	text, err := json.Marshal(part)
	if err != nil {
		return err
	}
	cmd := command(ctx, os.Args[0], "-crowd", string(text))
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		return err
	}
	c.cmds, c.in, c.out = append(c.cmds, cmd), append(c.in, in), append(c.out, bufio.NewReader(out))
	return nil
}

// begin makes them publish.
func (c *crowd) begin() error {
	for _, in := range c.in {
		if _, err := io.WriteString(in, "\n"); err != nil {
			return err
		}
	}
	return nil
}

// acked is how many acks all of them have got; less if one of them is gone.
func (c *crowd) acked() (total int64) {
	_ = c.begin() // the second line asks
	for _, out := range c.out {
		var n int64
		if _, err := fmt.Fscanln(out, &n); err == nil {
			total += n
		}
	}
	return total
}

func (c *crowd) close() {
	for i, cmd := range c.cmds {
		_ = c.in[i].Close()
		_ = cmd.Process.Kill() // it would close connection by connection
		_ = cmd.Wait()
	}
}

// crowdOf has a crowd publish as fast as unacked allows, or only be there.
func crowdOf(d time.Duration, of shape) func(context.Context, *servers) (result, error) {
	return func(ctx context.Context, s *servers) (result, error) {
		before, err := s.rss()
		if err != nil {
			return result{}, err
		}
		c, err := openCrowd(ctx, s, of)
		if err != nil {
			return result{}, err
		}
		defer c.close()
		if err := c.begin(); err != nil {
			return result{}, err
		}
		if of.unacked > 0 {
			return window(ctx, s, d, c.acked)
		}
		return whileIdle(ctx, s, d, before, of.groups*of.size)
	}
}
