// Command historysvc is the history service of gotapi-ws: it owns Redis, and
// edges and internal services call it over gRPC. Run it with -h.
package main

import (
	"context"
	"os"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/historysvc"
	"github.com/gotapi/gotapi-ws/services/program"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "api-key" {
		os.Exit(access.KeyCommand(os.Args[2:], os.Stdout, os.Stderr))
	}
	os.Exit(program.Program[*historysvc.Config]{
		Name:    "historysvc",
		Summary: "stores the messages of groups in Redis and carries them between edges",
		New:     func() *historysvc.Config { return new(historysvc.Config) },
		Run: func(ctx context.Context, cfg *historysvc.Config, p program.Process[*historysvc.Config]) error {
			cfg.Tracing, cfg.Ready, cfg.Reloads = p.Tracing, p.Ready, p.Reloads
			return historysvc.Run(ctx, *cfg, p.Log, p.Metrics)
		},
	}.Main())
}
