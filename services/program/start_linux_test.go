package program

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// asProgram has the test binary be a program, echo, that tells of each start.
const asProgram = "GOTAPI_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run())
	}
	p := echo()
	settings := p.New
	p.New = func() *echoSettings {
		// What the process was started with, whatever it has unset since.
		environ, err := os.ReadFile("/proc/self/environ")
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(os.Stdout, "again: %t\n", strings.Contains(string(environ), "GOTAPI_TIMER_SLACK="))
		return settings()
	}
	os.Exit(p.Main())
}

func TestOnlyAServiceIsStartedTwice(t *testing.T) {
	for _, tt := range []struct {
		arg   string
		twice bool
		code  int
	}{
		{"-name=good", true, ExitFailed}, // its service ends at once
		{"-probe", false, ExitOK},
		{"-version", false, ExitOK},
		{"-check-config", false, ExitOK},
		{"-h", false, ExitOK},
		{"-nope", false, ExitUsage},
	} {
		cmd := exec.Command(os.Args[0], tt.arg)
		cmd.Env = secondStarts()
		out, _ := cmd.Output() // its code is looked at
		if got := cmd.ProcessState.ExitCode(); got != tt.code {
			t.Errorf("%s: exit code %d, want %d: %s", tt.arg, got, tt.code, out)
		}
		if twice := strings.Contains(string(out), "again: true"); twice != tt.twice || !strings.Contains(string(out), "again: false") {
			t.Errorf("%s: is started twice: %t, want %t: %q", tt.arg, twice, tt.twice, out)
		}
	}
}

// A pipe can be read once.
func TestSettingsAreReadByTheStartThatUsesThem(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-config", "/dev/stdin")
	cmd.Env = secondStarts()
	cmd.Stdin = strings.NewReader("name: bad\n")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != ExitUsage || !strings.Contains(string(out), "-name: is bad") {
		t.Errorf("with a bad setting in a pipe: %v, %s", err, out)
	}
}

// secondStarts is the environment of a program that starts twice, if it serves.
func secondStarts() []string {
	env := []string{asProgram + "=echo", "GORACE=atexit_sleep_ms=0"}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GOMAXPROCS=") {
			env = append(env, e)
		}
	}
	return env
}
