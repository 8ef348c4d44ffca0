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
	kind, usage := flag.UnquoteUsage(bare(f))
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

// WriteReference lists all flags of fs as a table in Markdown.
func WriteReference(w io.Writer, fs *flag.FlagSet) error {
	var b strings.Builder
	b.WriteString("| flag | environment | default | changes by reload | what it is |\n|---|---|---|---|---|\n")
	fs.VisitAll(func(f *flag.Flag) {
		kind, usage := flag.UnquoteUsage(bare(f))
		if kind != "" {
			kind = " " + kind
		}
		usage = strings.ReplaceAll(strings.ReplaceAll(usage, "\n", " "), "|", "\\|")
		if _, ok := f.Value.(*action); ok {
			fmt.Fprintf(&b, "| `-%s` | | | | %s |\n", f.Name, usage)
			return
		}
		reload := ""
		if Reloadable(f) {
			reload = "yes"
		}
		fmt.Fprintf(&b, "| `-%s%s` | `%s` | %s | %s | %s |\n", f.Name, kind, EnvName(f.Name), quoted(f.DefValue), reload, usage)
	})
	_, err := io.WriteString(w, b.String())
	return err
}

func quoted(def string) string {
	if def == "" {
		return ""
	}
	return "`" + def + "`"
}
