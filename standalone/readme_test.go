package standalone_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Pages that exist in English and Chinese, with the same programs and commands.
var (
	readmes        = []string{"README.md", "README.zh.md"}
	gettingStarted = []string{"docs/getting-started.md", "docs/getting-started.zh.md"}
)

func readFile(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// withoutComments returns code without the ends of lines that explain it: they are in the
// language of the page.
func withoutComments(code string) string {
	return regexp.MustCompile(`(?m) +(//|#).*$`).ReplaceAllString(code, "")
}

func TestGoProgramsOfPagesAreTheExamplesAndRun(t *testing.T) {
	for page, program := range map[string]string{
		"README.md": "../examples/go/main.go", "README.zh.md": "../examples/go/main.go", "docs/grpc.md": "example/main.go",
	} {
		_, body, _ := strings.Cut(readFile(t, program), "func run(")
		block := regexp.MustCompile("(?s)```go\n(.*?)```").FindStringSubmatch(readFile(t, "..", page))
		if block == nil || withoutComments(block[1]) != withoutComments("func run("+body) {
			t.Errorf("the Go snippet of %s is not func run of %s", page, program)
		}
	}

	s := start(t)
	for _, want := range []string{"stored: true duplicate: false\n", "stored: true duplicate: true\n"} {
		wantPrefix(t, "example", output(t, "go", "run", "./example", "-grpc", s.grpc), want+`{"type":2,"uuid":"from-go-1",`)
	}
	got := output(t, "go", "run", "../examples/go", "-url", "http://"+s.http)
	stored := regexp.MustCompile(`^stored (\S+)\n`).FindStringSubmatch(got)
	if stored == nil || !strings.Contains(got, `{"type":2,"uuid":"`+stored[1]+`","body":{"data":"hello from Go"}}`) {
		t.Errorf("examples/go prints %q", got)
	}
}

func TestCurlCommandsOfPagesWork(t *testing.T) {
	for _, page := range []string{readmes[0], gettingStarted[0]} {
		s := start(t)
		commands := regexp.MustCompile(`(?m)^curl .*$`).FindAllString(readFile(t, "..", page), -1)
		if len(commands) < 2 {
			t.Errorf("%s has the commands %q", page, commands)
		}
		for _, command := range commands {
			command = strings.ReplaceAll(command, "127.0.0.1:4998", s.http)
			if got := output(t, "sh", "-c", strings.Replace(command, "curl ", "curl -sS ", 1)); !strings.HasPrefix(got, `{"code":200,`) {
				t.Errorf("%s: %s: %s", page, command, got)
			}
		}
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

// A row of a table of flags: flag, program, default.
var tableRow = regexp.MustCompile("(?m)^\\| `-([a-z-]+)` \\| ([^|]+) \\| ([^|]+) \\|")

func TestTablesNameTheRealDefaults(t *testing.T) {
	help := map[string]string{}
	for _, program := range []string{"edge", "historysvc"} {
		help[program] = output(t, "go", "run", "github.com/gotapi/gotapi-ws/"+program+"/cmd/"+program, "-h")
	}
	for _, name := range gettingStarted {
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

func TestPagesInBothLanguagesShowTheSameCommands(t *testing.T) {
	for _, pages := range [][]string{readmes, gettingStarted} {
		var commands [2]string
		for i, name := range pages {
			for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(readFile(t, "..", name), -1) {
				commands[i] += withoutComments(block[1])
			}
		}
		if commands[0] == "" || commands[0] != commands[1] {
			t.Errorf("the commands of %q differ:\n%s\n---\n%s", pages, commands[0], commands[1])
		}
	}
}

func TestSnippetsOfTheTutorialAreTheExample(t *testing.T) {
	example := readFile(t, "../examples/logins/server.mjs") + readFile(t, "../examples/logins/index.html")
	blocks := regexp.MustCompile("(?s)```(?:js|html)\n(.*?)```").FindAllStringSubmatch(readFile(t, "../docs/tutorials/chat-with-logins.md"), -1)
	if len(blocks) < 2 {
		t.Errorf("found %d snippets in the tutorial", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(example, block[1]) {
			t.Errorf("not in examples/logins:\n%s", block[1])
		}
	}
}

func TestSettingsOfTheTutorialAreValid(t *testing.T) {
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(readFile(t, "../docs/tutorials/chat-with-logins.md"))
	if block == nil {
		t.Fatal("the tutorial has no settings")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"gotapi.yaml": block[1], "jwt-secret": tokenSecret} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	output(t, "go", "build", "-o", dir, "./cmd/gotapi-ws")
	output(t, "sh", "-c", "cd "+dir+" && ./gotapi-ws -config gotapi.yaml -check-config")
}

func TestChartShowsTheMeasuredFigures(t *testing.T) {
	if output(t, "../scripts/charts.sh") != readFile(t, "../docs/images/comparison.svg") {
		t.Error("docs/images/comparison.svg is not current: run scripts/charts.sh > docs/images/comparison.svg")
	}
}
