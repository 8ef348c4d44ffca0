package standalone_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// moderator is an application's webhook: it decides by words in the packet.
type moderator struct {
	url string

	mu    sync.Mutex
	asked []hookPacket
	told  []hookPacket
}

type hookPacket struct {
	Group, User, Source, Kind, UUID, Packet string
}

func startModerator(t *testing.T) *moderator {
	t.Helper()
	m := new(moderator)
	stop := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.serve(w, r, stop) }))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(stop) })
	m.url = s.URL
	return m
}

func (m *moderator) serve(w http.ResponseWriter, r *http.Request, stop <-chan struct{}) {
	var e struct {
		Type string
		Data json.RawMessage
	}
	_ = json.NewDecoder(r.Body).Decode(&e)
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.Type == "after_publish" {
		var batch []hookPacket
		_ = json.Unmarshal(e.Data, &batch)
		m.told = append(m.told, batch...)
		return
	}
	var p hookPacket
	_ = json.Unmarshal(e.Data, &p)
	m.asked = append(m.asked, p)
	m.mu.Unlock()
	defer m.mu.Lock()
	switch {
	case strings.Contains(p.Packet, "forbidden"):
		_, _ = io.WriteString(w, `{"action":"deny","reason":"that word is not allowed"}`)
	case strings.Contains(p.Packet, "rude"):
		_ = json.NewEncoder(w).Encode(map[string]string{"action": "rewrite", "packet": strings.ReplaceAll(p.Packet, `"data":"rude"`, `"data":"****"`)})
	case strings.Contains(p.Packet, "forge"):
		_, _ = io.WriteString(w, `{"action":"rewrite","packet":"{\"type\":1,\"command\":6,\"uuid\":\"a\"}"}`)
	case strings.Contains(p.Packet, "hang"):
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	case strings.Contains(p.Packet, "fail"):
		w.WriteHeader(http.StatusInternalServerError)
	case strings.Contains(p.Packet, "jitter"):
		time.Sleep(rand.N(5 * time.Millisecond))
	}
}

// tellings waits until the hook got n packets.
func (m *moderator) tellings(t *testing.T, n int) []hookPacket {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		m.mu.Lock()
		told := append([]hookPacket(nil), m.told...)
		m.mu.Unlock()
		if len(told) >= n {
			return told
		}
		if time.Now().After(deadline) {
			t.Fatalf("told of %d packets, want %d", len(told), n)
		}
	}
}

func startHooked(t *testing.T, m *moderator, args ...string) *checked {
	t.Helper()
	args = append([]string{"-hook-before-url", m.url, "-hook-after-url", m.url, "-hook-timeout", "300ms"}, args...)
	s := start(t, args...)
	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &checked{http: s.http, grpc: s.grpc, conn: conn}
}

func said(uuid, word string) string {
	return fmt.Sprintf(`{"type":2,"uuid":%q,"body":{"data":%q}}`, uuid, word)
}

func TestHookAllowsDeniesAndRewritesWhateverTheWay(t *testing.T) {
	t.Parallel()
	m := startModerator(t)
	s := startHooked(t, m)
	grpcCode := func(group, packet string) int {
		_, err := historyv1.NewHistoryServiceClient(s.conn).Publish(t.Context(), &historyv1.PublishRequest{GroupName: group, Packet: []byte(packet)})
		switch status.Code(err) {
		case codes.OK:
			return 200
		case codes.PermissionDenied:
			return 403
		case codes.Unavailable:
			return 503
		}
		t.Errorf("unexpected: %v", err)
		return 0
	}
	ways := map[string]func(group, packet string) int{
		"http":      func(group, packet string) int { return overHTTP{s}.publish(t, "", group, packet) },
		"websocket": func(group, packet string) int { return overWebSocket{s}.publish(t, "", group, packet) },
		"grpc":      grpcCode,
	}
	want := map[string]int{"fine": 200, "rude": 200, "forbidden": 403, "forge": 403, "hang": 503, "fail": 503}
	for way, publish := range ways {
		group := "/" + way
		for word, code := range want {
			if got := publish(group, said(word, word)); got != code {
				t.Errorf("%s: %q: %d, want %d", way, word, got, code)
			}
		}
		_, _, page := overHTTP{s}.do(t, http.MethodGet, "/__/history?groupName="+group, "", "")
		for word, stored := range map[string]bool{"fine": true, "****": true, "forbidden": false, "forge": false, "hang": false, "fail": false} {
			if strings.Contains(page, `\"data\":\"`+word) != stored {
				t.Errorf("%s: %q in the history: %v, want %v\n%s", way, word, !stored, stored, page)
			}
		}
	}
	for _, p := range m.tellings(t, 2*len(ways)) {
		if p.Group != "/"+p.Source || p.Kind != "data" || p.UUID != "fine" && p.UUID != "rude" || strings.Contains(p.Packet, "rude\"}") {
			t.Errorf("told of %+v", p)
		}
	}
}

func TestHookAllowsWhenItDoesNotAnswerIfToldTo(t *testing.T) {
	t.Parallel()
	s := startHooked(t, startModerator(t), "-hook-on-failure", "allow")
	for _, word := range []string{"hang", "fail"} {
		if got := (overHTTP{s}).publish(t, "", "/a", said(word, word)); got != http.StatusOK {
			t.Errorf("%q: %d, want 200", word, got)
		}
	}
}

func TestDeniedBroadcastIsAnswered(t *testing.T) {
	t.Parallel()
	s := startHooked(t, startModerator(t))
	conn, _ := overWebSocket{s}.dial(t, "", "/a")
	if err := conn.WriteMessage(websocket.TextMessage, []byte("forbidden")); err != nil {
		t.Fatal(err)
	}
	const want = `{"type":1,"command":7,"uuid":"","body":{"data":{"code":403,"msg":"that word is not allowed"}}}`
	if _, got, err := conn.ReadMessage(); err != nil || string(got) != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
}

func TestMessagesOfOneSenderStayInOrderThroughTheHook(t *testing.T) {
	t.Parallel()
	m := startModerator(t)
	s := startHooked(t, m, "-hook-timeout", "5s")
	const senders, messages = 5, 40
	var sending sync.WaitGroup
	for sender := range senders {
		conn, _ := overWebSocket{s}.dial(t, "", "/order")
		sending.Go(func() {
			for i := range messages {
				if err := conn.WriteMessage(websocket.TextMessage, []byte(said(fmt.Sprintf("%d-%d", sender, i), "jitter"))); err != nil {
					t.Error(err)
				}
			}
			for acks := 0; acks < messages; {
				_, b, err := conn.ReadMessage()
				if err != nil {
					t.Error(err)
					return
				}
				if strings.HasPrefix(string(b), `{"type":1,"command":1,`) {
					acks++
				}
			}
		})
	}
	sending.Wait()
	page, err := historyv1.NewHistoryServiceClient(s.conn).GetHistory(t.Context(), &historyv1.GetHistoryRequest{GroupName: "/order", Position: -1000})
	if err != nil {
		t.Fatal(err)
	}
	next := make([]int, senders)
	for i := len(page.GetData()) - 1; i >= 0; i-- { // oldest first
		var p struct{ UUID string }
		var sender, number int
		if err := json.Unmarshal([]byte(page.GetData()[i]), &p); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscanf(p.UUID, "%d-%d", &sender, &number); err != nil {
			t.Fatal(err)
		}
		if number != next[sender] {
			t.Fatalf("message %d of sender %d comes when %d is due", number, sender, next[sender])
		}
		next[sender]++
	}
	if len(page.GetData()) != senders*messages {
		t.Errorf("%d messages are stored, want %d", len(page.GetData()), senders*messages)
	}
	m.tellings(t, senders*messages)
}
