package verify

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var anyBlock = regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```$")

// TestWebhookOfTheHowToModerates runs docs/howto/moderate.md as it is, but for the ports.
func TestWebhookOfTheHowToModerates(t *testing.T) {
	need(t, "node")
	need(t, "openssl")
	page, err := os.ReadFile(root + "/docs/howto/moderate.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range anyBlock.FindAllStringSubmatch(string(page), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) != 7 {
		t.Fatalf("the page has %d blocks: %q", len(blocks), blocks)
	}
	secret, webhook, server, try, history := blocks[0], blocks[1], blocks[3], blocks[4], blocks[5]

	dir := t.TempDir()
	programs, err := filepath.Abs(filepath.Dir(program(t, "gotapi")))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(programs, filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	hook, edge := unused(t), unused(t)
	sh := func(command string) (int, string) {
		return run(t, []string{"PATH=" + os.Getenv("PATH"), "GOTAPI_URL=http://" + edge}, "sh", "-c", "cd "+dir+"\n"+command)
	}
	if code, out := sh(secret); code != 0 {
		t.Fatalf("%s: %s", secret, out)
	}
	_, port, err := net.SplitHostPort(hook)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "moderate.mjs")
	if err := os.WriteFile(file, []byte(replaceOnce(t, webhook, "8081", port)), 0o600); err != nil {
		t.Fatal(err)
	}
	startIn(t, dir, "http://"+hook, http.StatusUnauthorized, "node", file) // it wants a signature

	flags := strings.Fields(replaceOnce(t, server, "127.0.0.1:8081", hook))[1:]
	for i, flag := range flags {
		if flag == "hook-secret" {
			flags[i] = filepath.Join(dir, flag)
		}
	}
	startServer(t, edge, "/__status", flags...)
	refused, accepted, _ := strings.Cut(strings.TrimSpace(try), "\n")
	if code, out := sh(refused); code == 0 || !strings.Contains(out, "No spam, please. (code 403)") {
		t.Errorf("%s: exit code %d: %s", refused, code, out)
	}
	if code, out := sh(accepted); code != 0 {
		t.Errorf("%s: exit code %d: %s", accepted, code, out)
	}
	if code, out := sh(history); code != 0 || strings.Count(out, "\n") != 1 || !strings.Contains(out, "****, it works") {
		t.Errorf("%s: exit code %d: %s", history, code, out)
	}
}
