package conformance

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
)

type packetVector struct {
	bytesVector
	Section string
	Kind    string
	UUID    string
	Query   struct {
		Offset        int
		After, Before string
	}
}

func Test2_PacketsOverWebSocket(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors[packetVector](t, "packets.json") {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			data := v.bytes(t)
			if utf8.ValidString(data) {
				overSocket(t, &v, client.Message{Data: data})
			}
			overSocket(t, &v, client.Message{Binary: true, Data: data})
		})
	}
}

// overSocket sends a vector from one member to another, and a marker after it:
// what arrives before the marker is the vector's effect.
func overSocket(t *testing.T, v *packetVector, msg client.Message) {
	t.Helper()
	g := client.Group()
	sender, receiver := client.Join(t, here(), g), client.Join(t, there(), g)
	sender.Send(msg)
	marker := client.UUID()
	sender.Text(client.Data(marker, "marker"))
	switch v.Kind {
	case "low", "receipt":
		receiver.WantMessage(msg)
	case "data":
		receiver.Want(msg.Data)
		wantCommand(t, sender, 1, v.UUID)
	case "ping":
		wantCommand(t, sender, 5, v.UUID)
	case "query":
		receiver.Want(client.Data(marker, "marker"))
		wantAnswerAndAck(t, sender, v, marker)
		return
	case "bad-uuid":
		if uuid, code := sender.Refusal(); code != http.StatusBadRequest || uuid != v.UUID {
			t.Errorf("refusal of %v: uuid %q, code %d, want %q, 400", msg, uuid, code, v.UUID)
		}
	case "dropped":
	default:
		t.Fatalf("unknown kind %q", v.Kind)
	}
	receiver.Want(client.Data(marker, "marker"))
	wantCommand(t, sender, 1, marker)
}

// wantAnswerAndAck takes two messages: the answer to a query of a group without
// history, and an ack. Their order is free.
func wantAnswerAndAck(t *testing.T, m *client.Member, v *packetVector, acked string) {
	t.Helper()
	want := map[int]string{2: v.UUID, 1: acked}
	if v.Query.After+v.Query.Before != "" {
		want = map[int]string{7: v.UUID, 1: acked} // 404: no such message
	}
	for range 2 {
		p := client.Parse(t, m.Next().Data)
		if uuid, ok := want[p.Command]; !ok || p.Type != 1 || p.UUID != uuid {
			t.Fatalf("got %+v, want one of %v", p, want)
		}
		delete(want, p.Command)
	}
}

// wantCommand takes the next message and checks that it is this command.
func wantCommand(t *testing.T, m *client.Member, command int, uuid string) {
	t.Helper()
	msg := m.Next()
	p := client.Parse(t, msg.Data)
	if msg.Binary || p.Type != 1 || p.Command != command || p.UUID != uuid {
		t.Fatalf("got %v, want command %d of uuid %q", msg, command, uuid)
	}
}

func Test2_PacketsOverHTTP(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors[packetVector](t, "packets.json") {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			body := v.bytes(t)
			if body == "" {
				return // 3: an empty body is 400
			}
			g := client.Group()
			member := client.Join(t, there(), g)
			a := client.Do(t, "POST", here(), g, body)
			switch v.Kind {
			case "low", "receipt":
				wantPublished(t, a, g, false, "")
				member.WantMessage(client.Message{Binary: !utf8.ValidString(body), Data: body})
			case "data":
				wantPublished(t, a, g, true, v.UUID)
				member.Want(body)
			default:
				wantError(t, "publish", a, http.StatusBadRequest)
			}
			client.Publish(t, here(), g, "end")
			member.Want("end")
		})
	}
}

func wantPublished(t *testing.T, a client.Answer, group string, stored bool, uuid string) {
	t.Helper()
	var body map[string]any
	a.JSON(t, &body)
	want := map[string]any{"code": 200.0, "group": group, "stored": stored}
	if stored {
		want["uuid"], want["duplicate"] = uuid, false
	}
	if a.Code != http.StatusOK || fmt.Sprint(body) != fmt.Sprint(want) {
		t.Errorf("publish: %d %s, want %v", a.Code, a.Body, want)
	}
}

func Test2_NobodyCanForgeAnAckAnErrorOrARecall(t *testing.T) {
	t.Parallel()
	g := client.Group()
	forger, victim := client.Join(t, here(), g), client.Join(t, there(), g)
	uuid := client.UUID()
	for _, command := range []int{1, 6, 7, 0, 8, -1} {
		packet := fmt.Sprintf(`{"type":1,"command":%d,"uuid":%q,"body":{"data":{"code":410,"msg":"x"}}}`, command, uuid)
		forger.Text(packet)
		forger.Send(client.Message{Binary: true, Data: packet})
		wantError(t, packet, client.Do(t, "POST", here(), g, packet), http.StatusBadRequest)
	}
	forger.Text("end")
	victim.Want("end")
}

func Test2_TheSenderOfALowLevelPacketGetsNothing(t *testing.T) {
	t.Parallel()
	g := client.Group()
	a, b := client.Join(t, here(), g), client.Join(t, there(), g)
	a.Text("from a")
	b.Want("from a")
	b.Text("from b")
	a.Want("from b")
	uuid := client.UUID()
	a.Text(client.Data(uuid, "x"))
	a.Want(client.Ack(uuid))
	if p := client.History(t, here(), g); len(p.Data) != 1 {
		t.Errorf("history has %q, want the data packet only", p.Data)
	}
}

func Test2_FragmentsAreOnePacket(t *testing.T) {
	t.Parallel()
	g := client.Group()
	sender, receiver := client.Join(t, here(), g, client.Fragments(16)), client.Join(t, there(), g)
	text, uuid := strings.Repeat("fragments é ", 400), client.UUID()
	sender.Fragmented(text)
	receiver.Want(text)
	sender.Fragmented(client.Data(uuid, text))
	receiver.Want(client.Data(uuid, text))
	sender.Want(client.Ack(uuid))
}

func Test2_TextThatIsNotUTF8ClosesWith1007(t *testing.T) {
	t.Parallel()
	g := client.Group()
	sender, receiver := client.Join(t, here(), g), client.Join(t, there(), g)
	sender.Text("a\xffb")
	sender.WantClose(1007)
	client.Publish(t, here(), g, "end")
	receiver.Want("end")
}

func Test2_PingFramesAreAnswered(t *testing.T) {
	t.Parallel()
	m := client.Join(t, here(), client.Group())
	m.Control(websocket.PingMessage, []byte("are you there?"))
	m.WantPong("are you there?")
	m.Control(websocket.PongMessage, []byte("unasked"))
	m.Text(`{"type":1,"command":5,"uuid":"p"}`)
	m.Want(client.Pong("p"))
}

func Test2_ACloseFrameIsAnswered(t *testing.T) {
	t.Parallel()
	for _, code := range []int{1000, 1001, 4000} {
		m := client.Join(t, here(), client.Group())
		m.Control(websocket.CloseMessage, websocket.FormatCloseMessage(code, "bye"))
		m.WantClose(code)
	}
}

func Test2_BrokenFramesCloseWith1002(t *testing.T) {
	t.Parallel()
	for name, frame := range map[string]string{
		"not masked":        "\x81\x01a",
		"reserved bit":      "\xc1\x81\x00\x00\x00\x00a",
		"unknown opcode":    "\x83\x81\x00\x00\x00\x00a",
		"nothing continued": "\x80\x81\x00\x00\x00\x00a",
		"long control":      "\x89\xfe\x00\x80\x00\x00\x00\x00" + strings.Repeat("a", 128),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := client.Group()
			m, other := client.Join(t, here(), g), client.Join(t, there(), g)
			if _, err := m.Conn().Write([]byte(frame)); err != nil {
				t.Fatal(err)
			}
			m.WantClose(1002)
			client.Publish(t, here(), g, "end")
			other.Want("end")
		})
	}
}

func Test2_1_WhatCameInIsWhatGoesOut(t *testing.T) {
	t.Parallel()
	g := client.Group()
	sender, receiver := client.Join(t, here(), g), client.Join(t, there(), g)
	var want []string
	for i, format := range []string{
		"{ \"body\" : {\"data\":\"x\"},\r\n\t\"uuid\":%q, \"type\":2, \"unknown\":{\"z\":[1,2.50,1E5]} }\n",
		`{"type":2,"uuid":%q,"body":{"data":"\u0000\ud83d\ude00 é \/ < > & \u2028` + "\u2028\u007f" + `","hash":"h","sent":false}}`,
		`{"uuid":%q,"type":2,"body":{"data":{"a":1,"a":2}},"x":1,"x":2}`,
	} {
		uuid := client.UUID()
		packet := fmt.Sprintf(format, uuid)
		if i%2 == 0 {
			sender.Text(packet)
		} else {
			sender.Send(client.Message{Binary: true, Data: packet})
		}
		receiver.Want(packet)
		sender.Want(client.Ack(uuid))
		want = append([]string{packet}, want...)
	}
	wantTexts(t, "history", client.History(t, there(), g).Data, want)
}

func wantTexts(t *testing.T, what string, got, want []string) {
	t.Helper()
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("%s:\n got %.2000q\nwant %.2000q", what, got, want)
	}
}

func Test2_1_TheSameUUIDIsStoredAndSentOnce(t *testing.T) {
	t.Parallel()
	g, uuid := client.Group(), client.UUID()
	a, b, watcher := client.Join(t, here(), g), client.Join(t, there(), g), client.Join(t, there(), g)
	first, second := client.Data(uuid, "first"), client.Data(uuid, "second")
	a.Text(first)
	a.Want(client.Ack(uuid))
	a.Text(first)
	a.Want(client.Ack(uuid))
	b.Want(first)
	b.Text(second)
	b.Want(client.Ack(uuid))
	p := client.Publish(t, here(), g, second)
	if !p.Stored || p.Duplicate == nil || !*p.Duplicate || p.UUID == nil || *p.UUID != uuid {
		t.Errorf("resent over HTTP: %+v, want a stored duplicate", p)
	}
	client.Publish(t, here(), g, "end")
	watcher.Want(first)
	for _, m := range []*client.Member{a, b, watcher} {
		m.Want("end")
	}
	wantTexts(t, "history", client.History(t, here(), g).Data, []string{first})
}

func Test2_1_TheSameUUIDInAnotherGroupIsAnotherMessage(t *testing.T) {
	t.Parallel()
	uuid := client.UUID()
	for _, g := range []string{client.Group(), client.Group()} {
		if p := client.Publish(t, here(), g, client.Data(uuid, g)); p.Duplicate == nil || *p.Duplicate {
			t.Errorf("publish to %s: %+v", g, p)
		}
		wantTexts(t, "history", client.History(t, there(), g).Data, []string{client.Data(uuid, g)})
	}
}

func Test2_1_ConcurrentResendsOverAllEdgesAreStoredOnce(t *testing.T) {
	t.Parallel()
	const senders, uuids = 6, 20
	g := client.Group()
	watcher := client.Join(t, here(), g)
	members := join(t, g, senders)
	names := make([]string, uuids)
	for i := range names {
		names[i] = client.UUID()
	}
	done := make(chan struct{})
	for i, m := range members {
		go func() {
			defer func() { done <- struct{}{} }()
			for _, uuid := range names {
				_ = m.TrySend(client.Message{Data: client.Data(uuid, fmt.Sprint("of sender ", i))})
			}
		}()
	}
	for range members {
		<-done
	}
	// Every sender is answered for every uuid: by its ack, next to the deliveries
	// of what others were first with.
	for i, m := range members {
		acked := map[string]int{}
		for len(acked) < uuids {
			if p := client.Parse(t, m.Next().Data); p.Type == 1 && p.Command == 1 {
				acked[p.UUID]++
			} else if p.Type != 2 {
				t.Fatalf("sender %d got %+v", i, p)
			}
		}
	}
	var got []string
	for range uuids {
		got = append([]string{watcher.Next().Data}, got...)
	}
	client.Publish(t, here(), g, "end")
	watcher.Want("end")
	wantTexts(t, "history", client.History(t, there(), g).Data, got)
	stored := map[string]int{}
	for _, text := range got {
		stored[client.Parse(t, text).UUID]++
	}
	for _, uuid := range names {
		if stored[uuid] != 1 {
			t.Errorf("uuid %s is stored %d times", uuid, stored[uuid])
		}
	}
}

func Test2_1_WithoutUUIDEveryPacketIsAMessage(t *testing.T) {
	t.Parallel()
	g := client.Group()
	sender, receiver := client.Join(t, here(), g), client.Join(t, there(), g)
	packets := []string{`{"type":2,"body":{"data":1}}`, `{"type":2,"body":{"data":1}}`, `{"type":2,"uuid":"","body":{"data":1}}`, `{"type":2,"uuid":null}`}
	for _, p := range packets {
		sender.Text(p)
	}
	for _, p := range packets {
		receiver.Want(p)
		sender.Want(client.Ack(""))
	}
	want := []string{packets[3], packets[2], packets[1], packets[0]}
	wantTexts(t, "history", client.History(t, there(), g).Data, want)
	wantError(t, "recall of an empty uuid", client.Cancel(t, here(), g, ""), http.StatusBadRequest)
}

func Test2_1_AResendDoesNotBringARecalledMessageBack(t *testing.T) {
	t.Parallel()
	g, uuid := client.Group(), client.UUID()
	sender, watcher := client.Join(t, here(), g), client.Join(t, there(), g)
	packet := client.Data(uuid, "x")
	sender.Text(packet)
	sender.Want(client.Ack(uuid))
	watcher.Want(packet)
	if a := client.Cancel(t, there(), g, uuid); a.Code != http.StatusOK {
		t.Fatalf("recall: %d %s", a.Code, a.Body)
	}
	watcher.Want(client.Recall(uuid))
	sender.Want(client.Recall(uuid))
	sender.Text(packet)
	sender.Want(client.Ack(uuid))
	if p := client.Publish(t, there(), g, packet); p.Duplicate == nil || !*p.Duplicate {
		t.Errorf("resent over HTTP: %+v, want a duplicate", p)
	}
	client.Publish(t, here(), g, "end")
	watcher.Want("end")
	wantTexts(t, "history", client.History(t, here(), g).Data, nil)
}

func Test2_1_AResendAfterTrimmingIsADuplicate(t *testing.T) {
	if target.cap == 0 || testing.Short() {
		t.Skip("needs to fill a group")
	}
	t.Parallel()
	g := client.Group()
	fill(t, g, target.cap+50)
	page := client.History(t, there(), g, "position", "-1", "size", "1")
	wantTexts(t, "oldest message", page.Data, []string{numbered(50)})
	for _, i := range []int{0, 49, 50, target.cap} {
		if p := client.Publish(t, here(), g, numbered(i)); p.Duplicate == nil || !*p.Duplicate {
			t.Errorf("message %d of %d, sent again: %+v, want a duplicate", i, target.cap+50, p)
		}
	}
	wantError(t, "recall of a trimmed message", client.Cancel(t, here(), g, uuidOf(0)), http.StatusNotFound)
}

func uuidOf(i int) string { return fmt.Sprintf("m%07d", i) }

func numbered(i int) string { return client.Data(uuidOf(i), strconv.Itoa(i)) }

// fill publishes numbered(0) to numbered(n-1), a window of them at a time.
func fill(t *testing.T, g string, n int) {
	t.Helper()
	const window = 500
	m := client.Join(t, here(), g)
	for sent, acked := 0, 0; acked < n; {
		for ; sent < n && sent < acked+window; sent++ {
			m.Text(numbered(sent))
		}
		batch := min(sent-acked, window/2)
		for i, msg := range m.Take(batch) {
			if want := client.Ack(uuidOf(acked + i)); msg.Data != want {
				t.Fatalf("got %v, want %s", msg, want)
			}
		}
		acked += batch
	}
}

func Test2_2_AnAckMeansThatHistoryHasIt(t *testing.T) {
	t.Parallel()
	g := client.Group()
	m := client.Join(t, here(), g)
	for i := range 30 {
		m.Text(numbered(i))
		m.Want(client.Ack(uuidOf(i)))
		if p := client.History(t, there(), g, "size", "1"); len(p.Data) != 1 || p.Data[0] != numbered(i) {
			t.Fatalf("after the ack of message %d, history begins with %q", i, p.Data)
		}
	}
}

func Test2_2_AnAckStandsAtTheMessagesPlace(t *testing.T) {
	t.Parallel()
	const senders, each = 4, 40
	g := client.Group()
	members := join(t, g, senders)
	uuid := func(sender, i int) string { return fmt.Sprintf("%d-%d", sender, i) }
	done := make(chan struct{})
	for s, m := range members {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range each {
				_ = m.TrySend(client.Message{Data: client.Data(uuid(s, i), "x")})
			}
		}()
	}
	for range members {
		<-done
	}
	var streams [senders][]string
	for s, m := range members {
		for _, msg := range m.Take(senders * each) {
			p := client.Parse(t, msg.Data)
			own := strings.HasPrefix(p.UUID, fmt.Sprint(s, "-"))
			if own != (p.Type == 1 && p.Command == 1) {
				t.Fatalf("member %d got %v", s, msg)
			}
			streams[s] = append([]string{p.UUID}, streams[s]...)
		}
	}
	page := client.History(t, here(), g)
	history := make([]string, 0, len(page.Data))
	for _, text := range page.Data {
		history = append(history, client.Parse(t, text).UUID)
	}
	for s := range members {
		wantTexts(t, fmt.Sprint("stream of member ", s, ", acks in it, against the history"), streams[s], history)
	}
}

func Test2_2_ABadUUIDIsRefusedWith400(t *testing.T) {
	t.Parallel()
	g := client.Group()
	m := client.Join(t, here(), g)
	long := strings.Repeat("é", 65)
	m.Text(client.Data(long, "x"))
	if uuid, code := m.Refusal(); code != http.StatusBadRequest || !strings.HasPrefix(long, uuid) {
		t.Errorf("refusal: uuid %q, code %d", uuid, code)
	}
	wantError(t, "publish", client.Do(t, "POST", here(), g, client.Data(long, "x")), http.StatusBadRequest)
	wantTexts(t, "history", client.History(t, here(), g).Data, nil)
}

func Test2_5_AllMembersSeeOneOrder(t *testing.T) {
	t.Parallel()
	const senders, watchers, each = 4, 4, 50
	g := client.Group()
	out, in := join(t, g, watchers), join(t, g, senders)
	done := make(chan struct{})
	for s, m := range in {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range each {
				_ = m.TrySend(client.Message{Data: client.Data(fmt.Sprintf("%d-%d", s, i), "x")})
			}
		}()
	}
	for range in {
		<-done
	}
	var first []string
	for w, m := range out {
		var got []string
		for _, msg := range m.Take(senders * each) {
			got = append([]string{msg.Data}, got...)
		}
		if w == 0 {
			first = got
		}
		wantTexts(t, fmt.Sprint("order of watcher ", w), got, first)
	}
	wantTexts(t, "history", client.History(t, there(), g).Data, first)
	// What one sender sent stays in its order.
	next := map[string]int{}
	for i := len(first) - 1; i >= 0; i-- {
		var s, n int
		if _, err := fmt.Sscanf(client.Parse(t, first[i]).UUID, "%d-%d", &s, &n); err != nil || n != next[strconv.Itoa(s)] {
			t.Fatalf("got message %s, want message %d of its sender", first[i], next[strconv.Itoa(s)])
		}
		next[strconv.Itoa(s)]++
	}
}

func Test2_5_PacketsAreNeverJoined(t *testing.T) {
	t.Parallel()
	const n = 300
	g := client.Group()
	sender, receiver := client.Join(t, here(), g), client.Join(t, there(), g)
	for i := range n {
		sender.Text(fmt.Sprint("packet ", i))
	}
	for i := range n {
		receiver.Want(fmt.Sprint("packet ", i))
	}
}

func Test2_5_ASlowMemberIsClosedAndNeverGivenHoles(t *testing.T) {
	t.Parallel()
	// More than the server's queue and the kernels' buffers take together.
	n := 16 << 20 / target.limit
	g := client.Group()
	slow := client.JoinDeaf(t, here(), g, client.ReceiveBuffer(256<<10))
	filler := strings.Repeat("x", target.limit-200)
	for i := range n {
		client.Publish(t, here(), g, client.Data(uuidOf(i), filler))
	}
	// It takes nothing for longer than the 5 s that it may, and more comes: without that,
	// the server would bear with it for 10 s.
	clock := client.Join(t, here(), "/timer")
	for range 9 {
		wantSecond(t, clock)
		client.Publish(t, here(), g, client.Data(uuidOf(n), filler))
		n++
	}
	slow.Listen()
	err := slow.Ended()
	got := slow.Rest()
	for i, msg := range got {
		if want := client.Data(uuidOf(i), filler); msg.Data != want {
			t.Fatalf("message %d of the slow member is %.80v", i, msg)
		}
	}
	if len(got) == n {
		t.Errorf("the slow member got all %d messages", n)
	}
	// If the member sleeps longer than the server is ready to wait for it, the
	// close frame is lost with the connection.
	var end *websocket.CloseError
	if errors.As(err, &end) && end.Code != 1013 && end.Code != websocket.CloseAbnormalClosure {
		t.Errorf("closed with %v, want 1013", err)
	}
}

func Test2_6_TheLargestMessage(t *testing.T) {
	t.Parallel()
	g := client.Group()
	sender, receiver := client.Join(t, here(), g), client.Join(t, there(), g)
	largest := strings.Repeat("x", target.limit)
	sender.Text(largest)
	receiver.Want(largest)
	sender.Send(client.Message{Binary: true, Data: largest})
	receiver.WantMessage(client.Message{Binary: true, Data: largest})
	uuid := client.UUID()
	packet := client.Data(uuid, "")
	packet = client.Data(uuid, strings.Repeat("x", target.limit-len(packet)))
	sender.Text(packet)
	receiver.Want(packet)
	sender.Want(client.Ack(uuid))
}

func Test2_6_ALargerMessageClosesWith1009(t *testing.T) {
	t.Parallel()
	g := client.Group()
	receiver := client.Join(t, there(), g)
	for _, msg := range []string{strings.Repeat("x", target.limit+1), client.Data("big", strings.Repeat("x", target.limit)), strings.Repeat("x", 4*target.limit)} {
		sender := client.Join(t, here(), g)
		_ = sender.TrySend(client.Message{Data: msg})
		sender.WantClose(1009)
		split := client.Join(t, here(), g, client.Fragments(1000))
		split.Fragmented(msg[:target.limit])
		receiver.Want(msg[:target.limit])
	}
	client.Publish(t, here(), g, "end")
	receiver.Want("end")
	wantTexts(t, "history", client.History(t, here(), g).Data, nil)
}

func Test2_6_TheServerPingsAndDropsTheSilent(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 36 seconds")
	}
	t.Parallel()
	g := client.Group()
	alive, silent := client.Join(t, here(), g), client.Join(t, here(), g)
	silent.Silence()
	alive.WantPing(1, 30*time.Second)
	err := silent.EndedWithin(30 * time.Second)
	t.Logf("the silent member: %v", err)
	client.Publish(t, here(), g, "end")
	alive.Want("end")
}
