package whole

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

const signingSecret = "a secret of the tests that has more than 32 bytes"

// TestEveryoneSeesWhoSaidItAndWhen: a user over a WebSocket, and a backend for users over
// HTTP and gRPC.
func TestEveryoneSeesWhoSaidItAndWhen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) (path string) {
		path = filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, entry := access.NewAPIKey("shop")
	entry = strings.Replace(entry, "recall: any", "recall: own", 1) + "    join: [\"/room/**\"]\n    act_as: [alice]\n"
	audit := filepath.Join(dir, "audit.log")
	p := testbed.StartAllInOne(t, "-auth-secret-file", write("secret", signingSecret),
		"-auth-api-keys-file", write("keys.yaml", entry), "-audit-log", audit)
	keys, err := access.ParseSecret([]byte(signingSecret))
	if err != nil {
		t.Fatal(err)
	}
	tokenOf := func(user string) string {
		rights := access.Grant{Join: []string{"/room/**"}, Publish: []string{"/room/**"}}
		token, err := keys.Issue(&access.Claims{Subject: user, Expires: time.Now().Add(time.Hour), Grant: &rights}, access.DefaultClaim)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	do := func(method, path, body string, headers ...string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.Addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(answer)
	}
	const room = "/room/authors"
	began := time.Now()
	want := func(code int, method, path, body string, headers ...string) string {
		t.Helper()
		got, answer := do(method, path, body, headers...)
		if got != code {
			t.Fatalf("%s %s: %d %s, want %d", method, path, got, answer, code)
		}
		return answer
	}
	want(200, "POST", room, client.Data("of-alice", "hi"), "Authorization", "Bearer "+tokenOf("alice"))
	want(200, "POST", room, client.Data("of-bob", "hi"), "Authorization", "Bearer "+tokenOf("bob"))
	want(200, "POST", room, client.Data("of-shop", "hi"), "X-API-Key", key)
	want(200, "POST", room, client.Data("for-alice", "hi"), "X-API-Key", key, "X-Act-As", "alice")
	want(403, "POST", room, client.Data("for-bob", "hi"), "X-API-Key", key, "X-Act-As", "bob")

	var page struct {
		Data []string
		Meta []struct {
			Seq     uint64
			At      int64
			By, Key string
		}
		Pos string
	}
	if err := json.Unmarshal([]byte(want(200, "GET", "/__/history?meta=1&groupName="+room, "", "X-API-Key", key)), &page); err != nil {
		t.Fatal(err)
	}
	type row struct {
		UUID, By, Key string
		Seq           uint64
	}
	var rows []row
	for i, m := range page.Meta {
		rows = append(rows, row{client.Parse(t, page.Data[i]).UUID, m.By, m.Key, m.Seq})
		if at := time.UnixMilli(m.At); at.Before(began.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
			t.Errorf("message %d was stored at %v", m.Seq, at)
		}
	}
	if diff := cmp.Diff([]row{
		{"for-alice", "alice", "", 4}, {"of-shop", "", "shop", 3}, {"of-bob", "bob", "", 2}, {"of-alice", "alice", "", 1},
	}, rows); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
	if plain := want(200, "GET", "/__/history?groupName="+room, "", "X-API-Key", key); strings.Contains(plain, "meta") || strings.Contains(plain, "alice\"") {
		t.Errorf("a page without meta: %s", plain)
	}

	recall := func(code int, uuid, user string) {
		t.Helper()
		want(code, "POST", "/__/cancel?groupName="+room+"&uuid="+uuid, "", "X-API-Key", key, "X-Act-As", user)
	}
	recall(200, "of-alice", "alice")
	recall(403, "of-bob", "alice")
	recall(403, "of-shop", "alice")
	recall(403, "of-bob", "bob")

	conn, err := grpc.NewClient(p.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-api-key", key)
	history := historyv1.NewHistoryServiceClient(conn)
	forAlice := metadata.AppendToOutgoingContext(ctx, "x-act-as", "alice")
	published, err := history.Publish(forAlice, &historyv1.PublishRequest{GroupName: room, Packet: []byte(client.Data("rpc", "hi"))})
	if err != nil || published.GetSeq() != 5 || published.GetAt() < began.Add(-time.Second).UnixMilli() {
		t.Errorf("published: %v, %v", published, err)
	}
	if _, err := history.Cancel(forAlice, &historyv1.CancelRequest{GroupName: room, Uuid: "for-alice"}); err != nil {
		t.Error(err)
	}
	// Everything after the page, in order.
	watch, err := history.Watch(ctx, &historyv1.WatchRequest{Groups: []*historyv1.WatchedGroup{
		{GroupName: room, Start: &historyv1.WatchedGroup_After{After: page.Pos}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	for len(events) < 4 {
		r, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		switch e := r.GetEvent().(type) {
		case *historyv1.WatchResponse_Message:
			events = append(events, "message "+client.Parse(t, string(e.Message.GetPacket())).UUID+" by "+e.Message.GetBy())
		case *historyv1.WatchResponse_Recalled:
			events = append(events, "recalled "+e.Recalled.GetUuid()+" by "+e.Recalled.GetBy())
		case *historyv1.WatchResponse_Started:
			events = append(events, "started")
		default:
			t.Fatalf("%v", r)
		}
	}
	if diff := cmp.Diff([]string{
		"started", "recalled of-alice by alice", "message rpc by alice", "recalled for-alice by alice",
	}, events); diff != "" {
		t.Errorf("watch after the page (-want +got):\n%s", diff)
	}

	text, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	type line struct {
		UUID, Caller, User, Outcome string
		ActAs                       string `json:"act_as"`
	}
	var lines []line
	for l := range strings.Lines(string(text)) {
		var one line
		if err := json.Unmarshal([]byte(l), &one); err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		lines = append(lines, one)
	}
	if diff := cmp.Diff([]line{
		{"of-alice", "system", "shop", "OK", "alice"},
		{"of-bob", "system", "shop", "PermissionDenied", "alice"},
		{"of-shop", "system", "shop", "PermissionDenied", "alice"},
		{"for-alice", "shop", "", "OK", "alice"},
	}, lines); diff != "" {
		t.Errorf("audit log (-want +got):\n%s", diff)
	}
}
