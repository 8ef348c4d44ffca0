package conformance

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// The tests of this file are named after the sections of gotapi.v2.

// v2 is a connection that speaks gotapi.v2.
type v2 struct {
	*client.Member
	t      *testing.T
	lastID int
	// Events that came while an answer was awaited.
	events []v2Message
}

// v2Message is a message of the server: an answer (Re) or an event (On).
type v2Message struct {
	Re                    *int
	On, Group             string
	Code                  int
	Msg                   string
	RetryAfter            int
	Seq                   uint64
	At                    int64
	By, Key               string
	UUID, Pos             string
	Gap                   bool
	Duplicate, Recalled   bool
	More                  bool
	Messages              []v2Message
	Packet                string
	Carries, Binary       bool
	ExpiresIn             int
	Features              []string
	MaxMessage, MaxGroups int
}

// offering offers subprotocols.
func offering(protocols ...string) client.Option {
	return func(d *websocket.Dialer, _ http.Header) { d.Subprotocols = protocols }
}

func connectV2(t *testing.T, addr string, more ...string) *v2 {
	t.Helper()
	c := &v2{Member: client.Join(t, addr, "/__/v2", offering(append(more, "gotapi.v2")...)), t: t}
	if hello := c.next(); hello.On != "hello" {
		t.Fatalf("the first message is %+v, want hello", hello)
	}
	return c
}

// next returns the next message.
func (c *v2) next() v2Message {
	c.t.Helper()
	raw := c.Next()
	head, packet, carries := strings.Cut(raw.Data, "\n")
	m := v2Message{}
	if err := json.Unmarshal([]byte(head), &m); err != nil {
		c.t.Fatalf("header %q: %v", head, err)
	}
	m.Packet, m.Carries, m.Binary = packet, carries, raw.Binary
	return m
}

// event returns the next event.
func (c *v2) event() v2Message {
	c.t.Helper()
	if len(c.events) > 0 {
		first := c.events[0]
		c.events = c.events[1:]
		return first
	}
	m := c.next()
	if m.On == "" {
		c.t.Fatalf("got answer %+v, want an event", m)
	}
	return m
}

// want takes the next event and checks its kind and group.
func (c *v2) want(on, group string) v2Message {
	c.t.Helper()
	e := c.event()
	if e.On != on || e.Group != group {
		c.t.Fatalf("got %+v, want %s of %s", e, on, group)
	}
	return e
}

// wantMessage takes the next event, which is a message.
func (c *v2) wantMessage(group, packet string) v2Message {
	c.t.Helper()
	e := c.want("message", group)
	if e.Packet != packet || !e.Carries || e.Seq == 0 || e.Pos == "" || e.At == 0 {
		c.t.Fatalf("got %+v, want the message %s with seq, at and pos", e, packet)
	}
	return e
}

// fields are those of a request.
type fields map[string]any

// send sends a request; packet is at most one.
func (c *v2) send(f fields, packet ...string) {
	c.t.Helper()
	head, err := json.Marshal(f)
	if err != nil {
		c.t.Fatal(err)
	}
	c.Text(strings.Join(append([]string{string(head)}, packet...), "\n"))
}

// ask sends a request with an id and returns the id.
func (c *v2) ask(f fields, packet ...string) int {
	c.t.Helper()
	c.lastID++
	f["id"] = c.lastID
	c.send(f, packet...)
	return c.lastID
}

// answer waits for the answer to a request. Events on the way are kept.
func (c *v2) answer(id int) v2Message {
	c.t.Helper()
	for {
		m := c.next()
		if m.Re == nil {
			c.events = append(c.events, m)
			continue
		}
		if *m.Re != id {
			c.t.Fatalf("got the answer %+v, want that to %d", m, id)
		}
		return m
	}
}

// do sends a request and returns its answer, which has that code.
func (c *v2) do(code int, f fields, packet ...string) v2Message {
	c.t.Helper()
	m := c.answer(c.ask(f, packet...))
	if m.Code != code || code != 200 && m.Msg == "" {
		c.t.Fatalf("%v is answered with %+v, want %d", f, m, code)
	}
	return m
}

// join joins a group and takes the event live, unless stored events come before.
func (c *v2) join(group string) (pos string) {
	c.t.Helper()
	pos = c.do(200, fields{"do": "join", "group": group}).Pos
	if live := c.want("live", group); live.Pos != pos {
		c.t.Fatalf("joined at %s, live at %s", pos, live.Pos)
	}
	return pos
}

func TestV2_3_TheConnectionNeedsItsSubprotocol(t *testing.T) {
	t.Parallel()
	for _, protocols := range [][]string{nil, {"gotapi.v1"}, {"gotapi.bearer.x"}} {
		if m, resp, err := client.TryJoin(t, here(), "/__/v2", offering(protocols...)); err == nil {
			m.Leave()
			t.Errorf("offering %q is accepted", protocols)
		} else if resp == nil || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("offering %q: %v, %v, want 400", protocols, resp, err)
		}
	}
	if a := client.Do(t, http.MethodGet, here(), "/__/v2", ""); a.Code != http.StatusUpgradeRequired {
		t.Errorf("without an upgrade: %d, want 426", a.Code)
	}
}

func TestV2_3_1_HeadersThatCannotBeReadAre400(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(filepath.Join(testbed.Root(), "testdata", "v2.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Requests []struct {
			bytesVector
			Error bool
			ID    *int
		}
	}
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	c, bad := connectV2(t, here()), 0
	for _, v := range vectors.Requests {
		if !v.Error {
			continue
		}
		bad++
		data := v.bytes(t)
		c.Send(client.Message{Binary: !utf8.ValidString(data), Data: data})
		switch m := c.next(); {
		case m.Code != 400 || m.Msg == "":
			t.Errorf("%s: %+v, want 400", v.Name, m)
		case v.ID == nil && m.On != "error":
			t.Errorf("%s: %+v, want an error event", v.Name, m)
		case v.ID != nil && (m.Re == nil || *m.Re != *v.ID):
			t.Errorf("%s: %+v, want an answer to %d", v.Name, m, *v.ID)
		}
	}
	if bad < 30 {
		t.Errorf("only %d vectors", bad)
	}
	c.do(200, fields{"do": "ping"})
}

func TestV2_3_1_TheFirstLineFeedEndsTheHeader(t *testing.T) {
	t.Parallel()
	g := client.Group()
	one, two := connectV2(t, here()), connectV2(t, there())
	two.join(g)
	for _, packet := range []string{"", "\n", "a\nb\n", `{"type":2,` + "\n" + `"uuid":"x"}`} {
		one.do(200, fields{"do": "publish", "group": g}, packet)
		if e := two.event(); e.Packet != packet || !e.Carries || e.Binary {
			t.Errorf("got %+v, want the packet %q", e, packet)
		}
	}
	one.Send(client.Message{Binary: true, Data: fmt.Sprintf(`{"do":"publish","group":%q}`, g) + "\n\x00\n\xff"})
	if e := two.want("packet", g); e.Packet != "\x00\n\xff" || !e.Binary {
		t.Errorf("got %+v, want the binary packet", e)
	}
}

func TestV2_3_1_TooLargePacketsCloseWith1009(t *testing.T) {
	t.Parallel()
	g := client.Group()
	one, two := connectV2(t, here()), connectV2(t, there())
	two.join(g)
	one.do(200, fields{"do": "publish", "group": g, "pad": strings.Repeat("x", 3000)}, strings.Repeat("y", target.limit))
	one.send(fields{"do": "publish", "group": g}, strings.Repeat("y", target.limit+1))
	one.WantClose(1009)
	two.want("packet", g)
	three := connectV2(t, here())
	three.do(200, fields{"do": "publish", "group": g}, "after")
	if e := two.want("packet", g); e.Packet != "after" {
		t.Errorf("got %.99q, want nothing of the large packet", e.Packet)
	}
}

func TestV2_3_2_PublishIsAnsweredAndSeenByBothProtocols(t *testing.T) {
	t.Parallel()
	g := client.Group()
	old := client.Join(t, here(), client.EscapePath(g))
	one, two := connectV2(t, here()), connectV2(t, there())
	two.join(g)
	uuid := client.UUID()
	packet := client.Data(uuid, "hello")
	stored := one.do(200, fields{"do": "publish", "group": g}, packet)
	if stored.Seq != 1 || stored.At == 0 || stored.Pos != "" || stored.Duplicate {
		t.Errorf("the answer is %+v, want seq 1 and at, without pos", stored)
	}
	if e := two.wantMessage(g, packet); e.Seq != 1 || e.At != stored.At {
		t.Errorf("the message is %+v, the answer %+v", e, stored)
	}
	old.Want(packet)
	if again := one.do(200, fields{"do": "publish", "group": g}, packet); again.Seq != 1 || again.At != stored.At || !again.Duplicate || again.Recalled {
		t.Errorf("the duplicate's answer is %+v, want %+v", again, stored)
	}
	one.do(200, fields{"do": "recall", "group": g, "uuid": uuid})
	if e := two.want("recalled", g); e.Seq != 1 || e.UUID != uuid || e.At == 0 || e.Pos == "" {
		t.Errorf("the recall is %+v", e)
	}
	old.Want(client.Recall(uuid))
	one.do(404, fields{"do": "recall", "group": g, "uuid": client.UUID()})
	if again := one.do(200, fields{"do": "publish", "group": g}, packet); !again.Duplicate || !again.Recalled {
		t.Errorf("the recalled duplicate's answer is %+v", again)
	}
	for _, bad := range []string{client.Pong(uuid), client.Recall(uuid), `{"type":1,"command":2,"uuid":"q"}`, `{"type":2,"uuid":"\u0000"}`} {
		one.do(400, fields{"do": "publish", "group": g}, bad)
	}
	one.do(403, fields{"do": "publish", "group": "/timer"}, "x")
	one.do(403, fields{"do": "publish", "group": "/"}, "x")
}

func TestV2_3_2_HistoryByNumber(t *testing.T) {
	t.Parallel()
	g := client.Group()
	one := connectV2(t, here())
	var packets, uuids []string
	for i := range 7 {
		uuids = append(uuids, client.UUID())
		packets = append(packets, client.Data(uuids[i], fmt.Sprint(i)))
		one.do(200, fields{"do": "publish", "group": g}, packets[i])
	}
	one.do(200, fields{"do": "recall", "group": g, "uuid": uuids[2]})
	for _, tt := range []struct {
		more fields
		want []uint64
		left bool
	}{
		{fields{}, []uint64{7, 6, 5, 4, 2, 1}, false},
		{fields{"size": 2}, []uint64{7, 6}, true},
		{fields{"before": 4, "size": 1}, []uint64{2}, true},
		{fields{"before": 4}, []uint64{2, 1}, false},
		{fields{"after": 0, "size": 3}, []uint64{1, 2, 4}, true},
		{fields{"after": 5}, []uint64{6, 7}, false},
		{fields{"after": 99}, nil, false},
		{fields{"before": 1}, nil, false},
	} {
		f := fields{"do": "history", "group": g}
		for k, v := range tt.more {
			f[k] = v
		}
		page := one.do(200, f)
		var got []uint64
		for _, m := range page.Messages {
			got = append(got, m.Seq)
			if m.Packet != packets[m.Seq-1] || m.At == 0 {
				t.Errorf("%v: message %+v", tt.more, m)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || page.More != tt.left {
			t.Errorf("%v: more %t, numbers (-want +got)\n%s", tt.more, page.More, diff)
		}
	}
	for range 12 {
		one.do(200, fields{"do": "publish", "group": g}, client.Data(client.UUID(), strings.Repeat("x", 30_000)))
	}
	if page := one.do(200, fields{"do": "history", "group": g}); len(page.Messages) != 8 || !page.More {
		t.Errorf("a page has %d messages of 30 kB, more %t, want 256 KiB", len(page.Messages), page.More)
	}
}

func TestV2_3_2_RequestsWithoutAnIDHaveNoAnswer(t *testing.T) {
	t.Parallel()
	g := client.Group()
	one := connectV2(t, here())
	one.send(fields{"do": "ping"})
	one.send(fields{"do": "join", "group": g})
	one.want("live", g)
	packet := client.Data(client.UUID(), "x")
	one.send(fields{"do": "publish", "group": g}, packet)
	one.wantMessage(g, packet) // nothing takes its place
	one.send(fields{"do": "leave", "group": g})
	one.send(fields{"do": "history", "group": g})
	one.do(200, fields{"do": "ping"})
	if len(one.events) > 0 {
		t.Errorf("got %+v", one.events)
	}
}

func TestV2_3_3_Hello(t *testing.T) {
	t.Parallel()
	c := &v2{Member: client.Join(t, here(), "/__/v2", offering("gotapi.v2")), t: t}
	hello := c.next()
	if hello.On != "hello" || hello.Features == nil || hello.MaxMessage != target.limit || hello.MaxGroups < 1 {
		t.Errorf("hello is %+v", hello)
	}
}

func TestV2_3_4_AnAnswerTakesTheMessagesPlace(t *testing.T) {
	t.Parallel()
	g := client.Group()
	one, two := connectV2(t, here()), connectV2(t, there())
	// A publish may follow its join at once.
	joined := one.ask(fields{"do": "join", "group": g})
	mine := one.ask(fields{"do": "publish", "group": g}, client.Data(client.UUID(), "mine"))
	one.answer(joined)
	first := one.answer(mine)
	if first.Seq != 1 || first.Pos == "" {
		t.Errorf("the answer is %+v, want a member's", first)
	}
	one.want("live", g)
	for i := range 20 {
		theirs := client.Data(client.UUID(), fmt.Sprint("theirs ", i))
		two.do(200, fields{"do": "publish", "group": g}, theirs)
		if e := one.wantMessage(g, theirs); e.Seq != uint64(2*i+2) {
			t.Fatalf("got %+v", e)
		}
		if a := one.do(200, fields{"do": "publish", "group": g}, client.Data(client.UUID(), "mine")); a.Seq != uint64(2*i+3) || a.Pos == "" {
			t.Fatalf("the answer is %+v", a)
		}
	}
	if len(one.events) > 0 {
		t.Errorf("got its own messages, too: %+v", one.events)
	}
	// Each pos is exactly that place.
	three := connectV2(t, there())
	three.do(200, fields{"do": "join", "group": g, "from": first.Pos})
	for n := uint64(2); n <= 41; n++ {
		if e := three.want("message", g); e.Seq != n {
			t.Fatalf("got %+v, want number %d", e, n)
		}
	}
	three.want("live", g)
}

func TestV2_3_4_FromContinuesExactly(t *testing.T) {
	t.Parallel()
	g := client.Group()
	writer, reader := connectV2(t, here()), connectV2(t, there())
	reader.join(g)
	uuids := make([]string, 6)
	positions := make([]string, 6)
	for i := range uuids {
		uuids[i] = client.UUID()
		writer.do(200, fields{"do": "publish", "group": g}, client.Data(uuids[i], "x"))
		positions[i] = reader.want("message", g).Pos
	}
	reader.do(200, fields{"do": "leave", "group": g})
	writer.do(200, fields{"do": "recall", "group": g, "uuid": uuids[0]})
	writer.do(200, fields{"do": "recall", "group": g, "uuid": uuids[4]})
	// After the third: one message is recalled and not shown, and both recalls follow.
	a := reader.do(200, fields{"do": "join", "group": g, "from": positions[2]})
	if a.Pos != positions[2] || a.Gap {
		t.Errorf("joined at %+v, want at %s", a, positions[2])
	}
	var got []string
	for e := reader.event(); e.On != "live"; e = reader.event() {
		got = append(got, fmt.Sprint(e.On, " ", e.Seq))
	}
	if diff := cmp.Diff([]string{"message 4", "message 6", "recalled 1", "recalled 5"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestV2_3_4_WhereAStreamBegins(t *testing.T) {
	t.Parallel()
	g := client.Group()
	writer := connectV2(t, here())
	for range 5 {
		writer.do(200, fields{"do": "publish", "group": g}, client.Data(client.UUID(), "x"))
	}
	elsewhere := connectV2(t, here()).join(client.Group())
	for _, tt := range []struct {
		more fields
		gap  bool
		want []uint64
	}{
		{fields{}, false, nil},
		{fields{"last": 0}, false, nil},
		{fields{"last": 2}, false, []uint64{4, 5}},
		{fields{"last": 1000}, false, []uint64{1, 2, 3, 4, 5}},
		{fields{"from": elsewhere}, true, nil},
		{fields{"from": elsewhere, "last": 3}, true, []uint64{3, 4, 5}},
	} {
		f := fields{"do": "join", "group": g}
		for k, v := range tt.more {
			f[k] = v
		}
		c := connectV2(t, there())
		a := c.do(200, f)
		if a.Gap != tt.gap || a.Pos == "" {
			t.Errorf("%v: %+v, want gap %t", tt.more, a, tt.gap)
		}
		var got []uint64
		for e := c.event(); e.On != "live"; e = c.event() {
			got = append(got, e.Seq)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v: -want +got\n%s", tt.more, diff)
		}
		c.Leave()
	}
	writer.do(400, fields{"do": "join", "group": g, "from": "what"})
}

func TestV2_3_4_JoinsTwiceAndTooOften(t *testing.T) {
	t.Parallel()
	c := connectV2(t, here())
	base := client.Group()
	c.join(base)
	c.do(409, fields{"do": "join", "group": base})
	ids := make(map[int]bool)
	for i := range 128 { // all joins without waiting
		ids[c.ask(fields{"do": "join", "group": fmt.Sprint(base, "/", i)})] = true
	}
	codes := make(map[int]int)
	for len(ids) > 0 {
		if m := c.next(); m.Re != nil {
			if !ids[*m.Re] {
				t.Fatalf("a second answer to %d", *m.Re)
			}
			delete(ids, *m.Re)
			codes[m.Code]++
		}
	}
	if codes[200] != 127 || codes[429] != 1 {
		t.Errorf("answers by code: %v, want 127 of 200 and one of 429", codes)
	}
}

func TestV2_3_4_AfterALeaveOnesOwnMessagesAreOrdinary(t *testing.T) {
	t.Parallel()
	g := client.Group()
	c := connectV2(t, here())
	pos := c.join(g)
	packet := client.Data(client.UUID(), "x")
	c.do(200, fields{"do": "publish", "group": g}, packet)
	c.do(200, fields{"do": "leave", "group": g})
	other := connectV2(t, there())
	other.do(200, fields{"do": "publish", "group": g}, client.Data(client.UUID(), "unheard"))
	c.do(200, fields{"do": "ping"})
	if len(c.events) > 0 {
		t.Errorf("after the leave: %+v", c.events)
	}
	c.do(200, fields{"do": "join", "group": g, "from": pos})
	c.wantMessage(g, packet)
}

// The answers of a request's group come in the order of their effects.
func TestV2_3_4_RequestsOfAGroupTakeEffectInOrder(t *testing.T) {
	t.Parallel()
	g := client.Group()
	c := connectV2(t, here())
	for range 10 {
		uuid := client.UUID()
		c.ask(fields{"do": "publish", "group": g}, client.Data(uuid, "x"))
		recall := c.ask(fields{"do": "recall", "group": g, "uuid": uuid})
		history := c.ask(fields{"do": "history", "group": g})
		for n := recall - 1; n <= history; n++ {
			a := c.answer(n)
			if a.Code != 200 || len(a.Messages) > 0 {
				t.Fatalf("request %d: %+v", n, a)
			}
		}
	}
}

// token is a JSON Web Token of a user with rights.
func token(t *testing.T, secret, user string, lives time.Duration, rights string) string {
	t.Helper()
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	text := part(`{"alg":"HS256","typ":"JWT"}`) + "." +
		part(fmt.Sprintf(`{"sub":%q,"exp":%d,"gotapi":%s}`, user, time.Now().Add(lives).Unix(), rights))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestV2_3_6_Credentials(t *testing.T) {
	t.Parallel()
	const secret = "a secret that is longer than 32 bytes"
	const all = `{"join":["/**"],"publish":["/**"],"read":["/**"],"recall":"own"}`
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const key = "gotapi_conformance_of_v2_0123456789abcdef"
	sum := sha256.Sum256([]byte(key))
	p := testbed.StartAllInOne(t, "-auth-secret-file", file("secret", secret), "-auth-api-keys-file",
		file("keys", "keys:\n  - name: ci\n    sha256: "+hex.EncodeToString(sum[:])+"\n    publish: [/**]\n"))
	if _, resp, err := client.TryJoin(t, p.Addr, "/__/v2", offering("gotapi.v2")); err == nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a credential: %v, %v, want 401", resp, err)
	}
	bearer := func(token string) string { return "gotapi.bearer." + token }
	g, h := client.Group(), client.Group()
	alice := connectV2(t, p.Addr, bearer(token(t, secret, "alice", 6*time.Second, all)))
	bob := connectV2(t, p.Addr, bearer(token(t, secret, "bob", time.Hour, all)))
	backend := &v2{Member: client.Join(t, p.Addr, "/__/v2", offering("gotapi.v2"), client.Header("X-API-Key", key)), t: t}
	backend.next()
	alice.join(g)
	alice.join(h)
	bob.join(g)
	uuid := client.UUID()
	alice.do(200, fields{"do": "publish", "group": g}, client.Data(uuid, "x"))
	if e := bob.want("message", g); e.By != "alice" || e.Key != "" {
		t.Errorf("the message of alice is %+v", e)
	}
	backend.do(200, fields{"do": "publish", "group": g}, client.Data(client.UUID(), "x"))
	if e := bob.want("message", g); e.By != "" || e.Key != "ci" {
		t.Errorf("the message of the key is %+v", e)
	}
	bob.do(403, fields{"do": "recall", "group": g, "uuid": uuid})
	backend.do(403, fields{"do": "join", "group": g})

	alice.do(403, fields{"do": "token", "token": token(t, secret, "bob", time.Hour, all)})
	alice.do(401, fields{"do": "token", "token": token(t, "another secret of more than 32 bytes", "alice", time.Hour, all)})
	if a := alice.do(200, fields{"do": "token", "token": token(t, secret, "alice", 30*time.Minute, `{"join":["`+g+`"],"publish":["/**"]}`)}); a.ExpiresIn < 1700 || a.ExpiresIn > 1900 {
		t.Errorf("the answer is %+v", a)
	}
	if e := alice.want("message", g); e.Key != "ci" {
		t.Errorf("got %+v", e)
	}
	if e := alice.want("left", h); e.Code != 403 {
		t.Errorf("got %+v", e)
	}
	alice.do(403, fields{"do": "join", "group": h})
	alice.do(403, fields{"do": "history", "group": g})

	if testing.Short() { // a token is good for half a minute more
		return
	}
	expired := connectV2(t, p.Addr, bearer(token(t, secret, "carol", 3*time.Second, all)))
	_ = expired.EndedWithin(time.Minute)
	expired.WantClose(4401)
	alice.do(200, fields{"do": "ping"})
}
