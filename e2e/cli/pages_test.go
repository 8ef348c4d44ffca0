package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// TestCommandsOfPages runs the blocks of a page that call gotapi as they stand, one after
// another, in a folder that has the programs and the secret of tokens.
func TestCommandsOfPages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Symlink(filepath.Dir(testbed.Binary(t, "gotapi")), filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(dir, "jwt-secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("s3cret", 6)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	checked := []string{"-auth-secret-file", secret, "-recall-window", "2m"}
	for _, tt := range []struct {
		page         string
		server, want []string
	}{
		{"README.md", nil, []string{"hello world"}},
		{"docs/getting-started.md", checked, []string{"/room/9527/#token=ey"}},
		{"docs/tutorials/chat-with-logins.md", checked, []string{"hello from carol", "forged  recalled"}},
	} {
		t.Run(filepath.Base(tt.page), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join(testbed.Root(), tt.page))
			if err != nil {
				t.Fatal(err)
			}
			server := testbed.StartAllInOne(t, tt.server...)
			var out strings.Builder
			for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
				if !strings.Contains(block[1], "bin/gotapi ") {
					continue
				}
				cmd := exec.CommandContext(t.Context(), "sh", "-ec", block[1]) //nolint:gosec // from our page
				cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "GOTAPI_URL=http://" + server.Addr}
				cmd.Stdout, cmd.Stderr = &out, &out
				if err := cmd.Run(); err != nil {
					t.Fatalf("%s: %v\n%s", block[1], err, out.String())
				}
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the commands do not print %q, but:\n%s", want, out.String())
				}
			}
		})
	}
}
