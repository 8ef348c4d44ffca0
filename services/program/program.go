// Package program is what the mains of all services have in common: settings,
// logs, metrics, signals and exit codes.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/services/config"
	"github.com/gotapi/gotapi-ws/services/ops"
	"github.com/gotapi/gotapi-ws/services/procs"
	"github.com/gotapi/gotapi-ws/services/run"
	"github.com/gotapi/gotapi-ws/services/telemetry"
)

// Exit codes.
const (
	ExitOK = 0
	// ExitFailed: the service could not start or broke, or a probe failed.
	ExitFailed = 1
	// ExitUsage: a setting is unknown or bad.
	ExitUsage = 2
)

// probeTimeout is well below the usual patience of a container's health check.
const probeTimeout = 2 * time.Second

// memoryShare of a container's memory limit is what the Go heap may fill before
// the collector works harder.
const memoryShare = 0.9

// Program is one service seen from its main.
type Program struct {
	Name string
	// One line, for -h.
	Summary       string
	RegisterFlags func(*flag.FlagSet)
	// Validate checks the settings together. Its error is one line.
	Validate func() error
	// Probe asks the process that runs with the same settings whether it is well.
	Probe func(context.Context) error
	// Run serves until ctx ends, then stops in its own time.
	Run func(context.Context, *slog.Logger, prometheus.Registerer) error
}

// Main runs p with the process's arguments, environment and signals, and
// returns the exit code. SIGINT and SIGTERM stop it gracefully, a second one at
// once.
func (p Program) Main() int {
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer restore()
	// Restoring the default makes the second signal deadly.
	context.AfterFunc(ctx, restore)
	return p.main(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

// settings are the flags that every program has.
type settings struct {
	log       telemetry.LogConfig
	opsListen string
	version   *bool
	probe     *bool
}

func (s *settings) register(fs *flag.FlagSet) {
	s.log.RegisterFlags(fs)
	fs.StringVar(&s.opsListen, "ops-listen", "", "`address` of metrics, health and profiles (/metrics, /livez, /readyz, /debug/pprof/);\nnot for the public; none: off")
	s.version = config.Action(fs, "version", "print version, commit and date, and exit")
	s.probe = config.Action(fs, "probe", "ask the process that runs with the same settings whether it is well:\nexit 0 if it is, 1 if not")
}

func (p Program) main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	var s settings
	s.register(fs)
	p.RegisterFlags(fs)

	err := config.Parse(fs, args)
	switch {
	case errors.Is(err, config.ErrHelp):
		return exitCode(config.WriteHelp(stdout, fs, p.Summary))
	case err != nil:
		return p.badSetting(stderr, err)
	case *s.version:
		_, err := fmt.Fprintf(stdout, "%s %s\n", p.Name, readBuild())
		return exitCode(err)
	}
	if err := errors.Join(s.log.Validate(), p.Validate()); err != nil {
		return p.badSetting(stderr, err)
	}
	if *s.probe {
		return p.probe(ctx, stderr)
	}
	return p.serve(ctx, &s, stderr)
}

func exitCode(err error) int {
	if err != nil {
		return ExitFailed
	}
	return ExitOK
}

func (p Program) badSetting(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "%s: %v (%s -h explains the settings)\n", p.Name, err, p.Name)
	return ExitUsage
}

func (p Program) probe(ctx context.Context, stderr io.Writer) int {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := p.Probe(ctx); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
		return ExitFailed
	}
	return ExitOK
}

func (p Program) serve(ctx context.Context, s *settings, stderr io.Writer) int {
	log := telemetry.NewLogger(stderr, s.log)
	b := readBuild()
	log.Info("starting", "program", p.Name, "version", b.version, "commit", b.commit)
	limitMemory(log)
	if err := p.runWithOps(ctx, s, log, b); err != nil {
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

func (p Program) runWithOps(ctx context.Context, s *settings, log *slog.Logger, b build) error {
	reg := telemetry.NewRegistry()
	b.register(reg)
	service := func(ctx context.Context) error { return p.Run(ctx, log, reg) }
	parts := []run.Part{
		{Name: "processors", Serve: func(ctx context.Context) error { return procs.Govern(ctx, log) }},
		{Name: p.Name, Serve: service},
	}
	if s.opsListen == "" {
		return run.All(ctx, log, 0, parts...) // no deadline here: the service has its own
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", s.opsListen)
	if err != nil {
		return fmt.Errorf("-ops-listen: %w", err)
	}
	log.Info("operations endpoint listens", "address", ln.Addr().String())
	parts = append([]run.Part{{Name: "ops", Serve: func(ctx context.Context) error {
		return ops.Serve(ctx, ln, ops.Handler(reg, p.Probe), log)
	}}}, parts...)
	return run.All(ctx, log, 0, parts...)
}
