package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/access/accesstest"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room/roomtest"
	"github.com/gotapi/gotapi-ws/edge/internal/session"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/header"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const v2Path = "/__/v2"

var offersV2 = http.Header{"Sec-Websocket-Protocol": {header.Protocol}}

// v2 is a connection that speaks gotapi.v2.
type v2 struct {
	*client
	// The texts of positions that have come, by what shortV2 makes of them.
	positions map[string]string
}

// dialV2 connects, and reads everything that comes after the hello.
func (e *edge) dialV2() *v2 {
	e.Helper()
	c := e.dialDeafV2()
	c.listen()
	synctest.Wait()
	return c
}

// dialDeafV2 connects, and reads the hello only.
func (e *edge) dialDeafV2() *v2 {
	e.Helper()
	e.header = offersV2
	c := &v2{client: e.dialDeaf(v2Path), positions: make(map[string]string)}
	e.header = nil
	if _, hello, err := c.ReadMessage(); err != nil || !strings.HasPrefix(string(hello), `{"on":"hello"`) {
		e.Fatalf("the first message is %q, %v, want hello", hello, err)
	}
	return c
}

func (c *v2) listen() { c.listenAs(c.short) }

// short is a message as tests name it: "message /a seq=1 pos=1.0 | a", "re 7 200".
func (c *v2) short(op int, message []byte) string {
	head, packet, carries := header.Split(message)
	var all map[string]any
	if err := json.Unmarshal(head, &all); err != nil {
		return fmt.Sprintf("not a header: %s", message)
	}
	var words []string
	if on, ok := all["on"]; ok {
		words = append(words, fmt.Sprint(on))
		if g, ok := all["group"]; ok {
			words = append(words, fmt.Sprint(g))
		}
	} else {
		words = append(words, fmt.Sprint("re ", all["re"]))
	}
	if code, ok := all["code"]; ok {
		words = append(words, fmt.Sprint(code))
	}
	if text, ok := all["pos"].(string); ok {
		c.notePosition(all, text)
	}
	for _, known := range []string{"on", "group", "re", "code", "msg", "at", "retryAfter"} {
		delete(all, known)
	}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		words = append(words, fmt.Sprintf("%s=%v", k, all[k]))
	}
	if carries {
		words = append(words, "|", roomtest.Short(byte(op), packet))
	}
	return strings.Join(words, " ")
}

// notePosition replaces the text of a position by its numbers. The groups of these tests
// are few.
func (c *v2) notePosition(all map[string]any, text string) {
	for _, g := range []group.Name{chat, other, group.Timer} {
		if p, err := stream.ParsePosition(g, text); err == nil && p.Epoch != ^stream.Epoch(0) {
			short := fmt.Sprintf("%d.%d", p.Seq, p.Changes)
			all["pos"] = short
			c.mu.Lock()
			c.positions[string(g)+" "+short] = text
			c.mu.Unlock()
			return
		}
	}
}

// do sends requests. Each is a header, perhaps with a packet: `{...} | uuid` is that data
// packet, and `{...} || text` that text.
func (c *v2) do(requests ...string) {
	c.e.Helper()
	for _, r := range requests {
		if head, text, ok := strings.Cut(r, " || "); ok {
			c.text(head + "\n" + text)
		} else if head, uuid, ok := strings.Cut(r, " | "); ok {
			c.text(head + "\n" + string(roomtest.Data(uuid)))
		} else {
			c.text(r)
		}
	}
}

// forget begins a new list of what has come.
func (c *v2) forget() {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = nil
}

const (
	other = "/other"

	joinChat  = `{"do":"join","id":1,"group":"/room/1"}`
	joinOther = `{"do":"join","id":2,"group":"/other"}`
)

func join(id int, g string, more string) string {
	return fmt.Sprintf(`{"do":"join","id":%d,"group":%q%s}`, id, g, more)
}

func publish(id int, g, uuid string) string {
	return fmt.Sprintf(`{"do":"publish","id":%d,"group":%q} | %s`, id, g, uuid)
}

func TestV2NeedsItsSubprotocol(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		e.wantRefused(v2Path, nil, http.StatusBadRequest)
		e.wantRefused(v2Path, http.Header{"Sec-Websocket-Protocol": {"gotapi.v1"}}, http.StatusBadRequest)
		conn, _, err := e.tryDial(v2Path, http.Header{"Sec-Websocket-Protocol": {"gotapi.v1, gotapi.bearer.x, gotapi.v2"}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if got := conn.Subprotocol(); got != "gotapi.v2" {
			t.Errorf("selected %q", got)
		}
	})
}

func TestV2Hello(t *testing.T) {
	inBubble(t, session.Options{MaxMessage: 1000, MaxGroups: 7}, func(e *edge) {
		e.by = caller(t, `{"join":["/**"]}`, time.Hour)
		e.header = offersV2
		c := e.dialDeaf(v2Path)
		_, b, err := c.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		var hello struct {
			On                                           string
			Features                                     []string
			User                                         string
			Session                                      int
			ExpiresIn, MaxMessage, MaxGroups, Ping, Code int
		}
		if err := json.Unmarshal(b, &hello); err != nil {
			t.Fatal(err)
		}
		if hello.On != "hello" || hello.User != "alice" || hello.Session == 0 || hello.ExpiresIn < 3598 || hello.ExpiresIn > 3601 ||
			hello.MaxMessage != 1000 || hello.MaxGroups != 7 || hello.Ping != 25 || !slices.Equal(hello.Features, []string{"history", "recall"}) {
			t.Errorf("hello is %s", b)
		}
	})
}

func TestV2ManyGroupsOnOneConnection(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one, two, old := e.dialV2(), e.dialV2(), e.dial(chat)
		one.do(joinChat, joinOther)
		one.wantGot("re 1 200 pos=0.0", "live /room/1 pos=0.0", "re 2 200 pos=0.0", "live /other pos=0.0")
		one.forget()
		two.do(joinChat)
		two.forget()
		one.do(publish(3, chat, "a"))
		old.data("b")
		two.do(publish(2, other, "c"), publish(3, chat, "d"))
		one.wantGot("re 3 200 pos=1.0 seq=1", "message /room/1 pos=2.0 seq=2 | b", "message /other pos=1.0 seq=1 | c", "message /room/1 pos=3.0 seq=3 | d")
		two.wantGot("message /room/1 pos=1.0 seq=1 | a", "message /room/1 pos=2.0 seq=2 | b", "re 2 200 seq=1", "re 3 200 pos=3.0 seq=3")
		old.wantGot("a", "ack b", "d")
	})
}

func TestV2PublishWithoutAnIDComesAsAMessage(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one := e.dialV2()
		one.do(joinChat)
		one.forget()
		one.do(`{"do":"publish","group":"/room/1"} | a`)
		one.wantGot("message /room/1 pos=1.0 seq=1 | a")
	})
}

func TestV2PacketsThatAreNotStored(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one, two, old := e.dialV2(), e.dialV2(), e.dial(chat)
		two.do(joinChat)
		two.forget()
		one.do(`{"do":"publish","id":1,"group":"/room/1"} || hello`, `{"do":"publish","id":2,"group":"/room/1"} || `,
			`{"do":"publish","id":3,"group":"/room/1"} || {"type":1,"command":3,"uuid":"x"}`)
		one.send(websocket.BinaryMessage, `{"do":"publish","id":4,"group":"/room/1"}`+"\nbytes")
		one.wantGot("re 1 200", "re 2 200", "re 3 200", "re 4 200")
		two.wantGot("packet /room/1 | hello", "packet /room/1 | ", `packet /room/1 | {"type":1,"command":3,"uuid":"x"}`, "packet /room/1 | binary bytes")
		old.wantGot("hello", "", `{"type":1,"command":3,"uuid":"x"}`, "binary bytes")
	})
}

func TestV2PacketsAreClassifiedAsOverHTTP(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one := e.dialV2()
		for i, packet := range []string{
			`{"type":1,"command":5}`, `{"type":1,"command":2,"uuid":"q"}`, `{"type":1,"command":1,"uuid":"forged"}`, `{"type":2,"uuid":"\u0000"}`,
		} {
			one.do(fmt.Sprintf(`{"do":"publish","id":%d,"group":"/room/1"} || %s`, i, packet))
		}
		one.do(`{"do":"publish","id":4,"group":"/timer"} || x`, `{"do":"publish","id":5,"group":"/"} || x`)
		one.wantGot("re 0 400", "re 1 400", "re 2 400", "re 3 400", "re 4 403", "re 5 403")
	})
}

func TestV2BadRequests(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one := e.dialV2()
		one.do(`{"do":"dance","id":1}`, `{"do":"dance"}`, `hello`, `{"do":"ping","id":2,"id":2}`, "\x7b\x7d",
			`{"do":"join","id":3,"group":"/"}`, `{"do":"join","id":4,"group":"/room/1","from":"x"}`, `{"do":"ping","id":5}`, `{"do":"ping"}`)
		one.wantGot("re 1 400", "error 400", "error 400", "error 400", "error 400", "re 3 400", "re 4 400", "re 5 200")
		one.wantOpen()
	})
}

func TestV2JoinsTwiceAndTooOften(t *testing.T) {
	inBubble(t, session.Options{MaxGroups: 2}, func(e *edge) {
		one := e.dialV2()
		one.do(joinChat, joinOther)
		one.forget()
		one.do(join(3, chat, ""), join(4, "/third", ""), `{"do":"leave","id":5,"group":"/other"}`, join(6, "/timer", ""),
			`{"do":"leave","id":7,"group":"/nowhere"}`)
		one.wantGot("re 3 409", "re 4 429", "re 5 200", "re 6 200 pos=0.0", "re 7 200")
		if n := len(e.rooms.Members()); n != 2 {
			t.Errorf("%d groups have members, want 2", n)
		}
	})
}

func TestV2NothingOfAGroupFollowsTheAnswerToALeave(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one, old := e.dialV2(), e.dial(chat)
		one.do(joinChat)
		one.forget()
		old.data("a")
		one.do(`{"do":"leave","id":2,"group":"/room/1"}`)
		old.data("b")
		one.wantGot("message /room/1 pos=1.0 seq=1 | a", "re 2 200")
		one.forget()
		one.do(join(3, chat, `,"from":"`+one.positions["/room/1 1.0"]+`"`))
		one.wantGot("re 3 200 pos=1.0", "message /room/1 pos=2.0 seq=2 | b", "live /room/1 pos=2.0")
	})
}

func TestV2ADuplicateHasThePlaceOfTheFirst(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one := e.dialV2()
		one.do(joinChat, publish(2, chat, "a"))
		one.forget()
		one.do(publish(3, chat, "a"))
		e.relay.Recall(chat, "a")
		synctest.Wait()
		one.do(publish(4, chat, "a"))
		one.wantGot("re 3 200 duplicate=true seq=1", "recalled /room/1 pos=1.1 seq=1 uuid=a", "re 4 200 duplicate=true recalled=true seq=1")
	})
}

func TestV2Rights(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		e.by = caller(t, `{"join":["/room/*"],"publish":["/other"]}`, time.Hour)
		one := e.dialDeafV2()
		for _, tt := range []struct{ request, want string }{
			{joinOther, `{"re":2,"code":403,"msg":"you may not join this group: the credential lacks the right join"}`},
			{join(3, chat, `,"last":0`), `{"re":3,"code":403,"msg":"you may not read the history of this group: the credential lacks the right read"}`},
			{join(4, chat, `,"from":"AWGgAAAAAAAAAAAAAAAAAAA"`), `{"re":4,"code":403,"msg":"you may not read the history of this group: the credential lacks the right read"}`},
			{publish(5, chat, "a"), `{"re":5,"code":403,"msg":"you may not publish to this group: the credential lacks the right publish"}`},
		} {
			one.do(tt.request)
			if _, got, err := one.ReadMessage(); err != nil || string(got) != tt.want {
				t.Errorf("%s is answered with %s, %v, want %s", tt.request, got, err, tt.want)
			}
		}
	})
}

func TestV2AJoinThatCannotBeServedIs503(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one := e.dialV2()
		e.relay.Break()
		began := time.Now()
		one.do(joinChat, publish(2, chat, "a"))
		one.wantGot()
		time.Sleep(2 * time.Second)
		one.wantGot("re 1 503", "re 2 200 seq=1") // the relay of these tests publishes without a stream
		e.relay.Restore()
		one.do(join(3, chat, ""))
		one.wantGot("re 1 503", "re 2 200 seq=1", "re 3 200 pos=1.0", "live /room/1 pos=1.0")
		if d := time.Since(began); d > 3*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// slow is a Publisher that takes as long as the test wants for the packets of chat.
type slow struct {
	*roomtest.Relay
	gate chan struct{}
}

func (s *slow) Publish(batch ...*relay.Publication) {
	for _, p := range batch {
		if p.Group == chat {
			<-s.gate
		}
		s.Relay.Publish(p)
	}
}

func TestV2AHookDelaysItsOwnGroupOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t, session.Options{})
		p := &slow{e.relay, make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go e.relay.Run(ctx)
		e.serveWith(publisherOnly{p}, session.Options{}, func() {
			one := e.dialV2()
			one.do(publish(1, chat, "a"), joinChat, publish(2, chat, "b"), joinOther, publish(3, other, "c"))
			one.wantGot("re 2 200 pos=0.0", "live /other pos=0.0", "re 3 200 pos=1.0 seq=1")
			one.forget()
			close(p.gate)
			one.wantGot("re 1 200 seq=1", "re 1 200 pos=1.0", "live /room/1 pos=1.0", "re 2 200 pos=2.0 seq=2")
		})
	})
}

// publisherOnly hides that a Publisher is a relay of the test.
type publisherOnly struct{ session.Publisher }

func TestV2TheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t, session.Options{})
		p := new(publisher)
		e.serveWith(p, session.Options{Window: ws.Limits{Frames: 8, Bytes: 1 << 20}, PublishWaits: func(group.Name) bool { return false }}, func() {
			one := e.dialV2()
			for i := range 6 { // one group may have half
				one.do(publish(i, chat, fmt.Sprint(i)))
			}
			one.wantGot("re 4 429", "re 5 429")
			one.forget()
			for i := range 4 {
				one.do(publish(10+i, other, fmt.Sprint(i)))
			}
			if n := p.waiting(); n != 8 {
				t.Fatalf("%d are published, want 8", n)
			}
			// Beyond the total, the server stops reading.
			third := publish(20, "/third", "x")
			go func() { _ = one.WriteMessage(websocket.TextMessage, []byte(strings.Replace(third, " | ", "\n", 1))) }()
			synctest.Wait()
			one.wantGot()
			time.Sleep(5 * time.Minute)
			one.wantOpen()
			p.answer(1)
			synctest.Wait()
			if n := p.waiting(); n != 8 {
				t.Errorf("%d wait, want 8: the next one was read", n)
			}
			p.answer(8)
		})
	})
}

func TestV2TooLargePackets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "groups.yaml")
	if err := os.WriteFile(path, []byte("- match: /other\n  max-message-bytes: 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	groups, err := groupsettings.Open(path, func() int { return 1000 }, "edge", slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	inBubble(t, session.Options{MaxMessage: 1000, Groups: groups}, func(e *edge) {
		one, two := e.dialV2(), e.dialV2()
		one.do(`{"do":"publish","id":1,"group":"/other"} || 12345`, `{"do":"publish","id":2,"group":"/other"} || 123456`,
			`{"do":"publish","id":3,"group":"/room/1","pad":"`+strings.Repeat("x", 4000)+`"} || `+strings.Repeat("y", 1000))
		one.wantGot("re 1 200", "re 2 413", "re 3 200")
		one.do(`{"do":"publish","id":4,"group":"/room/1"} || ` + strings.Repeat("y", 1001))
		one.wantClosed(1009)
		two.text(`{"do":"ping","id":1,"pad":"` + strings.Repeat("x", 4096) + `"}`)
		two.wantGot("error 400")
		two.wantOpen()
	})
}

func TestV2ARecallFollowsThePublishesBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t, session.Options{})
		var mu sync.Mutex
		var recalled []string
		e.history.cancel = func(_ context.Context, r *historyv1.CancelRequest) (*historyv1.CancelResponse, error) {
			mu.Lock()
			defer mu.Unlock()
			recalled = append(recalled, r.GetGroupName()+" "+r.GetUuid())
			if r.GetUuid() == "unknown" {
				return nil, status.Error(codes.NotFound, "no such message")
			}
			return &historyv1.CancelResponse{}, nil
		}
		p := new(publisher)
		e.serveWith(p, session.Options{}, func() {
			one := e.dialV2()
			one.do(publish(1, chat, "a"), `{"do":"recall","id":2,"group":"/room/1","uuid":"a"}`, publish(3, other, "x"), `{"do":"recall","id":4,"group":"/other","uuid":"unknown"}`)
			one.wantGot()
			p.answer(1)
			one.wantGot("re 1 200", "re 2 200")
			p.answer(1)
			one.wantGot("re 1 200", "re 2 200", "re 3 200", "re 4 404")
			mu.Lock()
			defer mu.Unlock()
			if want := []string{"/room/1 a", "/other unknown"}; !slices.Equal(recalled, want) {
				t.Errorf("recalled %q, want %q", recalled, want)
			}
		})
	})
}

func TestV2History(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		e.by = caller(t, `{"join":["/**"],"read":["/**"]}`, time.Hour)
		var asked []string
		e.history.messages = func(ctx context.Context, r *relayv1.MessagesRequest) (*relayv1.MessagesResponse, error) {
			asked = append(asked, fmt.Sprintf("%s %v %d %d for %s", r.GetGroup(), r.GetStart(), r.GetSize(), r.GetMaxBytes(), access.FromContext(ctx).Name()))
			if r.GetGroup() == other {
				return nil, status.Error(codes.PermissionDenied, "no")
			}
			return &relayv1.MessagesResponse{More: true, Events: []*relayv1.Event{
				{Seq: 7, At: 1234, By: &relayv1.Author{Name: "bob"}, Payload: roomtest.Data("a")}, {Seq: 5, Payload: roomtest.Data("b")},
			}}, nil
		}
		one := e.dialDeafV2()
		one.do(`{"do":"history","id":1,"group":"/room/1"}`)
		_, got, err := one.ReadMessage()
		if want := `{"re":1,"code":200,"messages":[{"seq":7,"at":1234,"by":"bob","packet":"{\"type\":2,\"uuid\":\"a\",\"body\":{\"data\":\"hello\"}}"},` +
			`{"seq":5,"packet":"{\"type\":2,\"uuid\":\"b\",\"body\":{\"data\":\"hello\"}}"}],"more":true}`; err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
		one.listen()
		one.do(`{"do":"history","id":2,"group":"/room/1","before":9,"size":3}`, `{"do":"history","id":3,"group":"/room/1","after":0}`, `{"do":"history","id":4,"group":"/other"}`)
		one.do(`{"do":"history","group":"/room/1"}`)
		synctest.Wait()
		one.mu.Lock()
		defer one.mu.Unlock()
		if n := len(one.got); n != 3 || one.got[2] != "re 4 403" {
			t.Errorf("got %q", one.got)
		}
		if want := []string{
			"/room/1 <nil> 50 262144 for alice", "/room/1 &{9} 3 262144 for alice", "/room/1 &{0} 50 262144 for alice", "/other <nil> 50 262144 for alice",
			"/room/1 <nil> 50 262144 for alice",
		}; !slices.Equal(asked, want) {
			t.Errorf("asked %q, want %q", asked, want)
		}
	})
}

func TestV2JoinsWaitForTheirLimit(t *testing.T) {
	limits := limit.New(limit.Settings{ConnectionJoins: 1, ConnectionMessages: 0.5}, nil, prometheus.NewRegistry()) // two, and one
	inBubble(t, session.Options{Limits: limits}, func(e *edge) {
		one := e.dialV2()
		for i := range 4 {
			one.do(join(i, fmt.Sprint("/g/", i), ""))
		}
		one.do(`{"do":"ping","id":9}`, `{"do":"ping","id":10}`)
		answered := func() (n int) {
			one.mu.Lock()
			defer one.mu.Unlock()
			for _, got := range one.got {
				if strings.HasPrefix(got, "re") && strings.Contains(got, "200") {
					n++
				}
			}
			return n
		}
		for i, want := range []int{3, 4, 5} {
			synctest.Wait()
			if n := answered(); n != want {
				t.Errorf("after %d s %d are answered, want %d", i, n, want)
			}
			time.Sleep(time.Second)
		}
		one.mu.Lock()
		defer one.mu.Unlock()
		if !slices.Contains(one.got, "re 9 200") || !slices.Contains(one.got, "re 10 429") {
			t.Errorf("got %q: joins count against their own limit only", one.got)
		}
	})
}

// Neither a join that is refused nor one that cannot be read gets around the limits.
func TestV2JoinsThatAreRefusedCount(t *testing.T) {
	limits := limit.New(limit.Settings{ConnectionJoins: 1, ConnectionMessages: 0.5}, nil, prometheus.NewRegistry()) // two, and one
	inBubble(t, session.Options{Limits: limits}, func(e *edge) {
		one := e.dialV2()
		one.do(`{"do":"join","id":1}`, `{"do":"join","id":2}`)
		for i := range 3 {
			one.do(join(3+i, "/", ""))
		}
		synctest.Wait()
		one.mu.Lock()
		defer one.mu.Unlock()
		var codes []string
		for _, got := range one.got {
			if after, ok := strings.CutPrefix(got, "re"); ok {
				codes = append(codes, strings.TrimSpace(after)[:5])
			}
		}
		if want := []string{"1 400", "2 429", "3 400", "4 400"}; !slices.Equal(codes, want) {
			t.Errorf("got %q of %q, want %q", codes, one.got, want)
		}
	})
}

func TestV2ANewCredential(t *testing.T) {
	var mu sync.Mutex
	credentials := make(map[string]*access.Identity)
	identify := func(_ context.Context, credential string) (*access.Identity, error) {
		mu.Lock()
		defer mu.Unlock()
		if by := credentials[credential]; by != nil {
			return by, nil
		}
		return nil, &access.DeniedError{Status: 401, Msg: "the token is invalid"}
	}
	inBubble(t, session.Options{Identify: identify}, func(e *edge) {
		const grant = `{"join":["/**"],"publish":["/**"],"read":["/**"]}`
		e.by = caller(t, grant, time.Hour)
		credentials["longer"] = caller(t, grant, 3*time.Hour)
		credentials["less"] = caller(t, `{"join":["/other"],"publish":["/**"]}`, 2*time.Hour)
		credentials["bob"] = accesstest.User(t, "bob", grant, 9*time.Hour)
		one := e.dialV2()
		one.do(joinChat, joinOther)
		one.forget()
		one.do(`{"do":"token","id":1,"token":"wrong"}`, `{"do":"token","id":2,"token":"bob"}`)
		one.wantGot("re 1 401", "re 2 403")
		one.forget()
		one.do(`{"do":"token","id":3,"token":"longer"}`)
		time.Sleep(90 * time.Minute)
		one.wantOpen()
		one.do(`{"do":"token","id":4,"token":"less"}`, publish(5, chat, "a"), publish(6, other, "b"), join(7, chat, ""))
		one.mu.Lock()
		got := slices.Clone(one.got)
		one.mu.Unlock()
		if len(got) != 6 || !strings.HasPrefix(got[0], "re 3 200 expiresIn=1") || !strings.HasPrefix(got[2], "re 4 200 expiresIn=") {
			t.Fatalf("got %q", got)
		}
		if want := []string{"left /room/1 403", "re 5 200 seq=1", "re 6 200 pos=1.0 seq=1", "re 7 403"}; !slices.Equal(slices.Delete(slices.Clone(got[1:]), 1, 2), want) {
			t.Errorf("got %q, want %q and the answers to token", got, want)
		}
		time.Sleep(31 * time.Minute)
		one.wantClosed(4401)
		if n := e.relay.Open(); n != 0 {
			t.Errorf("%d groups are open", n)
		}
	})
}

func TestV2DrainingEndsAConnectionAfterItsLastAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t, session.Options{})
		p := new(publisher)
		e.serveWith(p, session.Options{}, func() {
			one := e.dialV2()
			one.do(publish(1, chat, "a"))
			drained := make(chan error)
			go func() { drained <- e.server.Drain(t.Context(), 0) }()
			synctest.Wait()
			one.do(publish(2, chat, "b"))
			one.wantOpen()
			p.answer(1)
			one.wantGot("re 1 200")
			one.wantClosed(1001)
			if err := <-drained; err != nil {
				t.Error(err)
			}
		})
	})
}

func TestV2RequestsThatWaitEndWithTheConnection(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one := e.dialV2()
		e.relay.Break()
		for i := range 50 {
			one.do(join(i, fmt.Sprint("/g/", i), ""), publish(100+i, fmt.Sprint("/g/", i), "a"))
		}
		_ = one.Close()
		synctest.Wait()
		e.relay.Restore()
		synctest.Wait()
		if n := len(e.rooms.Members()); n != 0 {
			t.Errorf("%d groups have members, want none", n)
		}
		if n := e.relay.Open(); n != 0 {
			t.Errorf("%d groups are open, want none", n)
		}
	})
}

func TestV2TheClock(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one := e.dialV2()
		one.do(join(1, "/timer", `,"last":5`))
		one.forget()
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		one.mu.Lock()
		defer one.mu.Unlock()
		if len(one.got) == 0 || !strings.HasPrefix(one.got[0], "packet /timer | 9466") {
			t.Errorf("got %q", one.got)
		}
	})
}

func TestV2APeerThatReadsNoAnswersIsNotHeard(t *testing.T) {
	inBubble(t, session.Options{Queue: ws.Limits{Frames: 16, Bytes: 64 << 10}}, func(e *edge) {
		one := e.dialDeafV2()
		sent := make(chan int, 1)
		go func() {
			n := 0
			for ; n < 1000; n++ {
				if one.WriteMessage(websocket.TextMessage, []byte(`{"do":"ping","id":1}`)) != nil {
					break
				}
			}
			sent <- n
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		select {
		case n := <-sent:
			t.Errorf("%d requests were read, though no answer was", n)
		default:
		}
		_ = one.Close()
		<-sent
	})
}

func TestV2OperatorsSeeItsMembers(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		e.by = caller(t, `{"join":["/**"]}`, time.Hour)
		one, two := e.dialV2(), e.dialV2()
		one.do(joinChat, joinOther)
		two.do(joinChat)
		for g, want := range map[string]int{chat: 2, other: 1, "/nobody": 0} {
			w := httptest.NewRecorder()
			e.server.Who(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/members?groupName="+g, nil))
			var who struct {
				Total   int
				Members []struct{ User string }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &who); err != nil {
				t.Fatal(err)
			}
			if who.Total != want || len(who.Members) != want || want > 0 && who.Members[0].User != "alice" {
				t.Errorf("%s: %s, want %d members", g, w.Body, want)
			}
		}
		if got := e.rooms.Members(); got[chat] != 2 || got[other] != 1 || len(got) != 2 {
			t.Errorf("the groups have %v", got)
		}
	})
}

// FuzzV2Session sends a connection whatever comes: it answers each id once, and nothing
// else ends it.
func FuzzV2Session(f *testing.F) {
	f.Add("{\"do\":\"join\",\"id\":1,\"group\":\"/room/1\"}\x00{\"do\":\"publish\",\"id\":2,\"group\":\"/room/1\"}\n{\"type\":2,\"uuid\":\"a\"}\x00{\"do\":\"leave\",\"id\":3,\"group\":\"/room/1\"}")
	f.Add("{\"do\":\"publish\",\"group\":\"/other\"}\n\x00{\"do\":\"recall\",\"id\":1,\"group\":\"/other\",\"uuid\":\"a\"}\x00{\"do\":\"token\",\"id\":4,\"token\":\"x\"}\x00x\x00")
	f.Add("{\"do\":\"join\",\"id\":1,\"group\":\"/a\",\"last\":3}\x00{\"do\":\"history\",\"id\":2,\"group\":\"/a\"}\x00{\"do\":\"join\",\"id\":3,\"group\":\"/a\"}\x00{\"do\":\"ping\",\"id\":9}")
	f.Fuzz(func(t *testing.T, input string) {
		messages := strings.SplitN(input, "\x00", 40)
		inBubble(t, session.Options{MaxGroups: 3}, func(e *edge) {
			e.history.cancel = func(context.Context, *historyv1.CancelRequest) (*historyv1.CancelResponse, error) {
				return nil, status.Error(codes.NotFound, "no such message")
			}
			e.history.messages = func(context.Context, *relayv1.MessagesRequest) (*relayv1.MessagesResponse, error) {
				return nil, status.Error(codes.NotFound, "no such message")
			}
			one := e.dialV2()
			want := make(map[uint64]int)
			for _, m := range messages {
				r, _ := header.ParseRequest([]byte(m))
				if r.ID.Set {
					want[r.ID.Value]++
				}
				one.send(websocket.BinaryMessage, m)
			}
			time.Sleep(30 * time.Second)
			one.wantOpen()
			one.mu.Lock()
			defer one.mu.Unlock()
			got := make(map[uint64]int)
			for _, line := range one.got {
				var id uint64
				if n, _ := fmt.Sscanf(line, "re %v ", &id); n == 1 {
					got[id]++
				} else if strings.HasPrefix(line, "re ") {
					t.Skip("an id that fmt prints with an exponent")
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("%q: answers by id are %v, want %v: %q", messages, got, want, one.got)
			}
		})
	})
}
