package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/cli"
)

var update = flag.Bool("update", false, "write the reference of docs/cli.md again")

// outcome is what a command left behind.
type outcome struct {
	code     int
	out, err string
}

// gotapi runs a command. env are names and values.
func gotapi(ctx context.Context, env map[string]string, in string, args ...string) outcome {
	var out, err bytes.Buffer
	code := cli.Main(ctx, args, cli.Streams{
		In: strings.NewReader(in), Out: &out, Err: &err,
		Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	})
	return outcome{code, out.String(), err.String()}
}

func TestMistakesOfUsageAreToldBeforeAnythingIsSent(t *testing.T) {
	for command, want := range map[string]string{
		"frobnicate":                         `unknown command "frobnicate"`,
		"pub":                                "GROUP is missing",
		"pub /r --frobnicate":                "unknown flag: --frobnicate",
		"pub room hello":                     "a group name begins with a slash",
		"pub /r a b --uuid u":                "--uuid needs exactly one MESSAGE or --file",
		"pub /r a --body":                    `--body: "a" is not a JSON object`,
		"pub /r a --body --raw":              "--body and --raw cannot be combined",
		"pub /r a --in-flight 0":             "--in-flight: must be 1 to 1000",
		"pub /r --file /nonexistent/x":       "no such file or directory",
		"pub /r --file /dev/zero":            "/dev/zero: larger than any server accepts (1048576 bytes)",
		"sub":                                "GROUP is missing",
		"sub /a /b":                          `too many arguments: ["/b"]`,
		"tail /r -n -1":                      "-n: must be 0 to 10000",
		"history /r --size 0":                "--size: must be 1 to 10000",
		"history /r --before u --position 1": "--before and --position cannot be combined",
		"cancel /r":                          "UUID is missing",
		"ttl /r 1.5s":                        `DURATION: "1.5s" is not a duration of whole seconds`,
		"pub --batch - /r":                   "too many arguments",
		"pub --batch - --raw":                "--batch cannot be combined",
		"pub --batch /nonexistent":           "open /nonexistent",
		"bench --size 1":                     "--size: must be 96 to 1048576",
		"groups room":                        "a group name begins with a slash",
		"groups --sort size":                 `--sort: "size" is not one of name, members, bytes, rate`,
		"groups --limit -1":                  "--limit: must not be negative",
		"groups --interval 1ms":              "--interval: must be 100ms to 1h",
		"why --ops ftp://h":                  "--ops: not a URL such as http://127.0.0.1:9090",
		"who":                                "GROUP is missing",
		"who /r --ops ftp://h":               "--ops: not a URL such as http://127.0.0.1:9090",
		"why --limit -1":                     "--limit: must not be negative",
		"top --count -1":                     "--count: must not be negative",
		"purge":                              "GROUP is missing",
		"purge /timer --yes":                 "/timer keeps no messages",
		"status /r":                          `too many arguments: ["/r"]`,
		"token":                              "--secret-file or --key-file is missing",
		"token inspekt":                      `too many arguments: ["inspekt"]`,
		"token inspect":                      "TOKEN is missing",
		"token inspect a b":                  `too many arguments: ["b"]`,
		"token inspect hello":                "neither a JSON Web Token nor an API key",
		"token inspect gotapi_x":             "this is an API key",
		"token --secret-file /nonexistent":   "--secret-file: open /nonexistent",
		"token --key-file /nonexistent":      "--key-file: open /nonexistent",
		"token --key-file /dev/null":         "--key-file: /dev/null: no usable key",
		"token --key-file a --secret-file b": "cannot be combined",
		"token --key-file a --for 1ms":       "--for: must be at least 1s",
		"token --key-file a --claim=":        "--claim: must not be empty",
		"token --key-file a --recall all":    `--recall: "all" is not own or any`,
		"token --key-file a --recall own":    "--recall needs --publish",
		"token --key-file a --publish /r --recall own --recall-any /r": "--recall cannot be combined",
		"groups --url ftp://x":          `scheme "ftp" is not one of http, https, ws, wss, grpc, grpcs`,
		"groups --url 127.0.0.1":        "--url: not a URL",
		"groups --url grpcx://h:1":      `scheme "grpcx" is not one of http, https, ws, wss, grpc, grpcs`,
		"groups --url http://h/?room":   "or end in the path that a proxy serves it under",
		"groups --url grpc://h/room":    "a gRPC URL is only grpc://host:port",
		"groups --timeout 0s":           "--timeout: must be above 0",
		"groups --ca-file /nonexistent": "--ca-file: open /nonexistent",
		"groups --token-file /dev/null": "--token-file: /dev/null is empty",
	} {
		// Nothing listens on port 1: whatever tries gets exit code 3.
		args := append(strings.Fields(command), "--url=http://127.0.0.1:1")
		if strings.Contains(command, "--url") {
			args = strings.Fields(command)
		}
		got := gotapi(t.Context(), nil, "", args...)
		if got.code != cli.ExitUsage || !strings.Contains(got.err, want) || got.out != "" {
			t.Errorf("gotapi %s: exit code %d, %q, %q; want 2 and %q", command, got.code, got.out, got.err, want)
		}
	}
}

func TestHelpIsNamedOnlyWhereItHelps(t *testing.T) {
	for command, want := range map[string]string{
		"frobnicate":                      "see gotapi -h\n",
		"pub /r --frobnicate":             "see gotapi pub -h\n",
		"token inspect a b":               "see gotapi token inspect -h\n",
		"pub /r \xff":                     "",
		"pub /r a --body":                 "",
		"pub /r --file /nonexistent/x":    "",
		"purge /timer --yes":              "",
		"groups --token-file /dev/null":   "",
		"groups --ca-file /nonexistent":   "",
		"token --key-file /dev/null":      "",
		"groups --url=http://127.0.0.1:1": "",
	} {
		got := gotapi(t.Context(), nil, "", strings.Fields(command)...)
		if got.code == cli.ExitOK || got.err == "" || strings.Contains(got.err, " -h") != (want != "") || !strings.HasSuffix(got.err, want) {
			t.Errorf("gotapi %s: exit code %d, %q; want an error that ends in %q", command, got.code, got.err, want)
		}
	}
}

func TestSettingsComeFromTheEnvironmentAndFlagsBeatThem(t *testing.T) {
	var authorization string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization = r.Header.Get("Authorization")
		_, _ = w.Write([]byte(`{"code":200,"groups":[{"name":"/room","members":2}]}`))
	}))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		env  map[string]string
		args []string
		want string
	}{
		{"no token", map[string]string{"GOTAPI_URL": srv.URL}, nil, ""},
		{"token", map[string]string{"GOTAPI_URL": srv.URL, "GOTAPI_TOKEN": "from-env"}, nil, "Bearer from-env"},
		{"a file beats the token", map[string]string{"GOTAPI_URL": srv.URL, "GOTAPI_TOKEN": "from-env", "GOTAPI_TOKEN_FILE": file}, nil, "Bearer from-file"},
		{"flags beat the environment", map[string]string{"GOTAPI_URL": "http://127.0.0.1:1", "GOTAPI_TOKEN_FILE": "/nonexistent"}, []string{"--url", srv.URL, "--token-file", file}, "Bearer from-file"},
	} {
		authorization = "nothing came"
		got := gotapi(t.Context(), tt.env, "", append([]string{"groups", "--json"}, tt.args...)...)
		if diff := cmp.Diff(outcome{0, `{"name":"/room","members":2}` + "\n", ""}, got, cmp.AllowUnexported(outcome{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if authorization != tt.want {
			t.Errorf("%s: Authorization %q, want %q", tt.name, authorization, tt.want)
		}
	}
	got := gotapi(t.Context(), map[string]string{"GOTAPI_TIMEOUT": "soon"}, "", "groups")
	if got.code != cli.ExitUsage || !strings.Contains(got.err, "GOTAPI_TIMEOUT: ") {
		t.Errorf("GOTAPI_TIMEOUT=soon: %+v", got)
	}
}

func TestTheTokenIsNeverWritten(t *testing.T) {
	env := map[string]string{"GOTAPI_TOKEN": "hush-hush"}
	for _, command := range []string{"groups", "groups -h", "pub /r x", "sub /r", "history /r", "version", "bench --duration 1s"} {
		for _, url := range []string{"http://127.0.0.1:1", "ws://127.0.0.1:1", "grpc://127.0.0.1:1", "http://nonexistent.invalid:1"} {
			got := gotapi(t.Context(), env, "", append(strings.Fields(command), "--timeout", "50ms", "--url", url)...)
			if strings.Contains(got.out+got.err, "hush") {
				t.Errorf("gotapi %s --url %s wrote %q %q", command, url, got.out, got.err)
			}
			if strings.Contains(url, "invalid") && !strings.Contains(command, "-h") && command != "version" &&
				!strings.Contains(got.err, "warning: sending the token to nonexistent.invalid:1 unencrypted") {
				t.Errorf("gotapi %s --url %s gave no warning: %q", command, url, got.err)
			}
		}
	}
}

func TestAServerThatIsNotThereIsExitCode3(t *testing.T) {
	for _, url := range []string{"http://127.0.0.1:1", "ws://127.0.0.1:1", "grpc://127.0.0.1:1"} {
		for _, command := range []string{"pub /r x", "sub /r", "tail /r -f", "history /r", "cancel /r u", "groups", "groups /r", "groups --sort bytes", "top", "status", "purge /r", "purge /r --yes", "ttl /r 1h", "bench"} {
			got := gotapi(t.Context(), nil, "", append(strings.Fields(command), "--timeout", "200ms", "--url", url)...)
			if got.code != cli.ExitUnreachable || got.out != "" {
				t.Errorf("gotapi %s --url %s: %+v, want exit code 3", command, url, got)
			}
		}
	}
}

func TestAServerThatDoesNotAnswerIsNotCalledUnreachable(t *testing.T) {
	done := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	defer srv.Close()
	defer close(done)
	for _, command := range []string{"pub /r x", "history /r", "cancel /r u", "groups", "ttl /r 1h"} {
		got := gotapi(t.Context(), nil, "", append(strings.Fields(command), "--timeout", "50ms", "--url", srv.URL)...)
		if got.code != cli.ExitUnreachable || !strings.Contains(got.err, "no answer within --timeout") || strings.Contains(got.err, "cannot be reached") {
			t.Errorf("gotapi %s: %+v, want exit code 3 and that there is no answer", command, got)
		}
	}
}

func TestAnswersBecomeExitCodes(t *testing.T) {
	for status, want := range map[int]int{
		400: cli.ExitFailed, 401: cli.ExitNotAllowed, 403: cli.ExitNotAllowed, 404: cli.ExitNotFound,
		413: cli.ExitFailed, 503: cli.ExitUnreachable, 504: cli.ExitUnreachable,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "60") // so that the command tries once
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"code":%d,"msg":"the server's own words"}`, status)
		}))
		got := gotapi(t.Context(), nil, "", "cancel", "/r", "u", "--timeout", "500ms", "--url", srv.URL)
		if got.code != want || !strings.Contains(got.err, "the server's own words") {
			t.Errorf("status %d: %+v, want exit code %d", status, got, want)
		}
		srv.Close()
	}
}

func TestAnAnswerOfAnotherProgramIsNoRefusal(t *testing.T) {
	for _, status := range []int{200, 403, 404, 413, 530} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "60") // so that the command tries once
			w.WriteHeader(status)
			_, _ = w.Write([]byte("<!doctype html>"))
		}))
		got := gotapi(t.Context(), nil, "", "cancel", "/r", "u", "--timeout", "300ms", "--url", srv.URL)
		if got.code != cli.ExitUnreachable || !strings.Contains(got.err, "not an answer from a gotapi-ws server") {
			t.Errorf("status %d: %+v, want exit code 3", status, got)
		}
		srv.Close()
	}
}

func TestTextThatIsNotUTF8IsRefusedBeforeItIsSent(t *testing.T) {
	sent := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sent++
		_, _ = w.Write([]byte(`{"code":200,"group":"/r","stored":true,"uuid":"u"}`))
	}))
	defer srv.Close()
	for name, text := range map[string]string{
		"Latin-1": "caf\xe9", "UTF-16LE with a mark": "\xff\xfeh\x00i\x00", "UTF-16BE with a mark": "\xfe\xff\x00h\x00i",
		"UTF-16LE": "h\x00i\x00", "UTF-16BE": "\x00h\x00i", "UTF-8 with a mark": "\xef\xbb\xbfhi", "UTF-32": "h\x00\x00\x00", "a cut-off rune": "\xe4\xb8",
		"a mark before JSON": "\xef\xbb\xbf{}", "a broken string": "{\"data\":\"\xff\"}",
	} {
		file := filepath.Join(t.TempDir(), "message")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for how, got := range map[string]outcome{
			"--file":        gotapi(t.Context(), nil, "", "pub", "/r", "--file", file, "--url", srv.URL),
			"--file --body": gotapi(t.Context(), nil, "", "pub", "/r", "--file", file, "--body", "--url", srv.URL),
			"stdin":         gotapi(t.Context(), nil, text+"\n", "pub", "/r", "--url", srv.URL),
			"argument":      gotapi(t.Context(), nil, "", "pub", "/r", text, "--url", srv.URL),
		} {
			if got.code != cli.ExitUsage || got.out != "" || sent != 0 {
				t.Errorf("%s by %s: %+v and %d requests, want exit code 2 and none", name, how, got, sent)
				sent = 0
			}
		}
	}
	if got := gotapi(t.Context(), nil, "", "pub", "/r", "--uuid", "\xff", "x", "--url", srv.URL); got.code != cli.ExitUsage || sent != 0 {
		t.Errorf("--uuid: %+v and %d requests, want exit code 2 and none", got, sent)
	}
	for _, text := range []string{"中文 \ufffd", "no mark \ufeff in the middle", "🂡"} {
		if got := gotapi(t.Context(), nil, "", "pub", "/r", text, "--url", srv.URL); got.code != cli.ExitOK {
			t.Errorf("%q: %+v", text, got)
		}
	}
	if got := gotapi(t.Context(), nil, "", "pub", "/r", "--raw", "\xff\x00", "--url", srv.URL); got.code != cli.ExitOK {
		t.Errorf("--raw: %+v", got)
	}
}

func TestPubSaysThatAMessageWasStoredBefore(t *testing.T) {
	for duplicate, want := range map[bool]string{true: "u was stored before", false: ""} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"code":200,"group":"/r","stored":true,"uuid":"u","duplicate":%t}`, duplicate)
		}))
		got := gotapi(t.Context(), nil, "", "pub", "/r", "x", "--uuid", "u", "--url", srv.URL)
		if got.code != cli.ExitOK || got.out != "u\n" || !strings.HasPrefix(got.err, want) || (got.err == "") == duplicate {
			t.Errorf("duplicate %t: %+v", duplicate, got)
		}
		srv.Close()
	}
}

func TestATokenThatNoHeaderCanCarryIsToldBeforeAnythingIsSent(t *testing.T) {
	for text, want := range map[string]string{
		"\xef\xbb\xbfsecret": "begins with a byte order mark", "\xff\xfes\x00e\x00": "begins with a byte order mark",
		"two words": "not a token", "a\nb": "not a token",
	} {
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got := gotapi(t.Context(), nil, "", "groups", "--token-file", file, "--url", "http://127.0.0.1:1")
		if got.code != cli.ExitUsage || !strings.Contains(got.err, file) || !strings.Contains(got.err, want) || strings.Contains(got.err, "secret") {
			t.Errorf("%q: %+v", text, got)
		}
		if got := gotapi(t.Context(), map[string]string{"GOTAPI_TOKEN": text}, "", "groups", "--url", "http://127.0.0.1:1"); got.code != cli.ExitUsage {
			t.Errorf("%q in the environment: %+v", text, got)
		}
	}
}

func TestATokenFileIsReadAgainWhenItsTokenIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Error(err)
		}
	}
	write("old")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer new" {
			write("new")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"code":401,"msg":"expired"}`))
			return
		}
		_, _ = w.Write([]byte(`{"code":200,"groups":[]}`))
	}))
	defer srv.Close()
	if got := gotapi(t.Context(), nil, "", "groups", "--token-file", file, "--url", srv.URL); got.code != cli.ExitOK {
		t.Errorf("%+v", got)
	}
}

func TestHistoryAllRepeatsNothingWhileOthersPublish(t *testing.T) {
	message := func(i int) string { return fmt.Sprintf(`{"type":2,"uuid":"%d"}`, i) }
	n := 5
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		newest := n // of the page
		if _, err := fmt.Sscan(r.FormValue("before"), &newest); err == nil {
			newest--
		} else if position := 0; true {
			_, _ = fmt.Sscan(r.FormValue("position"), &position)
			newest -= position
		}
		texts := []string{message(newest)}
		page := map[string]any{"code": 200, "position": 0, "msg": "", "data": texts}
		if newest > 1 {
			page["next"] = n - newest + 1
		}
		n++ // somebody publishes
		_ = json.NewEncoder(w).Encode(page)
	}))
	defer srv.Close()
	got := gotapi(t.Context(), nil, "", "history", "/r", "--all", "--raw", "-n", "1", "--url", srv.URL)
	want := strings.Join([]string{message(5), message(4), message(3), message(2), message(1), ""}, "\n")
	if diff := cmp.Diff(outcome{0, want, ""}, got, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHistoryShowsWhenAndWho(t *testing.T) {
	var asked string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page := `{"code":200,"position":0,"msg":"","data":["{\"type\":2,\"uuid\":\"3\",\"body\":{\"data\":\"c\"}}","{\"type\":2,\"uuid\":\"2\"}","{\"type\":2}"]`
		if asked = r.FormValue("meta"); asked == "1" {
			page += `,"meta":[{"seq":3,"at":1800000000123,"by":"alice\u001b"},{"seq":2,"at":1800000000000,"key":"shop"},{"seq":0,"at":0}],"pos":"p"`
		}
		_, _ = io.WriteString(w, page+"}")
	}))
	defer srv.Close()
	for _, command := range []string{"history", "tail"} {
		got := gotapi(t.Context(), nil, "", command, "/r", "--json", "--url", srv.URL)
		lines := strings.Split(strings.TrimSpace(got.out), "\n")
		if command == "tail" {
			slices.Reverse(lines)
		}
		want := []string{
			`"seq":3,"at":"2027-01-15T08:00:00.123Z","by":"alice\u001b"}`,
			`"seq":2,"at":"2027-01-15T08:00:00Z","key":"shop"}`,
			`{"group":"/r","packet":"{\"type\":2}"}`,
		}
		for i, line := range lines {
			if !strings.HasSuffix(line, want[i]) {
				t.Errorf("%s --json, line %d: %s, want %s at its end", command, i, line, want[i])
			}
		}
		if asked != "1" || len(lines) != len(want) {
			t.Errorf("%s --json: %d lines, meta=%s", command, len(lines), asked)
		}
		got = gotapi(t.Context(), nil, "", command, "/r", "--long", "--url", srv.URL)
		at := time.UnixMilli(1_800_000_000_000).Format(time.DateTime)
		for _, want := range []string{at + `  3  by alice\u001b  c`, at + "  2  key shop  ", "-  "} {
			if !slices.ContainsFunc(strings.Split(got.out, "\n"), func(line string) bool { return strings.HasPrefix(line, want) }) {
				t.Errorf("%s --long: no line with %q in\n%s", command, want, got.out)
			}
		}
		if got = gotapi(t.Context(), nil, "", command, "/r", "--url", srv.URL); asked != "" || strings.Contains(got.out, "alice") {
			t.Errorf("%s: meta=%s, and\n%s", command, asked, got.out)
		}
	}
}

func TestTheFirstMessageThatFailsEndsPubWhileInputIsOpen(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"code":403,"msg":"not you"}`))
	}))
	defer srv.Close()
	in, lines := io.Pipe()
	t.Cleanup(func() { _ = lines.Close() })
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Main(t.Context(), []string{"pub", "/r", "--url", srv.URL}, cli.Streams{
			In: in, Out: io.Discard, Err: io.Discard, Env: func(string) (string, bool) { return "", false },
		})
	}()
	_, _ = io.WriteString(lines, "one line, and no other\n")
	select {
	case code := <-ended:
		if code != cli.ExitNotAllowed {
			t.Errorf("exit code %d, want %d", code, cli.ExitNotAllowed)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for another line")
	}
}

func TestASignalEndsPubWithExitCode130(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := gotapi(ctx, nil, "", "pub", "/r", "x", "--url", "http://127.0.0.1:1")
	if got.code != cli.ExitInterrupted || !strings.Contains(got.err, "interrupted after 0 published") {
		t.Errorf("%+v, want exit code 130", got)
	}
}

func TestTheSummaryOfTailCountsWhatItShowsOfTheHistory(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/__/history" {
			_, _ = w.Write([]byte(`{"code":200,"position":0,"msg":"","data":["{\"type\":2,\"uuid\":\"b\"}","{\"type\":2,\"uuid\":\"a\"}"]}`))
			return
		}
		<-r.Context().Done() // nothing follows
	}))
	defer srv.Close()
	for n, want := range map[string]string{"5": "2 packets in ", "1": "1 packet in ", "0": "0 packets in "} {
		got := gotapi(t.Context(), nil, "", "tail", "/r", "-f", "-n", n, "--for", "50ms", "--url", srv.URL)
		if got.code != cli.ExitOK || !strings.HasPrefix(got.err, want) {
			t.Errorf("tail -n %s -f: exit code %d, %q; want 0 and %q", n, got.code, got.err, want)
		}
	}
}

func TestCompletionForTheCommonShells(t *testing.T) {
	for shell, want := range map[string]string{"bash": "__start_gotapi", "zsh": "#compdef gotapi", "fish": "complete -c gotapi"} {
		if got := gotapi(t.Context(), nil, "", "completion", shell); got.code != 0 || !strings.Contains(got.out, want) {
			t.Errorf("%s: exit code %d, %d bytes without %q", shell, got.code, len(got.out), want)
		}
	}
	if got := gotapi(t.Context(), nil, "", "__complete", "h"); !strings.HasPrefix(got.out, "help\tHelp about any command\nhistory\t") {
		t.Errorf("completion of h: %q", got.out)
	}
}

// A reference is between these two lines of docs/cli.md.
var reference = regexp.MustCompile(`(?s)(<!-- reference: begin -->\n).*(<!-- reference: end -->)`)

func TestTheReferenceIsWhatTheCommandsSay(t *testing.T) {
	path := filepath.Join("..", "docs", "cli.md")
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, command := range []string{"", "pub", "sub", "tail", "history", "cancel", "groups", "top", "status", "who", "why", "config", "purge", "ttl", "token", "token inspect", "bench", "version"} {
		name := strings.TrimSpace("gotapi " + command)
		want.WriteString("### " + name + "\n\n```text\n")
		want.WriteString(gotapi(t.Context(), nil, "", strings.Fields(command+" -h")...).out)
		want.WriteString("```\n\n")
	}
	whole := reference.ReplaceAllString(string(doc), "${1}"+strings.ReplaceAll(want.String(), "$", "$$")+"${2}")
	if *update {
		if err := os.WriteFile(path, []byte(whole), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(whole, string(doc)); diff != "" || !reference.Match(doc) {
		t.Errorf("docs/cli.md is not current: go test ./cli -run Reference -update (-want +got):\n%s", diff)
	}
}
