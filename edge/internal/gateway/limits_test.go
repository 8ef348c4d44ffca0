package gateway

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/internal/quota"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// TestABackendActsForUsers: the user is the author, and "own" means that user's messages.
// Rights and limits are the credential's.
func TestABackendActsForUsers(t *testing.T) {
	key, entry := access.NewAPIKey("shop")
	path := filepath.Join(t.TempDir(), "keys.yaml")
	entry = strings.Replace(entry, "recall: any", "recall: own", 1) + "    act_as: [alice, 李]\n"
	if err := os.WriteFile(path, []byte(entry), 0o600); err != nil {
		t.Fatal(err)
	}
	rig := newRigFor(t, Options{}, access.Config{APIKeysFile: path})
	var recalled *relayv1.RecallRequest
	rig.history.recall = func(_ context.Context, r *relayv1.RecallRequest) (*relayv1.RecallResponse, error) {
		recalled = r
		return &relayv1.RecallResponse{}, nil
	}
	rig.history.page = func(context.Context, *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
		return &historyv1.GetHistoryResponse{Code: 200}, nil
	}
	type row struct {
		user string // X-Act-As; "": none
		path string
		code int
		by   stream.Author
	}
	const publish, recall, read = "/room/1", "/__/cancel?groupName=/room/1&uuid=u", "/__/history?groupName=/room/1"
	authors := make(map[string][]byte)
	for _, tt := range []row{
		{"", publish, http.StatusOK, stream.Author{Name: "shop", Key: true}},
		{"alice", publish, http.StatusOK, stream.Author{Name: "alice"}},
		{"李", publish, http.StatusOK, stream.Author{Name: "李"}},
		{"bob", publish, http.StatusForbidden, stream.Author{}},
		{"*", publish, http.StatusForbidden, stream.Author{}},
		{"alice", "/elsewhere", http.StatusForbidden, stream.Author{}},
		{"", recall, http.StatusOK, stream.Author{Name: "shop", Key: true}},
		{"alice", recall, http.StatusOK, stream.Author{Name: "alice"}},
		{"bob", recall, http.StatusForbidden, stream.Author{}},
		{"alice", "/__/cancel?groupName=/elsewhere&uuid=u", http.StatusForbidden, stream.Author{}},
		{"alice", read, http.StatusOK, stream.Author{}},
		{"bob", read, http.StatusForbidden, stream.Author{}},
	} {
		rig.published, recalled = nil, nil
		headers := []string{"X-API-Key: " + key}
		if tt.user != "" {
			headers = append(headers, "X-Act-As: "+tt.user)
		}
		got := rig.do("POST", tt.path, data, headers...)
		if got.code != tt.code {
			t.Errorf("%s as %q: got %d %s, want %d", tt.path, tt.user, got.code, got.body, tt.code)
		}
		switch {
		case tt.code == http.StatusOK && tt.path == publish:
			p := rig.published[0]
			if p.By != tt.by || p.User != "shop" || p.Client != quota.Key("shop", "") || len(p.Author) != 8 {
				t.Errorf("%s as %q: by %+v, user %q, author %x", tt.path, tt.user, p.By, p.User, p.Author)
			}
			authors[tt.user] = p.Author
		case tt.code == http.StatusOK && tt.path == recall:
			want := &relayv1.RecallRequest{
				Group: "/room/1", Uuid: "u", Author: authors[tt.user], Windowed: true, By: &relayv1.Author{Name: tt.by.Name, Key: tt.by.Key},
			}
			if diff := cmp.Diff(want, recalled, protocmp.Transform()); diff != "" {
				t.Errorf("%s as %q (-want +got):\n%s", tt.path, tt.user, diff)
			}
		case len(rig.published) > 0 || recalled != nil:
			t.Errorf("%s as %q: it was done", tt.path, tt.user)
		}
	}
	rig.published = nil
	lines := `{"group":"/room/1","packet":"a"}` + "\n" + `{"group":"/elsewhere","packet":"b"}`
	got := rig.do("POST", "/__/publish", lines, "X-API-Key: "+key, "X-Act-As: alice", ndjson)
	if len(rig.published) != 1 || rig.published[0].By != (stream.Author{Name: "alice"}) || !strings.Contains(got.body, `"code":403`) {
		t.Errorf("a batch: got %s, published %+v", got.body, rig.published)
	}
	if cmp.Equal(authors[""], authors["alice"]) {
		t.Error("the backend and the user have the same digest")
	}
}
