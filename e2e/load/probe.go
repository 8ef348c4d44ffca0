package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// probe publishes 100 messages per second to 100 groups of 10 on a server that
// runs already, until ctx ends, and then writes their latencies as JSON.
func probe(ctx context.Context, addr string, out io.Writer) error {
	fleet, err := openRoomsAt(ctx, addr, "/probe", 100, 10, 100)
	if err != nil {
		return err
	}
	defer fleet.close()
	paced := pace(ctx, fleet, 100)
	<-ctx.Done()
	return json.NewEncoder(out).Encode(paced.stop())
}

// probeElsewhere runs probe in a process of its own.
func probeElsewhere(ctx context.Context, addr string) (l latencies, err error) {
	cmd := command(context.WithoutCancel(ctx), os.Args[0], "-probe", addr) // ends on the interrupt, then prints
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		return l, fmt.Errorf("probe: %w", err)
	}
	<-ctx.Done()
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		return l, fmt.Errorf("probe: %w", err)
	}
	if err := json.Unmarshal(out.Bytes(), &l); err != nil {
		return l, fmt.Errorf("probe: %w", err)
	}
	return l, nil
}
