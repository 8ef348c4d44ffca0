// Package program is the common part of the mains of all services: settings and their
// reload, logs, metrics, signals and exit codes.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/services/config"
	"github.com/gotapi/gotapi-ws/services/health"
	"github.com/gotapi/gotapi-ws/services/runtimetuning"
)

// Exit codes.
const (
	ExitOK = 0
	// ExitFailed: the service could not start or broke, a probe failed, or
	// -check-config found something wrong.
	ExitFailed = 1
	// ExitUsage: a setting is unknown or bad.
	ExitUsage = 2
)

// probeTimeout is well below the usual patience of a container's health check.
const probeTimeout = 2 * time.Second

// Settings are the settings of one program, usually a pointer to a struct.
type Settings interface {
	RegisterFlags(fs *flag.FlagSet)
	// Validate checks the settings together, and looks at nothing else. Its
	// error is config.Errors, or one line.
	Validate() error
	// CheckFiles checks the content of the files that the settings name. Its error is
	// like Validate's.
	CheckFiles() error
	// SecretFiles returns the paths of files that hold secrets.
	SecretFiles() []string
	// Warnings returns what is valid, but not wise; each begins with the setting.
	Warnings() []string
	// Probe checks the health of the process that runs with the same settings.
	Probe(ctx context.Context) error
}

// Program is one service seen from its main.
type Program[S Settings] struct {
	Name string
	// One line, for -h.
	Summary string
	// New returns empty settings.
	New func() S
	// Run serves until ctx ends, then stops in its own time.
	Run func(ctx context.Context, settings S, p Process[S]) error
}

// Process is what a program gives its service.
type Process[S Settings] struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// nil: nothing is traced.
	Tracing trace.TracerProvider
	// The service says here when it is ready for work.
	Ready *health.Checks
	// Ops serves what the service shows on the operations port, beside what every process
	// shows. Patterns may be added at any time.
	Ops *http.ServeMux
	// Settings that were reloaded and are valid. The service uses the part that can
	// change while it runs: flags marked with config.MarkReloadable, and the contents
	// of files.
	Reloads <-chan S
}

// Main runs p with the process's arguments, environment and signals, and
// returns the exit code. SIGINT and SIGTERM stop it gracefully, a second one at
// once; SIGHUP makes it reload its settings.
func (p Program[S]) Main() int {
	s := p.load(os.Args[1:])
	if s.serves() && s.canBeReadAgain() {
		runtimetuning.Start(s.runtimeTuning)
	}
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer restore()
	// Restoring the default makes the second signal deadly.
	context.AfterFunc(ctx, restore)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	return p.main(ctx, s, os.Stdout, os.Stderr, hangups)
}

func (p Program[S]) main(ctx context.Context, s *settings[S], stdout, stderr io.Writer, hangups <-chan os.Signal) int {
	switch {
	case errors.Is(s.err, config.ErrHelp):
		return exitCode(config.WriteHelp(stdout, s.flags, p.Summary))
	case *s.checkConfig:
		return p.check(s, stdout)
	case *s.version && s.err == nil:
		_, err := fmt.Fprintf(stdout, "%s %s\n", p.Name, ReadBuild())
		return exitCode(err)
	}
	check := s.check
	if *s.probe {
		// Files do not count: while one is invalid, the process continues with its
		// previous content.
		check = s.validate
	}
	if err := check(); err != nil {
		return p.badSettings(s, err, stderr)
	}
	if *s.probe {
		return p.probe(ctx, s.own, stderr)
	}
	return p.serve(ctx, s, stderr, hangups)
}

func exitCode(err error) int {
	if err != nil {
		return ExitFailed
	}
	return ExitOK
}

func (p Program[S]) badSettings(s *settings[S], err error, stderr io.Writer) int {
	hint := ""
	if s.validate() != nil { // the help says nothing about the content of files
		hint = fmt.Sprintf(" (%s -h lists the settings)", p.Name)
	}
	fmt.Fprintf(stderr, "%s: %v%s\n", p.Name, err, hint)
	return ExitUsage
}

// check prints the problems of the settings, a line each.
func (p Program[S]) check(s *settings[S], stdout io.Writer) int {
	var wrong config.Errors
	wrong.Add(s.check())
	for _, problem := range wrong {
		fmt.Fprintf(stdout, "%s: %s\n", p.Name, problem)
	}
	for _, warning := range s.warnings() {
		fmt.Fprintf(stdout, "%s: warning: %s\n", p.Name, warning)
	}
	if len(wrong) > 0 {
		return ExitFailed
	}
	fmt.Fprintf(stdout, "%s: the settings are valid\n", p.Name)
	return ExitOK
}

func (p Program[S]) probe(ctx context.Context, s S, stderr io.Writer) int {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := s.Probe(ctx); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
		return ExitFailed
	}
	return ExitOK
}
