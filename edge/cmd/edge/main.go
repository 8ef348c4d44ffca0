// Command edge is the face of gotapi-ws: WebSockets and HTTP for clients, one
// stream to a history service behind. Run it with -h.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge"
	"github.com/gotapi/gotapi-ws/services/program"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "api-key" {
		os.Exit(access.KeyCommand(os.Args[2:], os.Stdout, os.Stderr))
	}
	var cfg edge.Config
	os.Exit(program.Program{
		Name:          "edge",
		Summary:       "serves the members of groups over WebSockets and HTTP",
		RegisterFlags: cfg.RegisterFlags,
		Validate:      cfg.Validate,
		Probe:         cfg.Probe,
		Run: func(ctx context.Context, log *slog.Logger, reg prometheus.Registerer) error {
			return edge.Run(ctx, cfg, log, reg)
		},
	}.Main())
}
