package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
)

func TestFollowersKeepTheNewestPositionOfEventsAndAnswers(t *testing.T) {
	f := &follower{room: newRoom("/g", time.Now(), false), name: "f"}
	w := f.dials(check.V2, "edge")
	f.joined(w, "p0", false, 1)
	for _, step := range []struct {
		text, want string
	}{
		{`{"on":"message","group":"/g","seq":1,"pos":"p1"}` + "\n" + `{"type":2,"uuid":"u","body":{"data":"x"}}`, "p1"},
		{`{"on":"live","group":"/g","pos":"p2"}`, "p2"},
		{`{"on":"packet","group":"/g"}` + "\n" + "low /g m 1", "p2"},
		{`{"on":"recalled","group":"/g","seq":1,"uuid":"u","pos":"p3"}`, "p3"},
		{`{"on":"gap","group":"/g","pos":"p4"}`, "p4"},
	} {
		m, ok := parseMessage(step.text)
		if !ok {
			t.Fatalf("%q cannot be read", step.text)
		}
		if f.hears(&m, 2); f.pos != step.want {
			t.Errorf("after %s the position is %s, want %s", m.On, f.pos, step.want)
		}
	}
	f.answered(w, "mine", &message{Code: 200, Seq: 2, Pos: "p5"}, 3)
	f.answered(w, "again", &message{Code: 200, Seq: 2, Duplicate: true}, 3)
	f.answered(w, "no", &message{Code: 503}, 3)
	if f.pos != "p5" {
		t.Errorf("after the answers the position is %s, want p5", f.pos)
	}
	want := []check.Event{
		{At: 2, Kind: check.Got, UUID: "u", Text: `{"type":2,"uuid":"u","body":{"data":"x"}}`, Seq: 1, Pos: "p1"},
		{At: 2, Kind: check.Low, Text: "low /g m 1"},
		{At: 2, Kind: check.Recalled, UUID: "u", Seq: 1, Pos: "p3"},
		{At: 2, Kind: check.Gap, Pos: "p4"},
		{At: 3, Kind: check.Ack, UUID: "mine", Seq: 2, Pos: "p5"},
		{At: 3, Kind: check.Ack, UUID: "again", Seq: 2, Duplicate: true},
		{At: 3, Kind: check.Refused, UUID: "no", Code: 503},
	}
	if diff := cmp.Diff(want, w.conn.Events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	f.ended(4)
	if next := f.dials(check.LongPoll, "edge"); next.conn.Prev != w.conn || f.wire != nil {
		t.Error("the next connection does not go on from the one before")
	}
}

func TestEventsThatAreCutAreNone(t *testing.T) {
	var got []string
	err := readEvents(strings.NewReader("retry: 1\n\n:\n\nevent: live\nid: p\ndata: {}\n\nevent: message\ndata: {\"a\":1}\n"), func(data string) bool {
		got = append(got, data)
		return true
	})
	if diff := cmp.Diff([]string{"{}"}, got); diff != "" || err == nil {
		t.Errorf("%v, events (-want +got):\n%s", err, diff)
	}
}
