// Command gotapi-ws is the whole of gotapi-ws in one process: an edge, a history
// service and, unless -redis names one, an embedded store. Run it with -h.
package main

import (
	"context"
	"os"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/services/program"
	"github.com/gotapi/gotapi-ws/standalone"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "api-key" {
		os.Exit(access.KeyCommand(os.Args[2:], os.Stdout, os.Stderr))
	}
	os.Exit(program.Program[*standalone.Config]{
		Name:    "gotapi-ws",
		Summary: "an edge and a history service in one process",
		New:     func() *standalone.Config { return &standalone.Config{Out: os.Stdout} },
		Run: func(ctx context.Context, cfg *standalone.Config, p program.Process[*standalone.Config]) error {
			cfg.Tracing, cfg.Ready, cfg.Ops, cfg.Reloads = p.Tracing, p.Ready, p.Ops, p.Reloads
			return standalone.Run(ctx, *cfg, p.Log, p.Metrics)
		},
	}.Main())
}
