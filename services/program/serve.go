package program

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/services/config"
	"github.com/gotapi/gotapi-ws/services/health"
	"github.com/gotapi/gotapi-ws/services/heap"
	"github.com/gotapi/gotapi-ws/services/ops"
	"github.com/gotapi/gotapi-ws/services/procs"
	"github.com/gotapi/gotapi-ws/services/run"
	"github.com/gotapi/gotapi-ws/services/telemetry"
	"github.com/gotapi/gotapi-ws/services/tracing"
)

// memoryShare of a container's memory limit is what the Go heap may fill before
// the collector works harder.
const memoryShare = 0.9

func (p Program[S]) serve(ctx context.Context, s *settings[S], stderr io.Writer, hangups <-chan os.Signal) int {
	log, level := telemetry.NewLogger(stderr, s.log)
	b := ReadBuild()
	tracer, stop, err := tracing.Start(ctx, s.tracing, p.Name, b.Version, log)
	if err != nil {
		log.Error("failed", "program", p.Name, "error", err)
		return ExitFailed
	}
	if tracer != nil {
		log = slog.New(tracing.Log(log.Handler()))
		defer stop()
	}
	log.Info("starting", "program", p.Name, "version", b.Version, "commit", b.Commit)
	if names := config.UnknownVariables(s.flags, os.Environ()); len(names) > 0 {
		log.Warn("no setting belongs to these environment variables", "names", names)
	}
	limitMemory(log)
	r := newReloader(p, s, level, log)
	if err := p.runAll(ctx, s, r, b, tracer, hangups); err != nil {
		log.Error("failed", "program", p.Name, "error", err)
		return ExitFailed
	}
	log.Info("stopped", "program", p.Name)
	return ExitOK
}

// limitMemory sets GOMEMLIMIT from the container's limit, unless it is set.
func limitMemory(log *slog.Logger) {
	limit, err := memlimit.Set(memlimit.WithRatio(memoryShare))
	if err != nil {
		log.Debug("the container's memory limit cannot be read", "error", err)
		return
	}
	log.Debug("memory limit", "bytes", limit)
}

func (p Program[S]) runAll(ctx context.Context, s *settings[S], r *reloader[S], b Build, tracer trace.TracerProvider, hangups <-chan os.Signal) error {
	reg := telemetry.NewRegistry()
	b.register(reg)
	ready := new(health.Checks)
	defer context.AfterFunc(ctx, ready.Stop)()
	parts := []run.Part{
		{Name: "processors", Serve: func(ctx context.Context) error { return procs.Govern(ctx, r.log) }},
		{Name: "heap", Serve: func(ctx context.Context) error { return heap.Keep(ctx, r.log) }},
		{Name: p.Name, Serve: func(ctx context.Context) error {
			return p.Run(ctx, s.own, Process[S]{Log: r.log, Metrics: reg, Tracing: tracer, Ready: ready, Reloads: r.reloads})
		}},
		{Name: "reload", Serve: func(ctx context.Context) error { return r.run(ctx, hangups) }},
	}
	if s.opsListen != "" {
		first, err := opsPart(ctx, s.opsListen, ready, reg, r, b)
		if err != nil {
			return err
		}
		parts = append([]run.Part{first}, parts...)
	}
	return run.All(ctx, r.log, 0, parts...) // no deadline here: the service has its own
}

func opsPart[S Settings](
	ctx context.Context, listen string, ready *health.Checks, reg *prometheus.Registry, r *reloader[S], b Build,
) (run.Part, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return run.Part{}, fmt.Errorf("-ops-listen: %w", err)
	}
	r.log.InfoContext(ctx, "operations endpoint listens", "address", ln.Addr().String())
	handler := ops.Handler(ops.Process{
		Metrics: reg, Ready: ready.Ready, Level: r.level, Reload: r.reload, Version: b, Log: r.log,
	})
	return run.Part{Name: "ops", Serve: func(ctx context.Context) error {
		return ops.Serve(ctx, ln, handler, r.log)
	}}, nil
}
