package testbed

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
)

// BinEnv names a directory that holds the programs already built; without it
// they are built once per test process.
const BinEnv = "E2E_BIN"

var mains = []string{"./edge/cmd/edge", "./historysvc/cmd/historysvc", "./standalone/cmd/gotapi-ws", "./cli/cmd/gotapi"}

var built struct {
	sync.Once
	dir string
	out []byte
	err error
}

// Binary returns the path of a program: edge, historysvc, gotapi-ws or gotapi.
func Binary(tb TB, name string) string {
	tb.Helper()
	if dir := os.Getenv(BinEnv); dir != "" {
		return filepath.Join(dir, name)
	}
	built.Do(build)
	if built.err != nil {
		tb.Fatalf("build: %v\n%s", built.err, built.out)
	}
	return filepath.Join(built.dir, name)
}

// Root is the top folder of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..")
}

func build() {
	if built.dir, built.err = os.MkdirTemp("", "gotapi-e2e-"); built.err != nil {
		return
	}
	cmd := exec.CommandContext(context.Background(), "go", append([]string{"build", "-o", built.dir + "/"}, mains...)...) //nolint:gosec // constants, and a folder of ours
	cmd.Dir = Root()
	built.out, built.err = cmd.CombinedOutput()
}

// removeBinaries is for the end of the test process.
func removeBinaries() {
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
}
