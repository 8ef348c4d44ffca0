package verify

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"
)

// binEnv names a folder with the built programs; without it they are built.
const binEnv = "E2E_BIN"

const root = "../.."

var built = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv(binEnv); dir != "" {
		return dir, nil
	}
	dir, err := os.MkdirTemp("", "gotapi-verify-")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", dir+"/", "./edge/cmd/edge", "./historysvc/cmd/historysvc", "./standalone/cmd/gotapi-ws", "./cli/cmd/gotapi")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, errors.New(string(out))
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv(binEnv) == "" {
		if dir, _ := built(); dir != "" {
			_ = os.RemoveAll(dir)
		}
	}
	os.Exit(code)
}

func program(t *testing.T, name string) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	return filepath.Join(dir, name)
}

// has reports whether the machine has a tool, which scripts/ensure-deploy-tools.sh
// installs. In CI it must: there nothing is left out.
func has(t *testing.T, tool string) bool {
	t.Helper()
	_, err := exec.LookPath(tool)
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	return err == nil
}

// need skips the test on a machine without a tool.
func need(t *testing.T, tool string) {
	t.Helper()
	if !has(t, tool) {
		t.Skipf("there is no %s: see scripts/ensure-deploy-tools.sh", tool)
	}
}

// run runs a command and returns its exit code and output.
func run(t *testing.T, env []string, name string, args ...string) (code int, out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env = &b, &b, env
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %q: %v", name, args, err)
	}
	return cmd.ProcessState.ExitCode(), b.String()
}

var variable = regexp.MustCompile(`environment (GOTAPI_[A-Z_]+)`)

// variables are the environment variables that a program reads.
func variables(t *testing.T, name string) map[string]bool {
	t.Helper()
	_, help := run(t, nil, program(t, name), "-h")
	all := map[string]bool{}
	for _, m := range variable.FindAllStringSubmatch(help, -1) {
		all[m[1]] = true
	}
	if len(all) < 10 {
		t.Fatalf("%s -h names %d variables", name, len(all))
	}
	return all
}

// checkSettings fails the test if a program does not know a variable, or refuses
// the settings: it is asked to probe a process that does not run, which is exit code 1; bad
// settings are 2.
func checkSettings(t *testing.T, where, name string, env map[string]string) {
	t.Helper()
	known := variables(t, name)
	var list []string
	for k, v := range env {
		if !known[k] {
			t.Errorf("%s: %s does not know %s", where, name, k)
		}
		list = append(list, k+"="+v)
	}
	if code, out := run(t, list, program(t, name), "-probe"); code != 1 {
		t.Errorf("%s: %s -probe with these settings: exit code %d, want 1: %s", where, name, code, out)
	}
}
