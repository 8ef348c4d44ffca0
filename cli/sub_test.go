package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
)

// played is a listener that hears events, and then the end.
type played []gotapi.Event

func (p *played) Next(context.Context) (gotapi.Event, error) {
	if len(*p) == 0 {
		return gotapi.Event{}, errors.New("that was all")
	}
	e := (*p)[0]
	*p = (*p)[1:]
	return e, nil
}

func (*played) Close() {}

// stored is a server whose groups have these packets.
type stored struct {
	requests
	packets []string
}

func (s stored) History(context.Context, string, gotapi.PageRequest) (gotapi.Page, error) {
	return gotapi.Page{Packets: s.packets}, nil
}

func TestEventsShowTheServersTimeAndTheAuthor(t *testing.T) {
	at := time.Date(2026, 12, 1, 7, 0, 0, 5_000_000, time.UTC)
	all := []gotapi.Event{
		{Kind: gotapi.Message, UUID: "u", Data: []byte(`{"type":2,"uuid":"u"}`), Meta: gotapi.Meta{Seq: 7, At: at, By: "alice"}},
		{Kind: gotapi.Recalled, UUID: "u", Meta: gotapi.Meta{Seq: 7, At: at, Key: "shop"}},
	}
	for asJSON, want := range map[bool][]string{
		true:  {`"seq":7,"at":"2026-12-01T07:00:00.005Z","by":"alice"}`, `"seq":7,"at":"2026-12-01T07:00:00.005Z","key":"shop"}`},
		false: {at.Format(time.TimeOnly) + "  u  by alice  ", at.Format(time.TimeOnly) + "  u  key shop  recalled\n"},
	} {
		var out bytes.Buffer
		a := &app{Streams: Streams{Out: &out, Err: io.Discard, Env: func(string) (string, bool) { return "", false }}}
		a.settings.json = asJSON
		events := played(slices.Clone(all))
		s := &server{requests: stored{}, listen: func(string, string) (listener, error) { return &events, nil }}
		_ = a.listen(t.Context(), s, "/r", listenFlags{}, 0)
		for _, want := range want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("JSON %v: no %s in\n%s", asJSON, want, out.String())
			}
		}
	}
}

// After a gap the server closes the connection, and the resume that follows has it again.
func TestAGapIsToldOnceUntilAMessageComes(t *testing.T) {
	lost := errors.New("messages were lost or trimmed")
	const gone = "the group's history is gone: it was purged, expired or lost\n"
	const missing = "messages are missing here: messages were lost or trimmed\n"
	closed := gotapi.Event{Kind: gotapi.Disconnected, Err: errors.New("closed by the server")}
	connected, gap := gotapi.Event{Kind: gotapi.Connected}, gotapi.Event{Kind: gotapi.Gap, Err: lost}
	message := gotapi.Event{Kind: gotapi.Message, UUID: "u", Data: []byte(`{"type":2,"uuid":"u","body":{"data":"hi"}}`)}
	for _, tt := range []struct {
		name   string
		left   []string
		events []gotapi.Event
		want   string
	}{
		{"purged", nil, []gotapi.Event{connected, gap, closed, connected, gap}, "connected\n" + gone + "connected\n"},
		{"trimmed", []string{"x"}, []gotapi.Event{connected, gap, closed, connected, gap}, "connected\n" + missing + "connected\n"},
		{"again", []string{"x"}, []gotapi.Event{connected, gap, message, gap, message}, "connected\n" + missing + missing},
		{"and trouble", nil, []gotapi.Event{connected, gap, closed, closed}, "connected\n" + gone + "disconnected: closed by the server; trying again\n"},
	} {
		var out, err bytes.Buffer
		a := &app{Streams: Streams{Out: &out, Err: &err, Env: func(string) (string, bool) { return "", false }}}
		events := played(tt.events)
		s := &server{requests: stored{packets: tt.left}, listen: func(string, string) (listener, error) { return &events, nil }}
		_ = a.listen(t.Context(), s, "/r", listenFlags{}, 0)
		notes := err.String()
		if cut := strings.LastIndex(strings.TrimSuffix(notes, "\n"), "\n"); cut >= 0 { // the summary
			notes = notes[:cut+1]
		}
		if notes != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, notes, tt.want)
		}
	}
}
