// Command gotapi-ws is the whole of gotapi-ws in one process: an edge, a history
// service and, unless -redis names one, an embedded store. Run it with -h.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/services/program"
	"github.com/gotapi/gotapi-ws/standalone"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "api-key" {
		os.Exit(access.KeyCommand(os.Args[2:], os.Stdout, os.Stderr))
	}
	cfg := standalone.Config{Out: os.Stdout}
	os.Exit(program.Program{
		Name:          "gotapi-ws",
		Summary:       "an edge and a history service in one process",
		RegisterFlags: cfg.RegisterFlags,
		Validate:      cfg.Validate,
		Probe:         cfg.Probe,
		Run: func(ctx context.Context, log *slog.Logger, reg prometheus.Registerer) error {
			return standalone.Run(ctx, cfg, log, reg)
		},
	}.Main())
}
