package examples

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// chat is a running examples/python/chat.py.
type chat struct {
	t     *testing.T
	user  string
	input io.Writer

	mu    sync.Mutex
	lines []string
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// newToken returns a user's token for everything.
func newToken(t *testing.T, secretFile, user string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testbed.Binary(t, "gotapi"), "token", "--secret-file", secretFile, //nolint:gosec // what the testbed has built
		"--sub", user, "--join", "/**", "--publish", "/**", "--read", "/**")
	token, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(token))
}

// startChat starts the program for a user with a token for everything.
func startChat(t *testing.T, addr, secretFile, user string, groups ...string) *chat {
	t.Helper()
	file := filepath.Join(t.TempDir(), user)
	writeFile(t, file, newToken(t, secretFile, user))
	args := append([]string{filepath.Join(testbed.Root(), "examples/python/chat.py"), "--url", "ws://" + addr + "/__/v2", "--token-file", file}, groups...)
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", args...) //nolint:gosec // the program above
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	c := &chat{t: t, user: user}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.input = in
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for in := bufio.NewScanner(out); in.Scan(); {
			c.mu.Lock()
			c.lines = append(c.lines, in.Text())
			c.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("%s saw:\n%s\n%s", user, strings.Join(c.lines, "\n"), &stderr)
		}
	})
	c.await("joined", len(groups))
	return c
}

func (c *chat) say(group, text string) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.input, "%s %s\n", group, text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *chat) printed() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}

// await waits until n lines contain a text.
func (c *chat) await(text string, n int) {
	c.t.Helper()
	testbed.Eventually(c.t, fmt.Sprintf("%s sees %q %d times", c.user, text, n), func(context.Context) error {
		seen := 0
		for _, line := range c.printed() {
			if strings.Contains(line, text) {
				seen++
			}
		}
		if seen < n {
			return fmt.Errorf("%d times", seen)
		}
		return nil
	})
}

var chatLine = regexp.MustCompile(`^\d\d:\d\d:\d\d (\S+) (.*)$`)

// said returns what was said in a group, as printed: "alice: hello".
func (c *chat) said(group string) (said []string) {
	for _, line := range c.printed() {
		if parts := chatLine.FindStringSubmatch(line); parts != nil && parts[1] == group {
			said = append(said, parts[2])
		}
	}
	return said
}

// texts returns the texts of a group's history, oldest first.
func texts(t *testing.T, addr, token, group string) (texts []string) {
	t.Helper()
	var page client.Page
	a := client.Do(t, http.MethodGet, addr, "/__/history?groupName="+group, "", "Authorization: Bearer "+token)
	if a.Code != http.StatusOK {
		t.Fatalf("history: %d %s", a.Code, a.Body)
	}
	a.JSON(t, &page)
	for _, packet := range slices.Backward(page.Data) {
		var text string
		if err := json.Unmarshal(client.Parse(t, packet).Body.Data, &text); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	return texts
}

func TestTheChatContinuesExactlyAfterARestart(t *testing.T) {
	for name, start := range map[string]func(t *testing.T, args ...string) (restarted, other *testbed.Process){
		"of the server": func(t *testing.T, args ...string) (restarted, other *testbed.Process) {
			t.Helper()
			p := testbed.StartAllInOne(t, append(args, "-redis", testbed.StartRedis(t).URL)...)
			return p, p
		},
		"of its edge, another one goes on": func(t *testing.T, args ...string) (restarted, other *testbed.Process) {
			t.Helper()
			s := testbed.Start(t, testbed.Config{Store: testbed.Single, Edges: 2, EdgeArgs: args})
			return s.Edges[0], s.Edges[1]
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secret := filepath.Join(t.TempDir(), "secret")
			writeFile(t, secret, "a secret of at least 32 bytes, for the chat")
			token := newToken(t, secret, "reader")
			restarted, other := start(t, "-auth-secret-file", secret)
			groups := []string{client.Group(), client.Group()}
			alice := startChat(t, restarted.Addr, secret, "alice", groups...)
			bob := startChat(t, other.Addr, secret, "bob", groups...)
			talk := func(when string) {
				for i := range 5 {
					for _, g := range groups {
						alice.say(g, fmt.Sprintf("%s, alice %d", when, i))
						bob.say(g, fmt.Sprintf("%s, bob %d", when, i))
					}
				}
			}
			talk("before")
			alice.await("before, bob 2", 1)
			restarted.Kill() // in the middle of it
			talk("meanwhile")
			alice.await("connection lost", 1)
			restarted.Start()
			talk("after")
			for _, g := range groups {
				testbed.Eventually(t, "everything is stored", func(context.Context) error {
					if n := len(texts(t, other.Addr, token, g)); n < 30 {
						return fmt.Errorf("%d messages of 30", n)
					}
					return nil
				})
				bob.say(g, "the end")
				for _, c := range []*chat{alice, bob} {
					c.await(g+" "+c.nameOf("bob")+": the end", 1)
					c.wantSaid(g, texts(t, other.Addr, token, g))
				}
			}
		})
	}
}

// nameOf is what the chat shows as a user's name.
func (c *chat) nameOf(user string) string {
	if c.user == user {
		return "me"
	}
	return user
}

// wantSaid checks that these texts were printed, and no others, in their order.
func (c *chat) wantSaid(group string, texts []string) {
	c.t.Helper()
	want := make([]string, len(texts))
	for i, text := range texts {
		author := "alice"
		if strings.Contains(text, "bob") || text == "the end" {
			author = "bob"
		}
		want[i] = c.nameOf(author) + ": " + text
	}
	if diff := cmp.Diff(want, c.said(group)); diff != "" {
		c.t.Errorf("%s in %s, -stored +printed:\n%s", c.user, group, diff)
	}
}
