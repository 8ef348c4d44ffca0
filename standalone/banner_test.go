package standalone_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// startAs starts gotapi-ws with a policy.
func startAs(t *testing.T, policy string, args ...string) *server {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"secret": tokenSecret, "policy": policy} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return start(t, append(args, "-auth-secret-file", filepath.Join(dir, "secret"), "-auth-policy-file", filepath.Join(dir, "policy"))...)
}

// runs tries the commands of the banner as a person would, and joins the group that they name.
func (s *server) runs(t *testing.T, token string) {
	t.Helper()
	commands := regexp.MustCompile(`(?m)^  curl .*$`).FindAllString(s.banner.String(), -1)
	if len(commands) != 2 {
		t.Fatalf("the banner has %d commands of curl:\n%s", len(commands), s.banner)
	}
	for _, command := range commands {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(command, "curl", "curl -sS", 1))
		cmd.Env = append(os.Environ(), "TOKEN="+token)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), `{"code":200,`) {
			t.Errorf("%s\n: %s, %v", command, out, err)
		}
	}
	target := regexp.MustCompile(`npx wscat (-H "Authorization: Bearer \$TOKEN" )?-c (ws://\S+)`).FindStringSubmatch(s.banner.String())
	if target == nil {
		t.Fatalf("the banner has no wscat:\n%s", s.banner)
	}
	h := http.Header{}
	if target[1] != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	c, answer, err := websocket.DefaultDialer.Dial(target[2], h)
	if err != nil {
		t.Fatalf("%s: %v, %+v", target[0], err, answer)
	}
	_ = answer.Body.Close() // it has none
	_ = c.Close()
}

func TestCommandsOfTheBannerWork(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*server{
		"open": start(t), "with a path": start(t, "-base-path", "/chat/"),
		"access, anonymous may": startAs(t, "anonymous:\n  join: [/room/**]\n  read: [/room/**]\n  publish: [/room/**]\n", "-base-path", "/chat"),
	} {
		t.Run(name, func(t *testing.T) { s.runs(t, "") })
	}
}

// TestSamplesOfTheDocsFitTheirGroups: who copies the policy or the claim of the docs may do in
// /room/9527/ what the docs and the banner show.
func TestSamplesOfTheDocsFitTheirGroups(t *testing.T) {
	t.Parallel()
	policy := regexp.MustCompile("(?s)```yaml\n(anonymous:.*?)```").FindStringSubmatch(readFile(t, "..", "docs", "security.md"))
	claim := regexp.MustCompile(`"gotapi": (\{"join": .*?\})\}`).FindStringSubmatch(readFile(t, "..", "docs", "protocol.md"))
	if policy == nil || claim == nil {
		t.Fatal("there is no sample of a policy in docs/security.md, or of a claim in docs/protocol.md")
	}
	startAs(t, policy[1]).runs(t, token(t, "alice", "", time.Minute))
	startAs(t, "").runs(t, token(t, "alice", claim[1], time.Minute))
}
