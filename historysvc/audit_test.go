package historysvc_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/metadata"

	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	adminv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/admin/v1"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// line is what the audit log has of one action.
type line struct {
	Action, Group, UUID, Caller, User, Outcome string
	ActAs                                      string `json:"act_as"`
	TTL                                        int64
}

// auditLines reads the log, and checks what differs from run to run.
func auditLines(t *testing.T, path string) (all []line) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "secret words") {
		t.Errorf("the log has the text of a message: %s", text)
	}
	for l := range strings.Lines(string(text)) {
		var when struct {
			Time time.Time
			Peer string
		}
		var one line
		if err := json.Unmarshal([]byte(l), &when); err != nil || json.Unmarshal([]byte(l), &one) != nil {
			t.Fatalf("line %q: %v", l, err)
		}
		if time.Since(when.Time) > time.Minute || when.Peer == "" {
			t.Errorf("line %q: when, or from where?", l)
		}
		all = append(all, one)
	}
	return all
}

func TestRecallsAndAdministrationAreWrittenDown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	s := startWith(t, settings(t, "-listen", "127.0.0.1:0", "-redis", redistest.Start(t).URL(), "-audit-log", path), nil)
	text := []byte(`{"type":2,"uuid":"u1","body":{"data":"secret words"}}`)
	if _, err := s.history.Publish(t.Context(), &historyv1.PublishRequest{GroupName: room, Packet: text}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.history.GetHistory(t.Context(), &historyv1.GetHistoryRequest{GroupName: room}); err != nil {
		t.Fatal(err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "gotapi-user-bin", "Zoë")
	for range 2 {
		if _, err := s.history.Cancel(ctx, &historyv1.CancelRequest{GroupName: room, Uuid: "u1"}); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = s.history.Cancel(ctx, &historyv1.CancelRequest{GroupName: room, Uuid: "u2"})
	acting := metadata.AppendToOutgoingContext(ctx, "gotapi-act-as-bin", "李")
	_, _ = s.relay.Recall(acting, &relayv1.RecallRequest{Group: room, Uuid: "u1"})
	_, _ = s.history.SetTTL(t.Context(), &historyv1.SetTTLRequest{GroupName: room, Ttl: 60})
	_, _ = s.history.SetTTL(t.Context(), &historyv1.SetTTLRequest{GroupName: room, Ttl: -1})
	_, _ = s.history.ListGroups(t.Context(), &historyv1.ListGroupsRequest{})
	_, _ = s.admin.GetGroup(t.Context(), &adminv1.GetGroupRequest{GroupName: room})
	_, _ = s.admin.ListStoredGroups(t.Context(), &adminv1.ListStoredGroupsRequest{})
	_, _ = s.admin.ListStoredGroups(t.Context(), &adminv1.ListStoredGroupsRequest{Page: "0.0"})
	_, _ = s.admin.Purge(t.Context(), &adminv1.PurgeRequest{GroupName: room})
	_, _ = s.admin.Purge(t.Context(), &adminv1.PurgeRequest{GroupName: "room"})
	want := []line{
		{Action: "recall", Group: room, UUID: "u1", Caller: "system", User: "Zoë", Outcome: "OK"},
		{Action: "recall", Group: room, UUID: "u1", Caller: "system", User: "Zoë", Outcome: "OK"},
		{Action: "recall", Group: room, UUID: "u2", Caller: "system", User: "Zoë", Outcome: "NotFound"},
		{Action: "recall", Group: room, UUID: "u1", Caller: "system", User: "Zoë", ActAs: "李", Outcome: "OK"},
		{Action: "set_ttl", Group: room, TTL: 60, Caller: "system", Outcome: "OK"},
		{Action: "set_ttl", Group: room, TTL: -1, Caller: "system", Outcome: "InvalidArgument"},
		{Action: "list_groups", Caller: "system", Outcome: "OK"},
		{Action: "get_group", Group: room, Caller: "system", Outcome: "OK"},
		{Action: "list_groups", Caller: "system", Outcome: "OK"},
		{Action: "purge", Group: room, Caller: "system", Outcome: "OK"},
		{Action: "purge", Group: "room", Caller: "system", Outcome: "InvalidArgument"},
	}
	if diff := cmp.Diff(want, auditLines(t, path)); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: others may read it", info.Mode(), err)
	}
}
