package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func Test8_PublishTreatsPacketsAsHTTPDoes(t *testing.T) {
	s := service(t)
	t.Parallel()
	for _, v := range readVectors[packetVector](t, "packets.json") {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			g := client.Group()
			m := client.Join(t, here(), g)
			body := v.bytes(t)
			resp, err := s.Publish(t.Context(), &historyv1.PublishRequest{GroupName: g, Packet: []byte(body)})
			switch {
			case body == "":
				// As over HTTP, where nothing was sent.
				wantStatus(t, "empty packet", err, codes.InvalidArgument)
			case v.Kind == "low" || v.Kind == "receipt":
				if err != nil || resp.GetStored() || resp.Uuid != nil || resp.GetGroup() != g || resp.GetCode() != 200 {
					t.Errorf("%v, %v", resp, err)
				}
				if got := m.Next(); got.Data != body {
					t.Errorf("got %v", got)
				}
			case v.Kind == "data":
				if err != nil || !resp.GetStored() || resp.GetUuid() != v.UUID || resp.Uuid == nil || resp.Duplicate == nil || resp.GetDuplicate() {
					t.Errorf("%v, %v", resp, err)
				}
				m.Want(body)
			default:
				wantStatus(t, v.Name, err, codes.InvalidArgument)
			}
			client.Publish(t, here(), g, "end")
			m.Want("end")
		})
	}
}

func Test8_SecondPublishWithTheSameKeyIsADuplicate(t *testing.T) {
	s := service(t)
	t.Parallel()
	g := client.Group()
	m := client.Join(t, there(), g)
	publish := func(g, key, packet string) (*historyv1.PublishResponse, error) {
		return s.Publish(t.Context(), &historyv1.PublishRequest{GroupName: g, Packet: []byte(packet), IdempotencyKey: key})
	}
	first, second := client.Data("", "first"), client.Data("", "second")
	for i, tt := range []struct {
		group, key, packet string
		duplicate          bool
	}{
		{g, "k", first, false},
		{g, "k", first, true},
		{g, "k", second, true},
		{g, "", first, false},
		{g, "", first, false},
		{g, strings.Repeat("k", 128), second, false},
		{client.Group(), "k", first, false},
		{g, "k", client.Data("u1", ""), false}, // the uuid counts
		{g, "l", client.Data("u1", ""), true},
	} {
		r, err := publish(tt.group, tt.key, tt.packet)
		if err != nil || !r.GetStored() || r.GetDuplicate() != tt.duplicate {
			t.Errorf("publish %d: %v, %v; want duplicate: %v", i, r, err, tt.duplicate)
		}
	}
	for _, text := range []string{first, first, first, second, client.Data("u1", "")} {
		m.Want(text)
	}
	_, err := publish(g, strings.Repeat("k", 129), first)
	wantStatus(t, "a long key", err, codes.InvalidArgument)
	_, err = publish(g, "k", "not stored")
	wantStatus(t, "a key for a packet that is not stored", err, codes.InvalidArgument)
}

func wantStatus(t *testing.T, what string, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func Test8_StatusCodes(t *testing.T) {
	s := service(t)
	t.Parallel()
	g, ctx := client.Group(), t.Context()
	history := func(r *historyv1.GetHistoryRequest) error { _, err := s.GetHistory(ctx, r); return err }
	cancel := func(name, uuid string) error {
		_, err := s.Cancel(ctx, &historyv1.CancelRequest{GroupName: name, Uuid: uuid})
		return err
	}
	ttl := func(name string, seconds int64) error {
		_, err := s.SetTTL(ctx, &historyv1.SetTTLRequest{GroupName: name, Ttl: seconds})
		return err
	}
	publish := func(name, packet string) error {
		_, err := s.Publish(ctx, &historyv1.PublishRequest{GroupName: name, Packet: []byte(packet)})
		return err
	}
	for what, tt := range map[string]struct {
		err  error
		want codes.Code
	}{
		"history without group":   {history(&historyv1.GetHistoryRequest{}), codes.InvalidArgument},
		"history, illegal group":  {history(&historyv1.GetHistoryRequest{GroupName: "x"}), codes.InvalidArgument},
		"history of the clock":    {history(&historyv1.GetHistoryRequest{GroupName: "/timer"}), codes.InvalidArgument},
		"history, size -1":        {history(&historyv1.GetHistoryRequest{GroupName: g, Size: proto.Int32(-1)}), codes.InvalidArgument},
		"history, size 10001":     {history(&historyv1.GetHistoryRequest{GroupName: g, Size: proto.Int32(10001)}), codes.InvalidArgument},
		"history, unknown before": {history(&historyv1.GetHistoryRequest{GroupName: g, Before: "x"}), codes.NotFound},
		"history, unknown after":  {history(&historyv1.GetHistoryRequest{GroupName: g, After: "x"}), codes.NotFound},
		"history":                 {history(&historyv1.GetHistoryRequest{GroupName: g}), codes.OK},
		"recall of the unknown":   {cancel(g, "x"), codes.NotFound},
		"recall without uuid":     {cancel(g, ""), codes.InvalidArgument},
		"recall without group":    {cancel("", "x"), codes.InvalidArgument},
		"recall, illegal group":   {cancel("/{}", "x"), codes.InvalidArgument},
		"ttl 0":                   {ttl(g, 0), codes.InvalidArgument},
		"ttl -1":                  {ttl(g, -1), codes.InvalidArgument},
		"ttl without group":       {ttl("", 1), codes.InvalidArgument},
		"ttl":                     {ttl(g, 3600), codes.OK},
		"publish to the clock":    {publish("/timer", "x"), codes.PermissionDenied},
		"publish to the lobby":    {publish("/", "x"), codes.PermissionDenied},
		"publish too much":        {publish(g, strings.Repeat("x", target.limit+1)), codes.InvalidArgument},
		"publish the largest":     {publish(g, strings.Repeat("x", target.limit)), codes.OK},
	} {
		wantStatus(t, what, tt.err, tt.want)
	}
}

func Test8_HistoryIsThatOfHTTP(t *testing.T) {
	s := service(t)
	t.Parallel()
	g := client.Group()
	for i := range 8 {
		client.Publish(t, here(), g, numbered(i))
	}
	recall(t, here(), g, uuidOf(4))
	for _, position := range []int32{0, 3, 8, -1, -3, -100} {
		resp, err := s.GetHistory(t.Context(), &historyv1.GetHistoryRequest{GroupName: g, Position: position, Size: proto.Int32(3)})
		if err != nil {
			t.Fatal(err)
		}
		page := client.History(t, there(), g, "position", fmt.Sprint(position), "size", "3")
		wantTexts(t, fmt.Sprint("position ", position), resp.GetData(), page.Data)
		if (resp.Next == nil) != (page.Next == nil) || resp.Next != nil && int(resp.GetNext()) != *page.Next {
			t.Errorf("position %d: next %v over gRPC, %v over HTTP", position, resp.Next, page.Next)
		}
	}
	after, err := s.GetHistory(t.Context(), &historyv1.GetHistoryRequest{GroupName: g, After: uuidOf(2), Size: proto.Int32(10)})
	if err != nil {
		t.Fatal(err)
	}
	wantTexts(t, "after message 2", after.GetData(), []string{numbered(3), numbered(5), numbered(6), numbered(7)})
}

func Test8_CancelTellsMembers(t *testing.T) {
	s := service(t)
	t.Parallel()
	g := client.Group()
	m := client.Join(t, there(), g)
	client.Publish(t, here(), g, numbered(0))
	for range 2 {
		if _, err := s.Cancel(t.Context(), &historyv1.CancelRequest{GroupName: g, Uuid: uuidOf(0)}); err != nil {
			t.Fatal(err)
		}
	}
	client.Publish(t, here(), g, "end")
	m.Want(numbered(0))
	m.Want(client.Recall(uuidOf(0)))
	m.Want("end")
}

func Test8_ListGroupsCountsMembers(t *testing.T) {
	s := service(t)
	t.Parallel()
	g := client.Group()
	client.Join(t, here(), g)
	client.Join(t, there(), g)
	eventually(t, "two members", func() error {
		resp, err := s.ListGroups(t.Context(), &historyv1.ListGroupsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range resp.GetGroups() {
			if group.GetName() == g && group.GetMembers() == 2 {
				return nil
			}
		}
		return errors.New("not yet")
	})
}

// watch is a stream of Watch responses.
type watch struct {
	t      *testing.T
	stream historyv1.HistoryService_WatchClient
}

func startWatch(t *testing.T, s historyv1.HistoryServiceClient, groups ...*historyv1.WatchedGroup) *watch {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*client.Timeout) // it is open for many waits
	t.Cleanup(cancel)
	stream, err := s.Watch(ctx, &historyv1.WatchRequest{Groups: groups})
	if err != nil {
		t.Fatal(err)
	}
	return &watch{t, stream}
}

func (w *watch) next() *historyv1.WatchResponse {
	w.t.Helper()
	r, err := w.stream.Recv()
	if err != nil {
		w.t.Fatalf("watch: %v", err)
	}
	return r
}

// events takes n responses of a group and tells each in a word.
func (w *watch) events(n int) (events []string, last string) {
	w.t.Helper()
	for range n {
		r := w.next()
		last = r.GetPosition()
		switch e := r.GetEvent().(type) {
		case *historyv1.WatchResponse_Message:
			events = append(events, string(e.Message.GetPacket()))
		case *historyv1.WatchResponse_Recalled:
			events = append(events, "recalled "+e.Recalled.GetUuid())
		case *historyv1.WatchResponse_Packet:
			events = append(events, "packet "+string(e.Packet.GetPacket()))
		case *historyv1.WatchResponse_Started:
			events = append(events, "started")
		case *historyv1.WatchResponse_Gap:
			events = append(events, "gap")
		case *historyv1.WatchResponse_Moved:
			events = append(events, "moved")
		default:
			w.t.Fatalf("watch: %v", r)
		}
	}
	return events, last
}

func (w *watch) want(events ...string) string {
	w.t.Helper()
	got, last := w.events(len(events))
	wantTexts(w.t, "watch", got, events)
	return last
}

func Test8_WatchSendsWhatMembersSee(t *testing.T) {
	s := service(t)
	t.Parallel()
	g := client.Group()
	client.Publish(t, here(), g, numbered(0))
	w := startWatch(t, s, &historyv1.WatchedGroup{GroupName: g})
	w.want("started")
	client.Publish(t, here(), g, numbered(1))
	client.Publish(t, there(), g, "low")
	recall(t, here(), g, uuidOf(0))
	client.Publish(t, here(), g, numbered(1)) // a duplicate
	client.Publish(t, there(), g, "\xff")
	w.want(numbered(1), "packet low", "recalled "+uuidOf(0), "packet \xff")
}

func Test8_WatchGoesOnAfterAMessage(t *testing.T) {
	s := service(t)
	t.Parallel()
	g := client.Group()
	for i := range 6 {
		client.Publish(t, here(), g, numbered(i))
	}
	recall(t, here(), g, uuidOf(4))
	w := startWatch(t, s, &historyv1.WatchedGroup{GroupName: g, Start: &historyv1.WatchedGroup_AfterUuid{AfterUuid: uuidOf(2)}})
	client.Publish(t, here(), g, numbered(6))
	var got []string
	for len(got) < 4 {
		events, _ := w.events(1)
		if events[0] != "started" && events[0] != "moved" {
			got = append(got, events[0])
		}
	}
	wantTexts(t, "watch", got, []string{numbered(3), numbered(5), "recalled " + uuidOf(4), numbered(6)})
}

func Test8_WatchBeginsWithTheNewestMessages(t *testing.T) {
	s := service(t)
	t.Parallel()
	g := client.Group()
	for i := range 6 {
		client.Publish(t, here(), g, numbered(i))
	}
	w := startWatch(t, s, &historyv1.WatchedGroup{GroupName: g, Last: 2})
	w.want("started", numbered(4), numbered(5))
	w = startWatch(t, s, &historyv1.WatchedGroup{GroupName: g, Last: 2, Start: &historyv1.WatchedGroup_AfterUuid{AfterUuid: "unknown"}})
	for got := ""; got != numbered(4); {
		events, _ := w.events(1)
		if got = events[0]; got != "started" && got != "gap" && got != numbered(4) {
			t.Fatalf("watch: %s", got)
		}
	}
	w.want(numbered(5))
	w = startWatch(t, s, &historyv1.WatchedGroup{GroupName: g, Last: 2, Start: &historyv1.WatchedGroup_AfterUuid{AfterUuid: uuidOf(4)}})
	w.want("started", numbered(5))
}

func Test8_PositionsAreTexts(t *testing.T) {
	s := service(t)
	t.Parallel()
	g := client.Group()
	client.Publish(t, here(), g, numbered(0))
	page, err := s.GetHistory(t.Context(), &historyv1.GetHistoryRequest{GroupName: g, Meta: true})
	if err != nil || len(page.GetMeta()) != 1 || page.GetMeta()[0].GetSeq() != 1 || page.GetMeta()[0].GetAt() == 0 {
		t.Fatalf("%v, %v; want a page with meta", page, err)
	}
	position := page.GetStreamPosition()
	if len(position) > 48 || strings.Trim(position, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		t.Errorf("position %q", position)
	}
	for _, text := range []string{"", "x", position + "x", position[1:], strings.Repeat("A", 49)} {
		w := startWatch(t, s, &historyv1.WatchedGroup{GroupName: g, Start: &historyv1.WatchedGroup_After{After: text}})
		_, err := w.stream.Recv()
		wantStatus(t, fmt.Sprintf("position %q", text), err, codes.InvalidArgument)
	}
	w := startWatch(t, s, &historyv1.WatchedGroup{GroupName: client.Group(), Start: &historyv1.WatchedGroup_After{After: position}})
	for got := ""; got != "gap"; {
		events, _ := w.events(1)
		if got = events[0]; got != "started" && got != "gap" {
			t.Fatalf("a position of another group: %s", got)
		}
	}
}

func Test8_WatchGoesOnExactlyAtAPosition(t *testing.T) {
	s := service(t)
	t.Parallel()
	const n = 30
	g := client.Group()
	w := startWatch(t, s, &historyv1.WatchedGroup{GroupName: g})
	w.want("started")
	var want, got []string
	for i := range n {
		client.Publish(t, here(), g, numbered(i))
		want = append(want, numbered(i))
		if i%5 == 4 {
			recall(t, there(), g, uuidOf(i-2))
			want = append(want, "recalled "+uuidOf(i-2))
		}
	}
	client.Publish(t, here(), g, client.Data("end", ""))
	// Read some, hang up, go on from there, again and again.
	for i := 1; ; i++ {
		events, position := w.events(1)
		if events[0] == client.Data("end", "") {
			break
		}
		if events[0] != "started" && events[0] != "moved" {
			got = append(got, events[0])
		}
		if i%7 == 0 {
			w = startWatch(t, s, &historyv1.WatchedGroup{GroupName: g, Start: &historyv1.WatchedGroup_After{After: position}})
		}
	}
	// A message that was recalled before it was read is not sent. Its recall is.
	var exact []string
	for _, event := range want {
		if !strings.HasPrefix(event, "recalled ") && slices.Contains(want, "recalled "+client.Parse(t, event).UUID) && !slices.Contains(got, event) {
			continue
		}
		exact = append(exact, event)
	}
	wantTexts(t, "watch, piece by piece", got, exact)
}

func Test8_RecallOfAMessageThatWasNotSentIsSent(t *testing.T) {
	s := service(t)
	t.Parallel()
	g := client.Group()
	for i := range 4 {
		client.Publish(t, here(), g, numbered(i))
	}
	recall(t, here(), g, uuidOf(3))
	w := startWatch(t, s, &historyv1.WatchedGroup{GroupName: g, Start: &historyv1.WatchedGroup_AfterUuid{AfterUuid: uuidOf(0)}})
	position := w.want("started", numbered(1), numbered(2), "recalled "+uuidOf(3))
	w = startWatch(t, s, &historyv1.WatchedGroup{GroupName: g, Start: &historyv1.WatchedGroup_After{After: position}})
	w.want("started")
	client.Publish(t, here(), g, numbered(4))
	w.want(numbered(4))
}

func Test8_SlowWatchIsToldOfThePacketsThatItMisses(t *testing.T) {
	s := service(t)
	t.Parallel()
	const n = 200
	g := client.Group()
	w := startWatch(t, s, &historyv1.WatchedGroup{GroupName: g})
	w.want("started")
	// Much more than waits for a watch, and than is on the way to it.
	low := strings.Repeat("x", target.limit)
	for i := range n {
		client.Publish(t, here(), g, low)
		if i%20 == 0 {
			client.Publish(t, here(), g, numbered(i))
		}
	}
	client.Publish(t, here(), g, client.Data("end", ""))
	packets, dropped, messages := 0, 0, 0
	for end := false; !end || packets+dropped < n; {
		switch r := w.next(); {
		case r.GetPacket() != nil:
			packets++
		case r.GetGap() != nil:
			dropped += int(r.GetGap().GetDroppedPackets())
		case r.GetMessage() != nil:
			messages++
			end = string(r.GetMessage().GetPacket()) == client.Data("end", "")
		}
	}
	if dropped == 0 || packets+dropped != n || messages != n/20+1 {
		t.Errorf("%d packets and %d messages came, and %d packets were missed; want %d packets, some of them missed, and %d messages",
			packets, messages, dropped, n, n/20+1)
	}
}

func Test8_WatchGoesOnWhereAPageWasRead(t *testing.T) {
	s := service(t)
	t.Parallel()
	for what, stored := range map[string]int{"a group that is not known": 0, "a group with messages": 3} {
		g := client.Group()
		for i := range stored {
			client.Publish(t, here(), g, numbered(i))
		}
		if stored > 0 {
			recall(t, here(), g, uuidOf(1))
		}
		page, err := s.GetHistory(t.Context(), &historyv1.GetHistoryRequest{GroupName: g})
		if err != nil || page.GetStreamPosition() == "" {
			t.Fatalf("%s: %v, %v; want a page with a position", what, page, err)
		}
		client.Publish(t, here(), g, numbered(stored)) // between the page and the watch
		w := startWatch(t, s, &historyv1.WatchedGroup{GroupName: g, Start: &historyv1.WatchedGroup_After{After: page.GetStreamPosition()}})
		w.want("started", numbered(stored))
	}
}

func Test8_WatchOfSeveralGroups(t *testing.T) {
	s := service(t)
	t.Parallel()
	a, b := client.Group(), client.Group()
	client.Publish(t, here(), b, numbered(0))
	w := startWatch(t, s, &historyv1.WatchedGroup{GroupName: a}, &historyv1.WatchedGroup{GroupName: b, Start: &historyv1.WatchedGroup_AfterUuid{AfterUuid: uuidOf(0)}})
	for started := 0; started < 2; {
		if r := w.next(); r.GetStarted() != nil {
			started++
		} else {
			t.Fatalf("got %v before both groups have started", r)
		}
	}
	client.Publish(t, here(), a, numbered(1))
	client.Publish(t, here(), b, numbered(2))
	got := map[string]string{}
	for range 2 {
		r := w.next()
		got[r.GetGroupName()] = string(r.GetMessage().GetPacket())
	}
	if got[a] != numbered(1) || got[b] != numbered(2) {
		t.Errorf("watch: %v", got)
	}
}

func Test8_WatchFromAnUnknownPlaceTellsTheGap(t *testing.T) {
	s := service(t)
	t.Parallel()
	for what, start := range map[string]func(*historyv1.WatchedGroup){
		"uuid": func(g *historyv1.WatchedGroup) { g.Start = &historyv1.WatchedGroup_AfterUuid{AfterUuid: "unknown"} },
		"position of another epoch": func(g *historyv1.WatchedGroup) {
			g.Start = &historyv1.WatchedGroup_After{After: stream.Position{Epoch: 1, Seq: 1, Link: 7}.Text(group.Name(g.GetGroupName()))}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			g := &historyv1.WatchedGroup{GroupName: client.Group()}
			client.Publish(t, here(), g.GroupName, numbered(0))
			start(g)
			w := startWatch(t, s, g)
			gap := false
			for range 3 {
				events, _ := w.events(1)
				if gap = gap || events[0] == "gap"; gap {
					break
				}
			}
			if !gap {
				t.Error("no gap was reported")
			}
			// The stream goes on.
			client.Publish(t, here(), g.GroupName, numbered(1))
			for {
				if events, _ := w.events(1); events[0] == numbered(1) {
					return
				}
			}
		})
	}
}

func Test8_WatchRefusesBadGroups(t *testing.T) {
	s := service(t)
	t.Parallel()
	g := client.Group()
	many := make([]*historyv1.WatchedGroup, 1001)
	for i := range many {
		many[i] = &historyv1.WatchedGroup{GroupName: fmt.Sprint(g, i)}
	}
	for what, groups := range map[string][]*historyv1.WatchedGroup{
		"none": nil, "twice": {{GroupName: g}, {GroupName: g}}, "clock": {{GroupName: "/timer"}}, "lobby": {{GroupName: "/"}},
		"illegal": {{GroupName: "x"}}, "reserved": {{GroupName: "/__/x"}}, "too many": many,
	} {
		_, err := startWatch(t, s, groups...).stream.Recv()
		if errors.Is(err, io.EOF) || status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v, want InvalidArgument", what, err)
		}
	}
}
