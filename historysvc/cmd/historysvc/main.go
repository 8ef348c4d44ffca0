// Command historysvc is the history service of gotapi-ws: it owns Redis, and
// edges and internal services call it over gRPC. Run it with -h.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/historysvc"
	"github.com/gotapi/gotapi-ws/services/program"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "api-key" {
		os.Exit(access.KeyCommand(os.Args[2:], os.Stdout, os.Stderr))
	}
	var cfg historysvc.Config
	os.Exit(program.Program{
		Name:          "historysvc",
		Summary:       "stores the messages of groups in Redis and carries them between edges",
		RegisterFlags: cfg.RegisterFlags,
		Validate:      cfg.Validate,
		Probe:         cfg.Probe,
		Run: func(ctx context.Context, log *slog.Logger, reg prometheus.Registerer) error {
			return historysvc.Run(ctx, cfg, log, reg)
		},
	}.Main())
}
