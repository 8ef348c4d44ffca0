package standalone_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/edge"
	"github.com/gotapi/gotapi-ws/historysvc"
	"github.com/gotapi/gotapi-ws/services/config"
	"github.com/gotapi/gotapi-ws/services/program"
	"github.com/gotapi/gotapi-ws/standalone"
)

var update = flag.Bool("update", false, "write the tables of docs/configuration.md")

const configurationDoc = "../docs/configuration.md"

func TestConfigurationReferenceIsCurrent(t *testing.T) {
	doc, err := os.ReadFile(configurationDoc)
	if err != nil {
		t.Fatal(err)
	}
	text := string(doc)
	for name, flags := range map[string]*flag.FlagSet{
		"edge":       program.Program[*edge.Config]{New: func() *edge.Config { return new(edge.Config) }}.Flags(),
		"historysvc": program.Program[*historysvc.Config]{New: func() *historysvc.Config { return new(historysvc.Config) }}.Flags(),
		"gotapi-ws":  program.Program[*standalone.Config]{New: func() *standalone.Config { return new(standalone.Config) }}.Flags(),
	} {
		var want strings.Builder
		if err := config.WriteReference(&want, flags); err != nil {
			t.Fatal(err)
		}
		before, rest, found := strings.Cut(text, "<!-- "+name+" -->\n")
		got, after, ends := strings.Cut(rest, "<!-- /"+name+" -->")
		if !found || !ends {
			t.Fatalf("%s has no place for %s", configurationDoc, name)
		}
		if got != want.String() && !*update {
			t.Errorf("the settings of %s are not those of docs/configuration.md: run `make docs`", name)
		}
		text = before + "<!-- " + name + " -->\n" + want.String() + "<!-- /" + name + " -->" + after
	}
	if *update {
		if err := os.WriteFile(configurationDoc, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
