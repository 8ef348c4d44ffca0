package telemetry_test

import (
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/services/telemetry"
)

func parse(t *testing.T, args ...string) (telemetry.LogConfig, error) {
	t.Helper()
	var c telemetry.LogConfig
	fs := flag.NewFlagSet("prog", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	c.RegisterFlags(fs)
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	return c, c.Validate()
}

func TestLogIsJSONOutsideATerminal(t *testing.T) {
	c, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	log, _ := telemetry.NewLogger(&b, c)
	log.Debug("unseen")
	log.Info("seen", "group_count", 3)

	var line struct {
		Level      slog.Level
		Msg        string
		GroupCount int `json:"group_count"`
	}
	if err := json.Unmarshal([]byte(b.String()), &line); err != nil {
		t.Fatalf("log is not one JSON document: %v\n%s", err, b.String())
	}
	if line.Msg != "seen" || line.GroupCount != 3 || line.Level != slog.LevelInfo {
		t.Errorf("logged %+v, want seen, 3, INFO", line)
	}
}

func TestLogLevelAndFormatAreSettings(t *testing.T) {
	c, err := parse(t, "-log-level", "debug", "-log-format", "text")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	log, level := telemetry.NewLogger(&b, c)
	log.Debug("seen", "n", 1)
	if got := b.String(); !strings.Contains(got, "level=DEBUG msg=seen n=1") {
		t.Errorf("logged %q, want text at debug level", got)
	}
	b.Reset()
	level.Set(slog.LevelError)
	log.Warn("unseen")
	if b.Len() != 0 {
		t.Errorf("logged %q at level error, want nothing", b.String())
	}
}

func TestUnknownLevelOrFormatIsRefused(t *testing.T) {
	for _, args := range [][]string{{"-log-level", "loud"}, {"-log-format", "xml"}} {
		if _, err := parse(t, args...); err == nil {
			t.Errorf("%q: accepted", args)
		}
	}
}

func TestRegistryKnowsTheProcess(t *testing.T) {
	families, err := telemetry.NewRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, f := range families {
		found[f.GetName()] = true
	}
	for _, want := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if !found[want] {
			t.Errorf("registry lacks %s", want)
		}
	}
}

func TestDurationsHaveUnits(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var b strings.Builder
		log, _ := telemetry.NewLogger(&b, telemetry.LogConfig{Format: format})
		log.With("after", 90*time.Second).Info("seen", "duration", 1500*time.Millisecond, slog.Group("all", "wait", time.Hour))
		for _, want := range []string{"1.5s", "1m30s", "1h0m0s"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: the line lacks %s: %s", format, want, b.String())
			}
		}
	}
}
