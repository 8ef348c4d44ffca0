// Command edge is the face of gotapi-ws: WebSockets and HTTP for clients, one
// stream to a history service behind. Run it with -h.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge"
	"github.com/gotapi/gotapi-ws/services/health"
	"github.com/gotapi/gotapi-ws/services/program"
)

func main() {
	var cfg edge.Config
	os.Exit(program.Program{
		Name:          "edge",
		Summary:       "serves the members of groups over WebSockets and HTTP",
		RegisterFlags: cfg.RegisterFlags,
		Validate:      func() error { return cfg.Validate() },
		Probe:         func(ctx context.Context) error { return probe(ctx, &cfg) },
		Run: func(ctx context.Context, log *slog.Logger, reg prometheus.Registerer) error {
			return edge.Run(ctx, cfg, log, reg)
		},
	}.Main())
}

func probe(ctx context.Context, cfg *edge.Config) error {
	addr, err := health.Local(cfg.Listen)
	if err != nil {
		return err
	}
	scheme := "http"
	if cfg.TLSCert != "" {
		scheme = "https"
	}
	return health.HTTP(ctx, scheme+"://"+addr+"/__status")
}
