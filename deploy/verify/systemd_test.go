package verify

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const units = root + "/deploy/systemd"

// unit reads a unit file: its settings, the last of each name, and all of Environment.
func unit(t *testing.T, path string) (settings map[string]string, env map[string]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	settings, env = map[string]string{}, map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		settings[name] = value
		if name == "Environment" {
			for pair := range strings.FieldsSeq(value) {
				k, v, _ := strings.Cut(pair, "=")
				env[k] = v
			}
		}
	}
	return settings, env
}

// exampleEnv reads an EnvironmentFile, the lines that are commented out included.
func exampleEnv(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "#"), "="); ok && strings.HasPrefix(k, "GOTAPI_") {
			env[k] = v
		}
	}
	if len(env) == 0 {
		t.Errorf("%s sets nothing", path)
	}
	return env
}

func TestUnitsSetWhatTheProgramsKnow(t *testing.T) {
	for _, name := range services {
		settings, env := unit(t, filepath.Join(units, "gotapi-"+name+".service"))
		for k, v := range exampleEnv(t, filepath.Join(units, name+".env.example")) {
			env[k] = v
		}
		checkSettings(t, "deploy/systemd", name, env)
		drain := 10 * time.Second
		rest := 2*(5+1)*time.Second + 9*time.Second // as in TestPodsStopInTheTimeTheyHave
		if name == "historysvc" {
			drain, rest = 5*time.Second, 5*time.Second
		}
		stop, err := time.ParseDuration(settings["TimeoutStopSec"])
		if err != nil || stop < drain+rest {
			t.Errorf("%s: TimeoutStopSec=%s (%v), stopping takes up to %v", name, settings["TimeoutStopSec"], err, drain+rest)
		}
	}
}

// TestAUnitSaysWhenItServesAndReloads does with the edge what systemd does with its unit: it
// waits for the word on the socket, reloads, and stops. The edge needs no history service to serve.
func TestAUnitSaysWhenItServesAndReloads(t *testing.T) {
	for _, name := range services {
		if settings, _ := unit(t, filepath.Join(units, "gotapi-"+name+".service")); settings["Type"] != "notify" || settings["ExecReload"] != "/bin/kill -HUP $MAINPID" {
			t.Errorf("%s: Type=%s, ExecReload=%s", name, settings["Type"], settings["ExecReload"])
		}
	}
	dir, err := os.MkdirTemp("", "unit") //nolint:usetesting // t.TempDir may be too long a path for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = manager.Close() })
	hear := func(want string) {
		t.Helper()
		_ = manager.SetReadDeadline(time.Now().Add(30 * time.Second))
		b := make([]byte, 100)
		if n, err := manager.Read(b); err != nil || string(b[:n]) != want {
			t.Fatalf("heard %q, %v; want %s", b[:n], err, want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program(t, "edge"), "-listen", "127.0.0.1:0", "-ops-listen", "", "-history", "127.0.0.1:1", "-drain", "0s")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hear("READY=1")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	log := ""
	for lines := bufio.NewScanner(stderr); !strings.Contains(log, "settings reloaded"); log += lines.Text() + "\n" {
		if !lines.Scan() {
			t.Fatalf("no reload: %s", log)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	hear("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("the edge ended with %v", err)
	}
}

var exposure = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)

func TestSystemdUnderstandsTheUnitsAndFindsThemHardened(t *testing.T) {
	need(t, "systemd-analyze")
	// The units as they are, but for programs where they are now.
	dir := t.TempDir()
	for _, name := range services {
		file := "gotapi-" + name + ".service"
		text, err := os.ReadFile(filepath.Join(units, file))
		if err != nil {
			t.Fatal(err)
		}
		path, err := filepath.Abs(program(t, name))
		if err != nil {
			t.Fatal(err)
		}
		here := strings.Replace(string(text), "/usr/local/bin/"+name, path, 1)
		if err := os.WriteFile(filepath.Join(dir, file), []byte(here), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range services {
		file := filepath.Join(dir, "gotapi-"+name+".service")
		if code, out := run(t, os.Environ(), "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", file); code != 0 || strings.Contains(out, "gotapi-") {
			t.Errorf("systemd-analyze verify %s: exit code %d:\n%s", name, code, out)
		}
		_, out := run(t, os.Environ(), "systemd-analyze", "security", "--offline=yes", "--no-pager", file)
		m := exposure.FindStringSubmatch(out)
		if m == nil {
			t.Errorf("systemd-analyze security %s says:\n%s", name, out)
			continue
		}
		// 0 is best, 10 is worst; a service that needs the network gets at least 1.
		if level, err := strconv.ParseFloat(m[1], 64); err != nil || level > 1.5 {
			t.Errorf("%s: exposure level %s:\n%s", name, m[1], out)
		}
	}
}
