// Command gotapi publishes to, reads and watches the groups of a gotapi-ws
// server, and measures one. Run it with -h; docs/cli.md is its reference.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/gotapi/gotapi-ws/cli"
)

func main() {
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// Restoring the default makes the second signal deadly.
	context.AfterFunc(ctx, restore)
	code := cli.Main(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.LookupEnv})
	restore()
	os.Exit(code)
}
