package standalone_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access"
	adminv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/admin/v1"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// This file asks the same of the services over HTTP, WebSockets and gRPC: who may do
// what must not depend on where.

const (
	tokenSecret  = "a secret that is longer than 32 bytes"
	serviceToken = "the-token-of-our-own-services"
	adminSecret  = "the-secret-of-old-programs"
)

// checked is a running edge and history service that ask who callers are.
type checked struct {
	http, grpc string
	conn       *grpc.ClientConn
	// The key of the backend "billing".
	apiKey string
}

const policyOfTest = `
anonymous:
  join: [/public/*]
  read: [/public/*]
authenticated:
  join: [/user/$sub/*]
`

// startChecked starts both; args are for both.
func startChecked(t *testing.T, args ...string) *checked {
	t.Helper()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, entry := access.NewAPIKey("billing")
	args = append([]string{
		"-auth-secret-file", write("secret", tokenSecret), "-auth-leeway", "0s",
		"-auth-api-keys-file", write("keys", entry), "-auth-policy-file", write("policy", policyOfTest),
		"-service-token-file", write("token", serviceToken),
	}, args...)
	history := startHistory(t, args...)
	face := startEdge(t, append(args, "-history", history.Listen, "-admin-secret", adminSecret)...)
	conn, err := grpc.NewClient(history.Listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &checked{http: face.Listen, grpc: history.Listen, conn: conn, apiKey: key}
}

// token is one of somebody with a grant, in JSON; "" has no claim.
func token(t *testing.T, subject, grant string, lives time.Duration) string {
	t.Helper()
	claims := jwt.MapClaims{"sub": subject, "exp": time.Now().Add(lives).Unix()}
	if grant != "" {
		claims["gotapi"] = json.RawMessage(grant)
	}
	s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(tokenSecret))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var uuids atomic.Int64

func packetOf(uuid string) string {
	return fmt.Sprintf(`{"type":2,"uuid":%q,"body":{"data":"hello"}}`, uuid)
}

// way is how to reach the services. Each method returns 200, or the status of the
// refusal; -1 if the way cannot do that.
type way interface {
	join(t *testing.T, credential, group string) int
	publish(t *testing.T, credential, group, packet string) int
	read(t *testing.T, credential, group string) int
	recall(t *testing.T, credential, group, uuid string) int
	ttl(t *testing.T, credential, group string) int
	groups(t *testing.T, credential string) int
}

const cannot = -1

// actingFor comes between a credential and the user whom its bearer acts for.
const actingFor = " as "

// overHTTP presents the credential as Authorization: Bearer.
type overHTTP struct{ *checked }

func (w overHTTP) do(t *testing.T, method, path, credential, body string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+w.http+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded") // as curl -d says
	credential, user, acts := strings.Cut(credential, actingFor)
	if acts {
		req.Header.Set("X-Act-As", user)
	}
	if credential != "" {
		req.Header.Set("Authorization", "Bearer "+credential)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusUnauthorized && resp.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("%s %s: 401 without WWW-Authenticate", method, path)
	}
	if resp.StatusCode != http.StatusOK && !strings.HasPrefix(string(answer), fmt.Sprintf(`{"code":%d,"msg":"`, resp.StatusCode)) {
		t.Errorf("%s %s: %s", method, path, answer)
	}
	return resp.StatusCode, resp.Header, string(answer)
}

func (w overHTTP) status(t *testing.T, method, path, credential, body string) int {
	t.Helper()
	code, _, _ := w.do(t, method, path, credential, body)
	return code
}

func (w overHTTP) join(*testing.T, string, string) int { return cannot }

func (w overHTTP) publish(t *testing.T, credential, group, packet string) int {
	t.Helper()
	return w.status(t, http.MethodPost, group, credential, packet)
}

func (w overHTTP) read(t *testing.T, credential, group string) int {
	t.Helper()
	post := w.status(t, http.MethodPost, "/__/history", credential, "groupName="+group)
	if get := w.status(t, http.MethodGet, "/__/history?groupName="+group, credential, ""); get != post {
		t.Errorf("history by GET: %d, by POST: %d", get, post)
	}
	return post
}

func (w overHTTP) recall(t *testing.T, credential, group, uuid string) int {
	t.Helper()
	return w.status(t, http.MethodPost, "/__/cancel", credential, "groupName="+group+"&uuid="+uuid)
}

func (w overHTTP) ttl(t *testing.T, credential, group string) int {
	t.Helper()
	code := w.status(t, http.MethodPost, "/__/ttl", credential, "ttl=3600&groupName="+group)
	if shown := w.status(t, http.MethodGet, "/__/group?groupName="+group, credential, ""); shown != code {
		t.Errorf("ttl of %s: %d, its report: %d", group, code, shown)
	}
	if shown := w.status(t, http.MethodGet, "/__/config?groupName="+group, credential, ""); shown != code {
		t.Errorf("ttl of %s: %d, its settings: %d", group, code, shown)
	}
	return code
}

func (w overHTTP) groups(t *testing.T, credential string) int {
	t.Helper()
	code := w.status(t, http.MethodGet, "/__/groups", credential, "")
	for _, path := range []string{"/__/stored", "/__/status"} {
		if also := w.status(t, http.MethodGet, path, credential, ""); also != code {
			t.Errorf("groups: %d, %s: %d", code, path, also)
		}
	}
	return code
}

// overWebSocket presents the credential as browsers do, as a subprotocol.
type overWebSocket struct{ *checked }

// dial returns nil, and the status, when the upgrade is refused.
func (w overWebSocket) dial(t *testing.T, credential, path string) (*websocket.Conn, int) {
	t.Helper()
	var d websocket.Dialer
	if credential != "" {
		d.Subprotocols = []string{"gotapi.v1", "gotapi.bearer." + url.PathEscape(credential)}
	}
	conn, resp, err := d.DialContext(t.Context(), "ws://"+w.http+path, nil)
	if resp == nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if err != nil {
		return nil, resp.StatusCode
	}
	if credential != "" && conn.Subprotocol() != "gotapi.v1" {
		t.Errorf("subprotocol %q", conn.Subprotocol())
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	return conn, http.StatusOK
}

// ask sends a packet as a member and returns the code of the answer.
func (w overWebSocket) ask(t *testing.T, credential, group, packet string) int {
	t.Helper()
	conn, code := w.dial(t, credential, group)
	if conn == nil {
		return code
	}
	defer func() { _ = conn.Close() }()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(packet)); err != nil {
		t.Fatal(err)
	}
	_, answer, err := conn.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	var a struct {
		Command int
		Body    struct{ Data json.RawMessage }
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	if a.Command != 7 {
		return http.StatusOK
	}
	var refusal struct{ Code int }
	if err := json.Unmarshal(a.Body.Data, &refusal); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	return refusal.Code
}

func (w overWebSocket) join(t *testing.T, credential, group string) int {
	t.Helper()
	conn, code := w.dial(t, credential, group)
	if conn != nil {
		_ = conn.Close()
	}
	return code
}

func (w overWebSocket) publish(t *testing.T, credential, group, packet string) int {
	t.Helper()
	return w.ask(t, credential, group, packet)
}

func (w overWebSocket) read(t *testing.T, credential, group string) int {
	t.Helper()
	return w.ask(t, credential, group, `{"type":1,"command":2,"uuid":"q"}`)
}

func (w overWebSocket) recall(*testing.T, string, string, string) int { return cannot }
func (w overWebSocket) ttl(*testing.T, string, string) int            { return cannot }
func (w overWebSocket) groups(*testing.T, string) int                 { return cannot }

// overGRPC calls the history service itself.
type overGRPC struct{ *checked }

func (w overGRPC) client() historyv1.HistoryServiceClient {
	return historyv1.NewHistoryServiceClient(w.conn)
}

func presenting(t *testing.T, credential string) context.Context {
	t.Helper()
	if credential == "" {
		return t.Context()
	}
	if credential, user, acts := strings.Cut(credential, actingFor); acts {
		return metadata.AppendToOutgoingContext(presenting(t, credential), "x-act-as", user)
	}
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+credential)
}

func codeOf(t *testing.T, err error) int {
	t.Helper()
	switch status.Code(err) {
	case codes.OK:
		return http.StatusOK
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.NotFound:
		return http.StatusNotFound
	}
	t.Errorf("unexpected: %v", err)
	return 0
}

func (w overGRPC) join(t *testing.T, credential, group string) int {
	t.Helper()
	ctx, cancel := context.WithCancel(presenting(t, credential))
	defer cancel()
	s, err := w.client().Watch(ctx, &historyv1.WatchRequest{Groups: []*historyv1.WatchedGroup{{GroupName: group}}})
	if err == nil {
		_, err = s.Recv()
	}
	return codeOf(t, err)
}

func (w overGRPC) publish(t *testing.T, credential, group, packet string) int {
	t.Helper()
	_, err := w.client().Publish(presenting(t, credential), &historyv1.PublishRequest{GroupName: group, Packet: []byte(packet)})
	return codeOf(t, err)
}

func (w overGRPC) read(t *testing.T, credential, group string) int {
	t.Helper()
	_, err := w.client().GetHistory(presenting(t, credential), &historyv1.GetHistoryRequest{GroupName: group})
	return codeOf(t, err)
}

func (w overGRPC) recall(t *testing.T, credential, group, uuid string) int {
	t.Helper()
	_, err := w.client().Cancel(presenting(t, credential), &historyv1.CancelRequest{GroupName: group, Uuid: uuid})
	return codeOf(t, err)
}

func (w overGRPC) ttl(t *testing.T, credential, group string) int {
	t.Helper()
	_, err := w.client().SetTTL(presenting(t, credential), &historyv1.SetTTLRequest{GroupName: group, Ttl: 3600})
	_, shown := adminv1.NewAdminServiceClient(w.conn).GetGroup(presenting(t, credential), &adminv1.GetGroupRequest{GroupName: group})
	if status.Code(err) != status.Code(shown) {
		t.Errorf("ttl of %s: %v, its report: %v", group, err, shown)
	}
	_, shown = adminv1.NewAdminServiceClient(w.conn).GetConfig(presenting(t, credential), &adminv1.GetConfigRequest{GroupName: group})
	if status.Code(err) != status.Code(shown) {
		t.Errorf("ttl of %s: %v, its settings: %v", group, err, shown)
	}
	return codeOf(t, err)
}

func (w overGRPC) groups(t *testing.T, credential string) int {
	t.Helper()
	_, err := w.client().ListGroups(presenting(t, credential), &historyv1.ListGroupsRequest{})
	admin := adminv1.NewAdminServiceClient(w.conn)
	_, stored := admin.ListStoredGroups(presenting(t, credential), &adminv1.ListStoredGroupsRequest{})
	_, shown := admin.GetStatus(presenting(t, credential), &adminv1.GetStatusRequest{})
	if status.Code(err) != status.Code(stored) || status.Code(err) != status.Code(shown) {
		t.Errorf("groups: %v, stored groups: %v, status: %v", err, stored, shown)
	}
	return codeOf(t, err)
}

// callers of the matrix, in the order of the columns of its rows.
func matrixCallers(t *testing.T, s *checked) (names, credentials []string) {
	t.Helper()
	for _, one := range []struct{ name, credential string }{
		{"anonymous", ""},
		{"no claim", token(t, "alice", "", time.Hour)},
		{"guest", token(t, "guest", `{"join":["/room/*"],"read":["/room/*"]}`, time.Hour)},
		{"writer", token(t, "bob", `{"join":["/room/*"],"publish":["/room/*"],"recall":"own"}`, time.Hour)},
		{"moderator", token(t, "mod", `{"join":["/room/*"],"recall":{"any":["/room/*"]}}`, time.Hour)},
		{"admin", token(t, "root", `{"admin":["/room/*"]}`, time.Hour)},
		{"API key", s.apiKey},
		{"expired", token(t, "bob", `{"join":["/**"],"publish":["/**"]}`, -time.Minute)},
		{"backend as bob", token(t, "bot", `{"publish":["/room/*"],"recall":"own","act_as":["bob"]}`, time.Hour) + actingFor + "bob"},
		{"backend as eve", token(t, "bot", `{"publish":["/room/*"],"recall":"any","admin":true,"act_as":["bob"]}`, time.Hour) + actingFor + "eve"},
		{"forged", token(t, "bob", `{"join":["/**"]}`, time.Hour) + "x"},
	} {
		names, credentials = append(names, one.name), append(credentials, one.credential)
	}
	return names, credentials
}

func TestWhoMayDoWhatDoesNotDependOnWhere(t *testing.T) {
	t.Parallel()
	s := startChecked(t)
	names, credentials := matrixCallers(t, s)
	author := token(t, "author", `{"publish":["/**"]}`, time.Hour)
	stored := func(t *testing.T, by, group string) (uuid string) {
		t.Helper()
		uuid = fmt.Sprint("u", uuids.Add(1))
		if code := (overHTTP{s}).publish(t, by, group, packetOf(uuid)); code != http.StatusOK {
			t.Fatalf("publish: %d", code)
		}
		return uuid
	}
	for where, w := range map[string]way{"HTTP": overHTTP{s}, "WebSocket": overWebSocket{s}, "gRPC": overGRPC{s}} {
		for _, row := range []struct {
			what string
			do   func(t *testing.T, credential string) int
			// Of each caller; 0: it depends on the way, see below.
			want [11]int
		}{
			{"join", func(t *testing.T, c string) int { return w.join(t, c, "/room/1") }, [11]int{401, 403, 200, 200, 200, 403, 403, 401, 403, 403, 401}},
			{"join elsewhere", func(t *testing.T, c string) int { return w.join(t, c, "/other") }, [11]int{401, 403, 403, 403, 403, 403, 403, 401, 403, 403, 401}},
			{"join what is public", func(t *testing.T, c string) int { return w.join(t, c, "/public/1") }, [11]int{200, 403, 403, 403, 403, 403, 403, 401, 403, 403, 401}},
			{"join one's own", func(t *testing.T, c string) int { return w.join(t, c, "/user/alice/x") }, [11]int{401, 200, 403, 403, 403, 403, 403, 401, 403, 403, 401}},
			{"publish", func(t *testing.T, c string) int {
				return w.publish(t, c, "/room/1", packetOf(fmt.Sprint("u", uuids.Add(1))))
			}, [11]int{401, 403, 403, 200, 403, 403, 200, 401, 200, 403, 401}},
			{"read", func(t *testing.T, c string) int { return w.read(t, c, "/room/1") }, [11]int{401, 403, 200, 403, 403, 403, 200, 401, 403, 403, 401}},
			{"recall another's", func(t *testing.T, c string) int {
				return w.recall(t, c, "/room/1", stored(t, author, "/room/1"))
			}, [11]int{401, 403, 403, 403, 200, 403, 200, 401, 403, 403, 401}},
			{"recall the writer's", func(t *testing.T, c string) int {
				return w.recall(t, c, "/room/1", stored(t, credentials[3], "/room/1"))
			}, [11]int{401, 403, 403, 200, 200, 403, 200, 401, 200, 403, 401}},
			{"recall another's that is recalled", func(t *testing.T, c string) int {
				uuid := stored(t, author, "/room/1")
				if code := w.recall(t, credentials[4], "/room/1", uuid); code != http.StatusOK && code != cannot {
					t.Errorf("the moderator: %d", code)
				}
				return w.recall(t, c, "/room/1", uuid)
			}, [11]int{401, 403, 403, 200, 200, 403, 200, 401, 200, 403, 401}},
			{"recall elsewhere", func(t *testing.T, c string) int {
				return w.recall(t, c, "/other", stored(t, author, "/other"))
			}, [11]int{401, 403, 403, 403, 403, 403, 403, 401, 403, 403, 401}},
			{"set a ttl", func(t *testing.T, c string) int { return w.ttl(t, c, "/room/1") }, [11]int{401, 403, 403, 403, 403, 200, 403, 401, 403, 403, 401}},
			{"set a ttl elsewhere", func(t *testing.T, c string) int { return w.ttl(t, c, "/other") }, [11]int{401, 403, 403, 403, 403, 403, 403, 401, 403, 403, 401}},
			{"list groups", w.groups, [11]int{401, 403, 403, 403, 403, 200, 403, 401, 403, 403, 401}},
		} {
			for i, credential := range credentials {
				if where == "WebSocket" && strings.Contains(names[i], actingFor) {
					continue // browsers act for nobody
				}
				t.Run(where+"/"+row.what+"/"+names[i], func(t *testing.T) {
					got := row.do(t, credential)
					if got != cannot && got != wanted(where, row.what, names[i], row.want[i]) {
						t.Errorf("%d, want %d", got, row.want[i])
					}
				})
			}
		}
	}
}

// wanted is what the way adds to the rule: on a WebSocket only members publish and
// read, and the admin endpoints of HTTP take credentials that are not valid for a
// wrong admin secret.
func wanted(where, what, who string, rule int) int {
	switch {
	case where == "WebSocket" && (what == "publish" || what == "read") && who == "API key":
		return http.StatusForbidden // it may not join
	case where == "HTTP" && (strings.HasPrefix(what, "set a ttl") || what == "list groups") && (who == "expired" || who == "forged"):
		return http.StatusForbidden
	}
	return rule
}

func TestAdminSecretAndAPIKeyHeaderStillOpenTheirDoors(t *testing.T) {
	t.Parallel()
	s := startChecked(t)
	w := overHTTP{s}
	if code := w.status(t, http.MethodPost, "/__/ttl", "", "groupName=/room/1&ttl=60&secret="+adminSecret); code != http.StatusOK {
		t.Errorf("the admin secret: %d", code)
	}
	if code := w.status(t, http.MethodGet, "/__/groups", adminSecret, ""); code != http.StatusOK {
		t.Errorf("the admin secret as bearer: %d", code)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.http+"/room/1", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", s.apiKey)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("X-API-Key: %d", resp.StatusCode)
	}
}

func TestAdminOfSomeGroupsSeesNoOthers(t *testing.T) {
	t.Parallel()
	s := startChecked(t)
	everywhere := token(t, "x", `{"join":["/**"]}`, time.Hour)
	for _, g := range []string{"/room/1", "/secret"} {
		overWebSocket{s}.dial(t, everywhere, g)
	}
	admin := token(t, "root", `{"admin":["/room/*"]}`, time.Hour)
	deadline := time.Now().Add(20 * time.Second)
	for {
		// Presence is reported now and then.
		_, _, list := overHTTP{s}.do(t, http.MethodGet, "/__/groups", token(t, "root", `{"admin":true}`, time.Hour), "")
		if list == "/room/1\n/secret\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("groups: %q", list)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if _, _, list := (overHTTP{s}).do(t, http.MethodGet, "/__/groups", admin, ""); list != "/room/1\n" {
		t.Errorf("over HTTP: %q", list)
	}
	r, err := historyv1.NewHistoryServiceClient(s.conn).ListGroups(presenting(t, admin), &historyv1.ListGroupsRequest{})
	if err != nil || len(r.GetGroups()) != 1 || r.GetGroups()[0].GetName() != "/room/1" {
		t.Errorf("over gRPC: %v, %v", r, err)
	}
}

func TestRelayIsForServicesOnly(t *testing.T) {
	t.Parallel()
	s := startChecked(t)
	relay := relayv1.NewRelayServiceClient(s.conn)
	everything := token(t, "root", `{"join":["/**"],"publish":["/**"],"read":["/**"],"recall":"any","admin":true}`, time.Hour)
	for credential, want := range map[string]int{"": 403, everything: 403, s.apiKey: 403, "nonsense": 401, serviceToken: 200} {
		_, err := relay.Read(presenting(t, credential), &relayv1.ReadRequest{Group: "/room/1"})
		if got := codeOf(t, err); got != want {
			t.Errorf("Read with %.20q: %d, want %d", credential, got, want)
		}
		_, err = relay.Recall(presenting(t, credential), &relayv1.RecallRequest{Group: "/room/1", Uuid: "u"})
		if got := codeOf(t, err); got != want && (want != 200 || got != 404) {
			t.Errorf("Recall with %.20q: %d, want %d", credential, got, want)
		}
		stream, err := relay.Connect(presenting(t, credential))
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.CloseSend()
		if _, err = stream.Recv(); want != 200 && codeOf(t, err) != want {
			t.Errorf("Connect with %.20q: %v, want %d", credential, err, want)
		}
	}
	for name, r := range map[string]*relayv1.RecallRequest{
		"no group":        {Uuid: "u"},
		"no uuid":         {Group: "/room/1"},
		"a short author":  {Group: "/room/1", Uuid: "u", Author: []byte("short")},
		"the lobby":       {Group: "/", Uuid: "u"},
		"too long a uuid": {Group: "/room/1", Uuid: strings.Repeat("u", 129)},
	} {
		if _, err := relay.Recall(presenting(t, serviceToken), r); status.Code(err) != codes.InvalidArgument {
			t.Errorf("Recall with %s: %v", name, err)
		}
	}
	nobodys := &relayv1.RecallRequest{Group: "/room/1", Uuid: "u", Author: make([]byte, 8)}
	if _, err := relay.Recall(presenting(t, serviceToken), nobodys); status.Code(err) != codes.PermissionDenied {
		t.Errorf("Recall of nobody's own: %v", err)
	}
	if code := (overGRPC{s}).groups(t, serviceToken); code != http.StatusOK {
		t.Errorf("a service may not list groups: %d", code)
	}
}

// Without tokens and keys, the service token alone keeps strangers out.
func TestServiceTokenAloneKeepsStrangersOutOfGRPC(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(serviceToken), 0o600); err != nil {
		t.Fatal(err)
	}
	history := startHistory(t, "-service-token-file", path)
	conn, err := grpc.NewClient(history.Listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	w := overGRPC{&checked{conn: conn}}
	for credential, want := range map[string]int{"": 401, "another-token-of-nobody": 401, serviceToken: 200} {
		if got := w.read(t, credential, "/room/1"); got != want {
			t.Errorf("with %q: %d, want %d", credential, got, want)
		}
	}
	if err := history.Probe(t.Context()); err != nil {
		t.Errorf("health is not open: %v", err)
	}
	if got := post(t, startEdge(t, "-history", history.Listen, "-service-token-file", path).Listen); got != http.StatusOK {
		t.Errorf("an edge with the token: %d", got)
	}
	if got := post(t, startEdge(t, "-history", history.Listen).Listen); got != http.StatusServiceUnavailable && got != http.StatusGatewayTimeout {
		t.Errorf("an edge without: %d", got)
	}
}

func TestTokensThatExpireEndWebSocketsAndWatches(t *testing.T) {
	t.Parallel()
	s := startChecked(t)
	short := token(t, "bob", `{"join":["/room/*"]}`, 2*time.Second)
	conn, code := overWebSocket{s}.dial(t, short, "/room/1")
	if conn == nil {
		t.Fatalf("upgrade: %d", code)
	}
	watch, err := historyv1.NewHistoryServiceClient(s.conn).Watch(presenting(t, short), &historyv1.WatchRequest{
		Groups: []*historyv1.WatchedGroup{{GroupName: "/room/1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = watch.Recv()
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("the watch ended with %v", err)
	}
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, 4401) {
		t.Errorf("the WebSocket ended with %v, want 4401", err)
	}
}

func TestRecallWindowHoldsForUsersAndNotForModerators(t *testing.T) {
	t.Parallel()
	s := startChecked(t, "-recall-window", "1s")
	bob := token(t, "bob", `{"publish":["/room/*"],"recall":"own"}`, time.Hour)
	mod := token(t, "mod", `{"publish":["/room/*"],"recall":"any"}`, time.Hour)
	for where, w := range map[string]way{"HTTP": overHTTP{s}, "gRPC": overGRPC{s}} {
		// Messages of one age, one for each look whether the window is over.
		late := make([]string, 100)
		for i := range late {
			late[i] = fmt.Sprint("late", uuids.Add(1))
			if code := w.publish(t, bob, "/room/1", packetOf(late[i])); code != http.StatusOK {
				t.Fatalf("%s: publish: %d", where, code)
			}
		}
		n, code := 0, 0
		for ; n < len(late); n++ {
			if code = w.recall(t, bob, "/room/1", late[n]); code != http.StatusOK {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if code != http.StatusForbidden {
			t.Fatalf("%s: after %d looks: %d, want 403", where, n, code)
		}
		if code := w.recall(t, mod, "/room/1", late[n]); code != http.StatusOK {
			t.Errorf("%s: a moderator: %d, want 200", where, code)
		}
	}
}

func TestRecallWindowWithoutAuthentication(t *testing.T) {
	t.Parallel()
	s := start(t, "-recall-window", "1h")
	w := overHTTP{&checked{http: s.http}}
	if code := w.publish(t, "", "/room/1", packetOf("a")); code != http.StatusOK {
		t.Fatalf("publish: %d", code)
	}
	if code := w.recall(t, "", "/room/1", "a"); code != http.StatusOK {
		t.Errorf("within the window: %d, want 200", code)
	}
}

// What one process does without settings of its own, the settings must not break.
func TestStandaloneIsCheckedWithoutAServiceToken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(tokenSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "-auth-secret-file", path)
	w := overHTTP{&checked{http: s.http}}
	bob := token(t, "bob", `{"publish":["/room/*"],"recall":"own"}`, time.Hour)
	if code := w.publish(t, bob, "/room/1", packetOf("a")); code != http.StatusOK {
		t.Errorf("publish: %d", code)
	}
	if code := w.recall(t, bob, "/room/1", "a"); code != http.StatusOK {
		t.Errorf("recall: %d", code)
	}
	if code := w.publish(t, "", "/room/1", packetOf("b")); code != http.StatusUnauthorized {
		t.Errorf("publish without a token: %d", code)
	}
}
