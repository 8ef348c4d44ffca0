package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// probe publishes 100 messages per second to 100 groups of 10 on a server that
// runs already, until ctx ends, and says how long they took.
func probe(ctx context.Context, addr string) (string, error) {
	fleet, err := openRoomsAt(ctx, addr, "/probe", 100, 10, 100)
	if err != nil {
		return "", err
	}
	defer fleet.close()
	paced := pace(ctx, fleet, 100)
	<-ctx.Done()
	return paced.stop(), nil
}

// probeElsewhere is probe in a process of its own.
func probeElsewhere(ctx context.Context, addr string) string {
	cmd := exec.Command(os.Args[0], "-probe", addr) //nolint:gosec // this program
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		return fmt.Sprintf("not measured: %v", err)
	}
	<-ctx.Done()
	_ = cmd.Process.Signal(os.Interrupt) // it ends by itself, and says what it has seen
	if err := cmd.Wait(); err != nil {
		return fmt.Sprintf("not measured: %v", err)
	}
	return strings.TrimSpace(out.String())
}
