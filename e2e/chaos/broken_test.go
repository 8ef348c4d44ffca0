package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m, nil) }

// selfTest says that the builds that are broken on purpose are to be tested:
// that takes minutes.
const selfTest = "CHAOS_SELFTEST"

func TestBrokenBuildsAreFound(t *testing.T) {
	if os.Getenv(selfTest) == "" {
		t.Skipf("%s is not set: run `make chaos-selftest`", selfTest)
	}
	for _, tt := range []struct {
		patch, faults string
		acks          acks
		want          check.Rule
	}{
		{"ack_before_store", "(kill|restart) historysvc", acks{}, check.AckedIsStored},
		{"ack_before_fsync", "machine of redis fails", acks{fsync: true}, check.AckedIsStored}, // STORE=redis8 or valkey
		{"no_gap_fill", "kill pub/sub", acks{}, check.NoHole},
		{"position_too_late", "(kill|restart) edge", acks{}, check.PositionsAgree},
		{"no_dedupe", "stop redis|hold historysvc-redis", acks{}, check.StoredOnce},
	} {
		t.Run(tt.patch, func(t *testing.T) {
			if err := testbed.StartRedis(t).Client.Do(t.Context(), "waitaof", 0, 0, 0).Err(); tt.acks.fsync && err != nil {
				t.Skipf("no acks after fsync from this server: %v; use STORE=redis8 or valkey", err)
			}
			t.Setenv(testbed.BinEnv, buildBroken(t, tt.patch))
			o := run(t.Context(), t, config{
				store: single, length: 15 * time.Second, settle: 5 * time.Second, seed: 1, faults: regexp.MustCompile(tt.faults), acks: tt.acks, out: t.Output(),
				size: size{rooms: 8, listeners: 4, publishers: 3, every: 40 * time.Millisecond},
			})
			got := check.Rules(o.violations)
			t.Logf("broken rules: %q", got)
			if !slices.Contains(got, tt.want) {
				t.Errorf("the build %s does not break %q", tt.patch, tt.want)
			}
		})
	}
}

// buildBroken builds the programs with a patch of testdata/broken, and returns
// their folder.
func buildBroken(t *testing.T, patch string) string {
	t.Helper()
	dir := t.TempDir()
	overlay, err := json.Marshal(map[string]any{"Replace": applied(t, patch, dir)})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "bin") + "/"
	cmd := exec.CommandContext(context.Background(), "go", "build", "-overlay", file, "-o", bin, "./edge/cmd/edge", "./historysvc/cmd/historysvc")
	cmd.Dir = testbed.Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// applied writes the sources that a patch changes into dir, and returns which
// file takes the place of which. A patch is a line that says what it breaks, and
// then per change
//
//	>>>> file
//	text as it is
//	====
//	text as it becomes
func applied(t *testing.T, patch, dir string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "broken", patch+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	replaced := make(map[string]string)
	for _, change := range strings.Split(string(text), "\n>>>> ")[1:] {
		name, rest, _ := strings.Cut(change, "\n")
		before, after, ok := strings.Cut(rest, "\n====\n")
		source := filepath.Join(testbed.Root(), name)
		code, err := os.ReadFile(source)
		if err != nil || !ok || strings.Count(string(code), before) != 1 {
			t.Fatalf("patch %s: the text is not once in %s: %v", patch, name, err)
		}
		copied := filepath.Join(dir, filepath.Base(name))
		code = []byte(strings.Replace(string(code), before, strings.TrimSuffix(after, "\n"), 1))
		if err := os.WriteFile(copied, code, 0o600); err != nil {
			t.Fatal(err)
		}
		replaced[source] = copied
	}
	return replaced
}

// Each patch must fit the sources of today, also where they are not tested.
func TestPatchesFit(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no patches: %v", err)
	}
	for _, f := range files {
		applied(t, strings.TrimSuffix(filepath.Base(f), ".txt"), t.TempDir())
	}
}
