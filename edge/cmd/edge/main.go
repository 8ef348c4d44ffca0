// Command edge is the face of gotapi-ws: WebSockets and HTTP for clients, one
// stream to a history service behind. Run it with -h.
package main

import (
	"context"
	"os"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge"
	"github.com/gotapi/gotapi-ws/services/program"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "api-key" {
		os.Exit(access.KeyCommand(os.Args[2:], os.Stdout, os.Stderr))
	}
	os.Exit(program.Program[*edge.Config]{
		Name:    "edge",
		Summary: "serves the members of groups over WebSockets and HTTP",
		New:     func() *edge.Config { return new(edge.Config) },
		Run: func(ctx context.Context, cfg *edge.Config, p program.Process[*edge.Config]) error {
			cfg.Tracing, cfg.Ready, cfg.Ops, cfg.Reloads = p.Tracing, p.Ready, p.Ops, p.Reloads
			return edge.Run(ctx, *cfg, p.Log, p.Metrics)
		},
	}.Main())
}
