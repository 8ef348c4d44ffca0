package cli

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

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
