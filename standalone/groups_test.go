package standalone_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/standalone"
)

const groupsOfTest = `
- match: /cursor/**
  store: false
- match: /small/*
  cap: 2
  max-message-bytes: 100
  recall-window: 1h
- match: /slow
  limit-messages: 0.5
- match: /rare
  limit-messages: 0.01
- match: /quiet
  hooks: none
`

// groupsFile writes a file of settings, which write replaces.
func groupsFile(t *testing.T) (path string, write func(content string)) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "groups.yaml")
	write = func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(groupsOfTest)
	return path, write
}

func TestSettingsOfGroupsHoldOverEveryWay(t *testing.T) {
	t.Parallel()
	path, _ := groupsFile(t)
	m := startModerator(t)
	s := startHooked(t, m, "-groups-file", path)
	all := token(t, "bob", `{"join":["/**"],"publish":["/**"],"read":["/**"],"recall":"own"}`, time.Hour)
	large := fmt.Sprintf(`{"type":2,"uuid":"large","body":{"data":%q}}`, strings.Repeat("x", 100))
	w := overHTTP{s}

	// A packet of a group that stores nothing is acked, comes to others, and is nowhere.
	reader, _ := overWebSocket{s}.dial(t, all, "/cursor/1")
	for range 2 {
		code, _, answer := w.do(t, http.MethodPost, "/cursor/1", all, packetOf("u"))
		if want := `{"code":200,"group":"/cursor/1","stored":false,"uuid":"u","duplicate":false}`; code != http.StatusOK || answer != want {
			t.Errorf("over HTTP: %d %s, want %s", code, answer, want)
		}
	}
	if got := (overWebSocket{s}).ask(t, all, "/cursor/1", packetOf("v")); got != http.StatusOK {
		t.Errorf("over a WebSocket: %d, want an ack", got)
	}
	r, err := historyv1.NewHistoryServiceClient(s.conn).Publish(presenting(t, all), &historyv1.PublishRequest{GroupName: "/cursor/1", Packet: []byte(packetOf("w"))})
	if err != nil || r.GetStored() || r.GetUuid() != "w" || r.GetDuplicate() {
		t.Errorf("over gRPC: %v, %v", r, err)
	}
	for _, want := range []string{"u", "u", "v", "w"} {
		kind, got, err := reader.ReadMessage()
		if err != nil || kind != websocket.TextMessage || string(got) != packetOf(want) {
			t.Errorf("a member gets %s (%v), want %s", got, err, packetOf(want))
		}
	}
	if _, _, page := w.do(t, http.MethodGet, "/__/history?groupName=/cursor/1", all, ""); !strings.Contains(page, `"data":[]`) {
		t.Errorf("the page: %s", page)
	}
	if code := w.recall(t, all, "/cursor/1", "u"); code != http.StatusNotFound {
		t.Errorf("recall: %d, want 404", code)
	}

	// Hooks: the one before refuses the word elsewhere, and the one after gets packets elsewhere.
	for group, want := range map[string]int{"/quiet": http.StatusOK, "/loud": http.StatusForbidden} {
		if got := w.publish(t, all, group, said("a", "forbidden")); got != want {
			t.Errorf("%s over HTTP: %d, want %d", group, got, want)
		}
		_, err := historyv1.NewHistoryServiceClient(s.conn).Publish(presenting(t, all), &historyv1.PublishRequest{GroupName: group, Packet: []byte(said("b", "forbidden"))})
		if (err == nil) != (want == http.StatusOK) {
			t.Errorf("%s over gRPC: %v, want %d", group, err, want)
		}
	}
	for _, told := range m.tellings(t, 4) { // those of /cursor/1
		if told.Group == "/quiet" {
			t.Errorf("the hook after publishing got %+v", told)
		}
	}

	// Sizes.
	if got := w.publish(t, all, "/small/1", large); got != http.StatusRequestEntityTooLarge {
		t.Errorf("too large over HTTP: %d", got)
	}
	if got := (overWebSocket{s}).ask(t, all, "/small/1", large); got != http.StatusRequestEntityTooLarge {
		t.Errorf("too large over a WebSocket: %d", got)
	}
	_, err = historyv1.NewHistoryServiceClient(s.conn).Publish(presenting(t, all), &historyv1.PublishRequest{GroupName: "/small/1", Packet: []byte(large)})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("too large over gRPC: %v", err)
	}
	for _, uuid := range []string{"1", "2", "3"} {
		if got := w.publish(t, all, "/small/1", packetOf(uuid)); got != http.StatusOK {
			t.Errorf("publish: %d", got)
		}
	}
	if _, _, page := w.do(t, http.MethodGet, "/__/history?groupName=/small/1", all, ""); strings.Count(page, "hello") != 2 {
		t.Errorf("the page of a group that keeps two: %s", page)
	}
	if got := w.recall(t, all, "/small/1", "3"); got != http.StatusOK {
		t.Errorf("recall within the group's window: %d", got)
	}

	// Rates: one at once, here and there.
	if got := w.publish(t, all, "/slow", packetOf("1")); got != http.StatusOK {
		t.Errorf("the first: %d", got)
	}
	if got := w.publish(t, all, "/slow", packetOf("2")); got != http.StatusTooManyRequests {
		t.Errorf("too fast over HTTP: %d", got)
	}
	for _, want := range []codes.Code{codes.OK, codes.ResourceExhausted} {
		_, err = historyv1.NewHistoryServiceClient(s.conn).Publish(presenting(t, all), &historyv1.PublishRequest{GroupName: "/slow", Packet: []byte(packetOf("3"))})
		if status.Code(err) != want {
			t.Errorf("over gRPC: %v, want %v", err, want)
		}
	}

	// In a batch, what follows a packet that came too fast must not overtake it.
	batch := &historyv1.PublishBatchRequest{}
	for i, group := range []string{"/rare", "/rare", "/loud", "/rare"} {
		batch.Publishes = append(batch.Publishes, &historyv1.PublishRequest{GroupName: group, Packet: []byte(packetOf(fmt.Sprint(i)))})
	}
	response, err := historyv1.NewHistoryServiceClient(s.conn).PublishBatch(presenting(t, all), batch)
	if err != nil {
		t.Fatal(err)
	}
	var codesOf []int32
	for _, r := range response.GetResults() {
		codesOf = append(codesOf, r.GetCode())
	}
	if want := []int32{http.StatusOK, http.StatusTooManyRequests, http.StatusOK, http.StatusServiceUnavailable}; !slices.Equal(codesOf, want) {
		t.Errorf("a batch over gRPC: %v, want %v", codesOf, want)
	}
}

// The file is read every five seconds.
func TestSettingsOfGroupsChangeWhileTheServerRuns(t *testing.T) {
	t.Parallel()
	path, write := groupsFile(t)
	s := start(t, "-groups-file", path, "-admin-secret", adminSecret)
	w := overHTTP{&checked{http: s.http}}
	until := func(what, target, want string) {
		t.Helper()
		deadline := time.Now().Add(30 * time.Second)
		for {
			_, _, got := w.do(t, http.MethodGet, target, adminSecret, "")
			if strings.Contains(got, want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s, want %s", what, got, want)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	publish := func(want string) {
		t.Helper()
		if _, _, answer := w.do(t, http.MethodPost, "/cursor/1", "", packetOf("u")); !strings.Contains(answer, want) {
			t.Errorf("%s, want %s", answer, want)
		}
	}
	until("at start", "/__/config?groupName=/cursor/1", `"entry":1,"match":"/cursor/**","settings":[{"name":"store","value":"false","from":"file"}`)
	publish(`"stored":false`)

	write("- match: /cursor/**\n  store: perhaps\n")
	until("a broken file", "/__/status", `entry 1 (line 1): store: \"perhaps\" is not true or false`)
	until("a broken file", "/__/status", `"name":"GotapiSettingsRefused"`)
	publish(`"stored":false`)

	write("- match: /cursor/**\n  store: true\n")
	until("a new file", "/__/config?groupName=/cursor/1", `{"name":"store","value":"true","from":"file"}`)
	publish(`"stored":true`)
	until("the alarm", "/__/status", `"alarms":[]`)
}

func TestABrokenFileOfSettingsIsRefusedAtStart(t *testing.T) {
	path, write := groupsFile(t)
	write("- match: /a\n  presence: counts\n")
	var cfg standalone.Config
	parse(t, &cfg, "-groups-file", path)
	if err := cfg.CheckFiles(); err == nil || !strings.Contains(err.Error(), "-groups-file: "+path+": entry 1 (line 1): presence: no such setting") {
		t.Errorf("%v", err)
	}
}
