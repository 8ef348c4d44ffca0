package config

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

// WriteHelp explains the program and all flags of fs with their defaults and
// environment variables.
func WriteHelp(w io.Writer, fs *flag.FlagSet, summary string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\nFlags (one dash or two), each also an environment variable or a key of the -config file:\n", fs.Name(), summary)
	fs.VisitAll(func(f *flag.Flag) { writeFlag(&b, f) })
	_, err := io.WriteString(w, b.String())
	return err
}

func writeFlag(b *strings.Builder, f *flag.Flag) {
	kind, usage := flag.UnquoteUsage(f)
	fmt.Fprintf(b, "\n  -%s", f.Name)
	if kind != "" {
		fmt.Fprintf(b, " %s", kind)
	}
	b.WriteString("\n")
	fmt.Fprintf(b, "        %s\n", strings.ReplaceAll(usage, "\n", "\n        "))
	if _, ok := f.Value.(*action); ok {
		return
	}
	fmt.Fprintf(b, "        default %s, environment %s\n", shown(f.DefValue), EnvName(f.Name))
}

func shown(def string) string {
	if def == "" {
		return "none"
	}
	return def
}
