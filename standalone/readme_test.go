package standalone_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var readmes = []string{"README.md", "README.zh.md"}

func readFile(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestReadmeProgramIsTheExampleAndRuns(t *testing.T) {
	_, body, _ := strings.Cut(readFile(t, "example", "main.go"), "func run(")
	for _, name := range readmes {
		block := regexp.MustCompile("(?s)```go\n(.*?)```").FindStringSubmatch(readFile(t, "..", name))
		if block == nil || block[1] != "func run("+body {
			t.Errorf("the Go snippet of %s is not func run of standalone/example/main.go", name)
		}
	}

	s := start(t)
	for _, want := range []string{"stored: true duplicate: false\n", "stored: true duplicate: true\n"} {
		wantPrefix(t, "example", output(t, "go", "run", "./example", "-grpc", s.grpc), want+`{"type":2,"uuid":"from-go-1",`)
	}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// A row of a README's table of flags: flag, program, default.
var tableRow = regexp.MustCompile("(?m)^\\| `-([a-z-]+)` \\| ([^|]+) \\| ([^|]+) \\|")

func TestReadmeTablesNameTheRealDefaults(t *testing.T) {
	help := map[string]string{}
	for _, program := range []string{"edge", "historysvc"} {
		help[program] = output(t, "go", "run", "github.com/gotapi/gotapi-ws/"+program+"/cmd/"+program, "-h")
	}
	for _, name := range readmes {
		rows := tableRow.FindAllStringSubmatch(readFile(t, "..", name), -1)
		if len(rows) < 10 {
			t.Errorf("%s: found %d rows of flags", name, len(rows))
		}
		for _, row := range rows {
			flagName, program, def := row[1], row[2], strings.Trim(row[3], "`")
			if def == "无" {
				def = "none"
			}
			if _, ok := help[program]; !ok {
				program = "edge" // a flag of both
			}
			if got := defaultOf(help[program], flagName); got != def {
				t.Errorf("%s: default of %s -%s is %q, the program says %q", name, program, flagName, def, got)
			}
		}
	}
}

// defaultOf finds the default of a flag in a program's help.
func defaultOf(help, flagName string) string {
	_, from, _ := strings.Cut(help, "\n  -"+flagName+" ")
	_, from, _ = strings.Cut(from, "default ")
	def, _, _ := strings.Cut(from, ", environment ")
	return def
}

func TestReadmesShowTheSameCommands(t *testing.T) {
	var commands [2]string
	for i, name := range readmes {
		for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(readFile(t, "..", name), -1) {
			commands[i] += regexp.MustCompile(`(?m) +#.*$`).ReplaceAllString(block[1], "")
		}
	}
	if commands[0] == "" || commands[0] != commands[1] {
		t.Errorf("the commands of the two READMEs differ:\n%s\n---\n%s", commands[0], commands[1])
	}
}
