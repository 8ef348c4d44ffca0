package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Set by the linker (see the Makefile). If empty, readBuild uses what the Go tool recorded.
var version, commit, date string

// build is what --json writes of a version.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Date    string `json:"date"`
	Go      string `json:"go"`
}

func readBuild() build {
	b := build{Version: "devel", Commit: "unknown", Date: "unknown", Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
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
	if version != "" {
		b.Version, b.Commit, b.Date = version, commit, date
	}
	return b
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version [flags]",
		Short: "Show the version and commit of this program",
		Args:  exactly(),
		RunE: func(*cobra.Command, []string) error {
			b, p := readBuild(), a.printer()
			if p.asJSON {
				return p.json(b)
			}
			return p.line(fmt.Sprintf("gotapi %s (commit %s, %s, %s)", b.Version, b.Commit, b.Date, b.Go))
		},
	}
}
