package conformance

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// wantError checks that an answer is {"code":C,"msg":"..."}, nothing more, with
// C the HTTP status, and returns the msg.
func wantError(t *testing.T, what string, a client.Answer, code int) string {
	t.Helper()
	if a.Code != code {
		t.Errorf("%s: status %d %.300q, want %d", what, a.Code, a.Body, code)
		return ""
	}
	return wantErrorBody(t, what, a)
}

func wantErrorBody(t *testing.T, what string, a client.Answer) string {
	t.Helper()
	var body map[string]any
	a.JSON(t, &body)
	msg, _ := body["msg"].(string)
	if body["code"] != float64(a.Code) || msg == "" || len(body) != 2 {
		t.Errorf("%s: body %s, want {\"code\":%d,\"msg\":\"...\"}", what, a.Body, a.Code)
	}
	if !strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") {
		t.Errorf("%s: Content-Type %q, want application/json", what, a.Header.Get("Content-Type"))
	}
	return msg
}

// exactNames returns names that careless servers mix up.
func exactNames() []string {
	g := client.Group()
	return []string{
		g, g + "/", g + "//", "/" + g, g + "/.", g + "/..", g + "/./x", g + "/x", g + "/../x", g + "//x",
		strings.ToLower(g), g + "/a:b", g + ":ws", g + "/комната", g + "/КОМНАТА", g + "/a b", g + "/a+b", g + "/%20", g + "/%2520", g + "/a%2Fb",
		g + "/e\u0301", g + "/é", g + ";x=1", g + "/*", g + "/a?b", g + "/a#b", g + "/a=b&c", g + "/\\", g + "/~", g + "/index.html",
	}
}

func Test1_GroupNamesAreExact(t *testing.T) {
	t.Parallel()
	names := exactNames()
	members := make([]*client.Member, len(names))
	for i, name := range names {
		members[i] = client.Join(t, here(), client.EscapePath(name))
	}
	for _, name := range names {
		if p := client.Publish(t, there(), name, "to "+name); p.Group != name {
			t.Errorf("publish to %q: group %q", name, p.Group)
		}
	}
	for i, name := range names {
		client.Publish(t, there(), name, "end")
		members[i].Want("to " + name)
		members[i].Want("end")
	}
}

func Test1_NamesArePercentDecodedOnce(t *testing.T) {
	t.Parallel()
	g := client.Group()
	for _, tt := range []struct{ join, publish, name string }{
		{g + "/a%2Fb", g + "/a/b", g + "/a/b"},
		{g + "/%61", g + "/a", g + "/a"},
		{g + "%2f", g + "/", g + "/"},
		{g + "/%e4%BD%a0", g + "/你", g + "/你"},
		{g + "/%252F", g + "/%252F", g + "/%2F"},
		{g + "/%252f", g + "/%252f", g + "/%2f"},
		{g + "/%2e%2e/c", g + "/../c", g + "/../c"},
		{g + "/a+b", g + "/a%2Bb", g + "/a+b"},
		{g + "/?x=1", g + "/?groupName=y", g + "/"},
	} {
		m := client.Join(t, here(), tt.join)
		if got := postName(t, tt.publish); got != tt.name {
			t.Errorf("publish to %s: group %q, want %q", tt.publish, got, tt.name)
		}
		m.Want("hello")
	}
}

// postName publishes "hello" to a raw path and returns the group's name.
func postName(t *testing.T, path string) string {
	t.Helper()
	a := client.Do(t, "POST", there(), rawPath(path), "hello")
	if a.Code != http.StatusOK {
		t.Fatalf("POST %s: %d %s", path, a.Code, a.Body)
	}
	var p client.Published
	a.JSON(t, &p)
	return p.Group
}

// rawPath escapes only what cannot stand in a request line.
func rawPath(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if c <= ' ' || c >= 0x7f {
			b.WriteString("%" + strings.ToUpper(strconv.FormatInt(int64(c)+0x100, 16))[1:])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func Test1_LegalAndIllegalNames(t *testing.T) {
	t.Parallel()
	type vector struct {
		bytesVector
		Legal bool
	}
	for _, v := range readVectors[vector](t, "groups.json") {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			name := v.bytes(t)
			overGRPC(t, name, v.Legal)
			if !strings.HasPrefix(name, "/") {
				return // no request line can say it
			}
			overHTTP(t, name, v.Legal)
			overWebSocket(t, name, v.Legal)
		})
	}
}

func overHTTP(t *testing.T, name string, legal bool) {
	t.Helper()
	a := client.Do(t, "POST", here(), client.EscapePath(name), "x")
	switch {
	case name == "/" || name == "/timer":
		wantError(t, "publish", a, http.StatusForbidden)
	case legal:
		if a.Code != http.StatusOK {
			t.Errorf("publish to %q: %d %s", name, a.Code, a.Body)
		}
	case name == "/__status":
		if a.Code != http.StatusOK || a.Body != "status ok!" {
			t.Errorf("POST /__status: %d %q", a.Code, a.Body)
		}
	case name == "/__/history":
		wantError(t, "history without a group", a, http.StatusBadRequest)
	case strings.HasPrefix(name, "/__/"):
		wantError(t, "publish", a, http.StatusNotFound)
	default:
		wantError(t, "publish", a, http.StatusBadRequest)
	}
}

func overWebSocket(t *testing.T, name string, legal bool) {
	t.Helper()
	m, resp, err := client.TryJoin(t, here(), client.EscapePath(name))
	switch {
	case legal && err != nil:
		t.Errorf("join %q: %v", name, err)
	case legal:
		m.Leave()
	case err == nil:
		t.Errorf("join %q: accepted", name)
	case resp == nil:
		t.Errorf("join %q: %v, want an HTTP answer", name, err)
	case !strings.HasPrefix(name, "/__") && resp.StatusCode != http.StatusBadRequest:
		t.Errorf("join %q: %s, want 400", name, resp.Status)
	}
}

func overGRPC(t *testing.T, name string, legal bool) {
	t.Helper()
	if target.grpc == "" || !utf8.ValidString(name) {
		return // protobuf itself refuses a string that is not UTF-8
	}
	_, err := service(t).Publish(t.Context(), &historyv1.PublishRequest{GroupName: name, Packet: []byte("x")})
	want := codes.OK
	switch {
	case name == "/" || name == "/timer":
		want = codes.PermissionDenied
	case !legal:
		want = codes.InvalidArgument
	}
	if status.Code(err) != want {
		t.Errorf("gRPC publish to %q: %v, want %v", name, err, want)
	}
}

func Test1_BrokenEscapesAre400(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/a%", "/a%zz", "/%2"} {
		if a := client.Do(t, "POST", here(), path, "x"); a.Code != http.StatusBadRequest {
			t.Errorf("POST %s: %d %q, want 400", path, a.Code, a.Body)
		}
	}
}

func Test1_ReservedPathsAreNeverGroups(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/__/", "/__/x", "/__/history/x", "/__//history", "/__/a/../b", "/%5f_/x", "/__%2Fx"} {
		a := client.Do(t, "POST", here(), path, client.Data(client.UUID(), "x"))
		wantError(t, "POST "+path, a, http.StatusNotFound)
		if _, _, err := client.TryJoin(t, here(), path); err == nil {
			t.Errorf("join %s: accepted", path)
		}
	}
	if _, _, err := client.TryJoin(t, here(), "/__status"); err == nil {
		t.Error("join /__status: accepted")
	}
}

func Test1_NothingRedirects(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"//", "/a/..", "/./a", "/__/history", "/__/history/", "/__/cancel/", "/__", client.Group() + "//"} {
		for _, method := range []string{"GET", "POST"} {
			if a := client.Do(t, method, here(), path, ""); a.Code >= 300 && a.Code < 400 {
				t.Errorf("%s %s: %d to %s", method, path, a.Code, a.Header.Get("Location"))
			}
		}
	}
}

func Test1_LobbyJoinsOnce(t *testing.T) {
	t.Parallel()
	first, second := client.Group(), client.Group()
	m, other := client.Join(t, here(), "/"), client.Join(t, there(), second)
	watcher := client.Join(t, there(), first)
	m.Text("hello?")
	m.Text(client.Data(client.UUID(), "lost in the lobby"))
	m.Text(`{"type":1,"command":5}`)
	m.Send(client.Message{Binary: true, Data: "\x00"})
	m.Text("join:" + first)
	m.Text("join:" + second) // an ordinary packet
	watcher.Want("join:" + second)
	uuid := client.UUID()
	m.Text(client.Data(uuid, "x"))
	watcher.Want(client.Data(uuid, "x"))
	m.Want(client.Ack(uuid)) // nothing was answered in the lobby
	client.Publish(t, there(), second, "end")
	other.Want("end")
	watcher.Text("back")
	m.Want("back")
}

func Test1_LobbyJoinGetsASlash(t *testing.T) {
	t.Parallel()
	g := client.Group()
	m, watcher := client.Join(t, here(), "/"), client.Join(t, there(), g)
	m.Text("join:" + g[1:])
	m.Text("hello")
	watcher.Want("hello")
}

func Test1_IllegalJoinClosesWith1008(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "/", "/__status", "__/x", "/__/history", "/a{b", "/a\nb", "/" + strings.Repeat("a", 512)} {
		m := client.Join(t, here(), "/")
		m.Text("join:" + name)
		m.WantClose(1008)
	}
}

func Test1_LobbyMayJoinTheClock(t *testing.T) {
	t.Parallel()
	m := client.Join(t, here(), "/")
	m.Text("join:timer")
	wantSecond(t, m)
}

func wantSecond(t *testing.T, m *client.Member) int64 {
	t.Helper()
	msg := m.Next()
	sec, err := strconv.ParseInt(msg.Data, 10, 64)
	if err != nil || msg.Binary || strconv.FormatInt(sec, 10) != msg.Data {
		t.Fatalf("the clock says %v, want a number as text", msg)
	}
	return sec
}

func Test1_TimerTicksOnceASecond(t *testing.T) {
	t.Parallel()
	members := []*client.Member{client.Join(t, here(), "/timer"), client.Join(t, there(), "/timer")}
	members[0].Text("nobody can publish here")
	members[0].Text(client.Data(client.UUID(), "x"))
	for _, m := range members {
		first := wantSecond(t, m)
		if off := time.Since(time.Unix(first, 0)); off < -2*time.Second || off > 5*time.Second {
			t.Errorf("the clock is off by %v", off)
		}
		for i := int64(1); i <= 3; i++ {
			if got := wantSecond(t, m); got != first+i {
				t.Errorf("tick %d: %d, want %d", i, got, first+i)
			}
		}
	}
	wantError(t, "publish to /timer", client.Do(t, "POST", here(), "/timer", "x"), http.StatusForbidden)
}

func Test1_PublishedAfter101ReachesTheNewMember(t *testing.T) {
	t.Parallel()
	for range 30 {
		g := client.Group()
		m := client.Join(t, here(), g)
		client.Publish(t, there(), g, "first")
		m.Want("first")
	}
}
