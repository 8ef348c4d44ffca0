package main

import (
	"context"
	"fmt"
	"os"
	"strings"
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
	cmd := command(context.WithoutCancel(ctx), os.Args[0], "-probe", addr) // it ends by itself, and says what it has seen
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		return fmt.Sprintf("not measured: %v", err)
	}
	<-ctx.Done()
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		return fmt.Sprintf("not measured: %v", err)
	}
	return strings.TrimSpace(out.String())
}
