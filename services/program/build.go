package program

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// Set by the linker (see the Makefile); otherwise what the Go tool recorded.
var version, commit, date string

// build says what this binary was made from.
type build struct{ version, commit, date string }

func readBuild() build {
	b := build{version: "devel", commit: "unknown", date: "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.read(info)
	}
	for _, set := range []struct {
		field *string
		value string
	}{{&b.version, version}, {&b.commit, commit}, {&b.date, date}} {
		if set.value != "" {
			*set.field = set.value
		}
	}
	return b
}

func (b *build) read(info *debug.BuildInfo) {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.commit = s.Value
		case "vcs.time":
			b.date = s.Value
		}
	}
}

func (b build) String() string {
	return fmt.Sprintf("%s (commit %s, %s, %s)", b.version, b.commit, b.date, runtime.Version())
}

// register makes the build a metric: gotapi_build_info.
func (b build) register(reg prometheus.Registerer) {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "gotapi_build_info",
		Help:        "Always 1; the labels say what this process was built from.",
		ConstLabels: prometheus.Labels{"version": b.version, "commit": b.commit, "go": runtime.Version()},
	})
	gauge.Set(1)
	reg.MustRegister(gauge)
}
