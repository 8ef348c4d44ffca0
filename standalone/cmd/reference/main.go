// Command reference writes the tables of all settings into docs/configuration.md,
// from the flags that the programs define. `make docs` runs it; a test fails
// if the file is not current.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/gotapi/gotapi-ws/edge"
	"github.com/gotapi/gotapi-ws/historysvc"
	"github.com/gotapi/gotapi-ws/services/config"
	"github.com/gotapi/gotapi-ws/services/program"
	"github.com/gotapi/gotapi-ws/standalone"
)

func main() {
	if err := update(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// update rewrites the file at path.
func update(path string) error {
	text, err := os.ReadFile(path) //nolint:gosec // the Makefile names it
	if err != nil {
		return err
	}
	current, err := withTables(string(text))
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(current), 0o644) //nolint:gosec // a document
}

// programs are the flags of each.
func programs() map[string]*flag.FlagSet {
	return map[string]*flag.FlagSet{
		"edge":       program.Program[*edge.Config]{New: func() *edge.Config { return new(edge.Config) }}.Flags(),
		"historysvc": program.Program[*historysvc.Config]{New: func() *historysvc.Config { return new(historysvc.Config) }}.Flags(),
		"gotapi-ws":  program.Program[*standalone.Config]{New: func() *standalone.Config { return new(standalone.Config) }}.Flags(),
	}
}

// withTables returns text with the tables of now between <!-- name --> and
// <!-- /name -->.
func withTables(text string) (string, error) {
	for name, flags := range programs() {
		begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
		before, rest, begins := strings.Cut(text, begin)
		_, after, ends := strings.Cut(rest, end)
		if !begins || !ends {
			return "", fmt.Errorf("no place for the table of %s", name)
		}
		var table strings.Builder
		if err := config.WriteReference(&table, flags); err != nil {
			return "", err
		}
		text = before + begin + table.String() + end + after
	}
	return text, nil
}
