package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestServerWorksUnderAPathOfNginx runs gotapi-ws twice behind a real nginx: under /chat as
// deploy/nginx.conf says, and under /stripped by a proxy that takes the path away.
func TestServerWorksUnderAPathOfNginx(t *testing.T) {
	need(t, "nginx")
	under, plain, front := unused(t), unused(t), unused(t)
	startServer(t, under, "/chat/__status", "-base-path", "/chat")
	startServer(t, plain, "/__status")
	shipped, err := os.ReadFile(filepath.Join(root, "deploy/nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	host := strings.NewReplacer("127.0.0.1:4998", under, "listen 80", "listen "+front).Replace(string(shipped))
	_, location, _ := strings.Cut(host, "    location /chat/ {")
	location = strings.Replace("    location /stripped/ {"+location, "http://gotapi;", "http://"+plain+"/;", 1)
	startNginx(t, "http://"+front+"/chat/__status", strings.TrimSuffix(strings.TrimSpace(host), "}")+location)

	for path, groups := range map[string][]string{
		// Only a proxy that leaves the path alone can carry every group name.
		"/chat":     {"/room/9527/", "/", "/timer", "/a/b/c", "//two//slashes", "/中/ %?", "/a%2Fb"},
		"/stripped": {"/room/9527/", "/", "/timer", "/a/b/c"},
	} {
		base := "http://" + front + path
		for _, g := range groups {
			wantPage(t, base, (&url.URL{Path: g}).EscapedPath())
			if g == "/" || g == "/timer" {
				continue
			}
			gotapi(t, "pub", g, "hello "+g, "--uuid", "1", "--url", base)
			if got := gotapi(t, "tail", g, "--url", base); got != "1  hello "+g+"\n" {
				t.Errorf("%s: the history of %s is %q", base, g, got)
			}
			if got := gotapi(t, "sub", g, "--after", "0", "--count", "1", "--raw", "--url", base); !strings.Contains(got, "hello "+g) {
				t.Errorf("%s: a member of %s got %q", base, g, got)
			}
		}
		wantPage(t, base, "/__/docs")
		wantPage(t, base, "/__/docs/")
	}
	for _, outside := range []string{"/room/9527/", "/chat", "/chatter/", "/", "/__status", "/ch%61t/room", "/chat%2Froom"} {
		if code, body := visit(t, "http://"+under+outside); code != http.StatusNotFound || !strings.Contains(body, `"code":404`) {
			t.Errorf("GET %s, which is not under the base path: %d %s", outside, code, body)
		}
	}
	if _, document := visit(t, "http://"+front+"/chat/__/openapi.json"); !strings.Contains(document, `"url": "/chat/"`) {
		t.Errorf("the OpenAPI document does not name the path: %.300s", document)
	}
}

var reference = regexp.MustCompile(`(?:src|href)="([^"]*)"`)

// wantPage checks that a page leads to other paths of its server, and that they are there.
func wantPage(t *testing.T, base, path string) {
	t.Helper()
	page, err := url.Parse(base + path)
	if err != nil {
		t.Fatal(err)
	}
	code, body := visit(t, page.String())
	found := reference.FindAllStringSubmatch(body, -1)
	if code != http.StatusOK || len(found) < 3 {
		t.Errorf("%s: %d, %d references: %.200s", page, code, len(found), body)
	}
	for _, m := range found {
		target, err := page.Parse(m[1])
		if err != nil {
			t.Errorf("%s refers to %q: %v", page, m[1], err)
			continue
		}
		if code, _ := visit(t, target.String()); code != http.StatusOK || !strings.HasPrefix(target.String(), base+"/") {
			t.Errorf("%s refers to %q, which is %s: %d", page, m[1], target, code)
		}
	}
}

// visit asks as a browser does.
func visit(t *testing.T, target string) (code int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	answer, err := insecure.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

// gotapi runs the command-line client, and returns what it wrote.
func gotapi(t *testing.T, args ...string) string {
	t.Helper()
	code, out := run(t, []string{"PATH=" + os.Getenv("PATH")}, program(t, "gotapi"), args...)
	if code != 0 {
		t.Errorf("gotapi %q: exit code %d: %s", args, code, out)
	}
	return out
}

func unused(t *testing.T) string {
	t.Helper()
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// startServer runs gotapi-ws until the test ends.
func startServer(t *testing.T, addr, status string, args ...string) {
	t.Helper()
	start(t, "http://"+addr+status, program(t, "gotapi-ws"),
		append([]string{"-listen", addr, "-grpc-listen", unused(t), "-ops-listen", "", "-drain", "0s"}, args...)...)
}

// startNginx runs nginx with the content of its block http until the test ends.
func startNginx(t *testing.T, status, http string) {
	t.Helper()
	dir := t.TempDir()
	config := fmt.Sprintf("daemon off;\npid %s/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n", dir)
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		config += fmt.Sprintf("%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config+http+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, status, "nginx", "-p", dir, "-e", "stderr", "-c", file)
}

// start runs a program until the test ends, and waits until a URL answers with 200.
func start(t *testing.T, status, name string, args ...string) {
	t.Helper()
	startIn(t, "", status, http.StatusOK, name, args...)
}

// startIn runs a program in a folder until the test ends, and waits until a URL answers with
// that status.
func startIn(t *testing.T, dir, url string, status int, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &out, []string{"PATH=" + os.Getenv("PATH")}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // nginx has children, which SIGKILL would leave
		if err := <-ended; t.Failed() {
			t.Logf("%s: %v\n%s", name, err, out.String())
		}
	})
	deadline := time.After(30 * time.Second)
	for {
		select {
		case <-deadline:
			t.Fatalf("%s %q: no answer of %s", name, args, url)
		case err := <-ended:
			ended <- errors.New("it has ended before")
			t.Fatalf("%s %q: %v\n%s", name, args, err, out.String())
		case <-time.After(50 * time.Millisecond): // until it listens
		}
		if r, err := insecure.Get(url); err == nil {
			_ = r.Body.Close()
			if r.StatusCode == status {
				return
			}
		}
	}
}
