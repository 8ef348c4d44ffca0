package program

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// Set by the linker (see the Makefile); otherwise what the Go tool recorded.
var version, commit, date string

// Build says what this binary was made from.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	// Of the commit, not of the build: builds are reproducible.
	Date string `json:"date"`
	Go   string `json:"go"`
}

// ReadBuild returns what this binary was made from.
func ReadBuild() Build {
	b := Build{Version: "devel", Commit: "unknown", Date: "unknown", Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.read(info)
	}
	for _, set := range []struct {
		field *string
		value string
	}{{&b.Version, version}, {&b.Commit, commit}, {&b.Date, date}} {
		if set.value != "" {
			*set.field = set.value
		}
	}
	return b
}

func (b *Build) read(info *debug.BuildInfo) {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		}
	}
}

func (b Build) String() string {
	return fmt.Sprintf("%s (commit %s, %s, %s)", b.Version, b.Commit, b.Date, b.Go)
}

// Host names this process for people: the machine, and the port of the address where it
// listens.
func Host(listens string) string {
	name, err := os.Hostname()
	if err != nil {
		name = "localhost"
	}
	_, port, err := net.SplitHostPort(listens)
	if err != nil { // a pipe
		return name
	}
	return net.JoinHostPort(name, port)
}

// register makes the build a metric: gotapi_build_info.
func (b Build) register(reg prometheus.Registerer) {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "gotapi_build_info",
		Help:        "Always 1; the labels name the version, commit and Go version of this process.",
		ConstLabels: prometheus.Labels{"version": b.Version, "commit": b.Commit, "go": b.Go},
	})
	gauge.Set(1)
	reg.MustRegister(gauge)
}
