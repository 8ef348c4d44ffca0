// Package telemetry makes a program's logger and metrics registry.
package telemetry

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/gotapi/gotapi-ws/services/config"
)

// Log formats. Auto is Text on a terminal and JSON elsewhere.
const (
	FormatAuto = "auto"
	FormatText = "text"
	FormatJSON = "json"
)

// LogConfig says how to log.
type LogConfig struct {
	Level  slog.Level
	Format string
}

// RegisterFlags defines -log-level and -log-format.
func (c *LogConfig) RegisterFlags(fs *flag.FlagSet) {
	fs.TextVar(&c.Level, "log-level", slog.LevelInfo, "lowest `level` to log: debug, info, warn or error")
	fs.StringVar(&c.Format, "log-format", FormatAuto, "`format` of the log: text, json, or auto (text on a terminal, otherwise json)")
	config.MarkReloadable(fs, "log-level")
}

// Validate checks the format.
func (c *LogConfig) Validate() error {
	switch c.Format {
	case FormatAuto, FormatText, FormatJSON:
		return nil
	}
	return fmt.Errorf("-log-format %q: not text, json or auto", c.Format)
}

// NewLogger returns a logger that writes to w, and its level, which may be
// changed at any time. Warnings and errors that repeat themselves are cut
// short, see LimitRepeats.
func NewLogger(w io.Writer, c LogConfig) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(c.Level)
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: withUnits}
	var h slog.Handler = slog.NewJSONHandler(w, opts)
	if c.Format == FormatText || c.Format == FormatAuto && isTerminal(w) {
		h = slog.NewTextHandler(w, opts)
	}
	return slog.New(LimitRepeats(h)), level
}

// withUnits writes durations as 1.5s in JSON, too, where they would be a number of
// nanoseconds.
func withUnits(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// NewRegistry returns a registry with the metrics that every Go process has.
func NewRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return reg
}
