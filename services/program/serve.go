package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/services/config"
	"github.com/gotapi/gotapi-ws/services/health"
	"github.com/gotapi/gotapi-ws/services/ops"
	"github.com/gotapi/gotapi-ws/services/run"
	"github.com/gotapi/gotapi-ws/services/runtimetuning"
	"github.com/gotapi/gotapi-ws/services/telemetry"
	"github.com/gotapi/gotapi-ws/services/tracing"
)

// memoryShare of a container's memory limit is what the Go heap may fill before
// the collector works harder.
const memoryShare = 0.9

func (p Program[S]) serve(ctx context.Context, s *settings[S], stderr io.Writer, hangups <-chan os.Signal) int {
	log, level := telemetry.NewLogger(stderr, s.log)
	log = log.With("program", p.Name)
	b := ReadBuild()
	tracer, stop, err := tracing.Start(ctx, s.tracing, p.Name, b.Version, log)
	if err != nil {
		log.Error("failed", "error", err)
		return ExitFailed
	}
	if tracer != nil {
		log = slog.New(tracing.Log(log.Handler()))
		defer stop()
	}
	defer announceStop(ctx, log)()
	log.Info("starting", "version", b.Version, "commit", b.Commit)
	if names := config.UnknownVariables(s.flags, os.Environ()); len(names) > 0 {
		log.Warn("unknown environment variables are ignored", "names", names)
	}
	warnOfReadable(ctx, s.own, log)
	limitMemory(log)
	r := newReloader(p, s, level, log)
	if err := p.runAll(ctx, s, r, b, tracer, hangups); err != nil {
		log.Error("failed", "error", err)
		return ExitFailed
	}
	log.Info("stopped")
	return ExitOK
}

// announceStop logs that a signal stops the program, and that a second one ends it at
// once, until the function that it returns is called.
func announceStop(ctx context.Context, log *slog.Logger) (end func()) {
	stopped := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-ctx.Done():
		case <-stopped:
			return
		}
		// From the line in the log on, a second signal has one, too.
		again := make(chan os.Signal, 1)
		signal.Notify(again, os.Interrupt, syscall.SIGTERM)
		defer signal.Stop(again)
		log.Info("stopping", "cause", context.Cause(ctx))
		select {
		case sig := <-again:
			log.Warn("second signal: stopping at once, without finishing open work", "signal", sig)
			signal.Reset(sig)
			die(sig)
		case <-stopped:
		}
	})
	return func() {
		close(stopped)
		watching.Wait()
	}
}

// die ends the process as the signal does. Where there are no signals, the next one does.
func die(sig os.Signal) {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Signal(sig)
	}
}

// warnOfReadable logs which secrets everybody on the machine can read or replace.
func warnOfReadable(ctx context.Context, s Settings, log *slog.Logger) {
	for _, path := range readableSecrets(s) {
		log.WarnContext(ctx, "every user of this machine can read or replace a secret: chmod o= FILE", "file", path)
	}
}

// readableSecrets are the files of secrets that everybody on the machine can read or replace.
func readableSecrets(s Settings) []string {
	var all []string
	for _, path := range s.SecretFiles() {
		if info, err := os.Stat(path); err == nil && info.Mode()&0o006 != 0 { //nolint:gosec // the operator named it
			all = append(all, path)
		}
	}
	return all
}

// limitMemory sets GOMEMLIMIT from the container's limit, unless it is set.
func limitMemory(log *slog.Logger) {
	limit, err := memlimit.Set(memlimit.WithRatio(memoryShare))
	if err != nil {
		log.Debug("cannot read the memory limit of the container", "error", err)
		return
	}
	log.Debug("memory limit", "bytes", limit)
}

func (p Program[S]) runAll(ctx context.Context, s *settings[S], r *reloader[S], b Build, tracer trace.TracerProvider, hangups <-chan os.Signal) error {
	reg := telemetry.NewRegistry()
	b.register(reg)
	ready, own := new(health.Checks), http.NewServeMux()
	defer context.AfterFunc(ctx, ready.Stop)()
	parts := []run.Part{
		{Name: p.Name, Serve: func(ctx context.Context) error {
			return p.Run(ctx, s.own, Process[S]{Log: r.log, Metrics: reg, Tracing: tracer, Ready: ready, Ops: own, Reloads: r.reloads})
		}},
		{Name: "reload", Serve: func(ctx context.Context) error { return r.run(ctx, hangups) }},
	}
	if s.runtimeTuning {
		tuning := run.Part{Name: "runtime tuning", Serve: func(ctx context.Context) error { return runtimetuning.Run(ctx, r.log) }}
		parts = append([]run.Part{tuning}, parts...)
	}
	if s.opsListen != "" {
		first, err := opsPart(ctx, &s.common, ready, reg, r, b, own)
		if err != nil {
			return err
		}
		parts = append([]run.Part{first}, parts...)
	}
	parts = append(parts, notifyPart(ready.Started(), r.log)...)
	return run.All(ctx, r.log, 0, parts...) // no deadline here: the service has its own
}

func opsPart[S Settings](
	ctx context.Context, s *common, ready *health.Checks, reg *prometheus.Registry, r *reloader[S], b Build, own http.Handler,
) (run.Part, error) {
	ln, err := listenOps(ctx, s.opsListen)
	if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
		return run.Part{}, err
	}
	handler := ops.Handler(ops.Process{
		Metrics: reg, Ready: ready.Ready, Level: r.level, Reload: r.reload, Version: b, Log: r.log, Service: own,
		Hosts: strings.FieldsFunc(s.opsHosts, func(r rune) bool { return r == ',' || r == ' ' }),
	})
	return run.Part{Name: "ops", Serve: func(ctx context.Context) error {
		if err != nil {
			r.log.WarnContext(ctx, "operations address is in use, perhaps by a stopping process: trying again", "error", err)
			if ln, err = awaitOps(ctx, s.opsListen); err != nil {
				return err
			}
		}
		r.log.InfoContext(ctx, "operations endpoint listens", "address", ln.Addr().String())
		return ops.Serve(ctx, ln, handler, r.log)
	}}, nil
}

func listenOps(ctx context.Context, address string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("-ops-listen: %w", err)
	}
	return ln, nil
}

const (
	// opsPatience is how long the operations address may be in use: a process that is
	// replaced keeps it until it has stopped, so that its probes are answered.
	opsPatience = 2 * time.Minute
	opsRetry    = 200 * time.Millisecond
)

// awaitOps listens as soon as the address is free.
func awaitOps(ctx context.Context, address string) (net.Listener, error) {
	tick := time.NewTicker(opsRetry)
	defer tick.Stop()
	for began := time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
		ln, err := listenOps(ctx, address)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) || time.Since(began) > opsPatience {
			return ln, err
		}
	}
}
