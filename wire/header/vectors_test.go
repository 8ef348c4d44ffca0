package header

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// vector is what the entries of testdata/v2.json have in common: a message, and the packet
// that it carries, if any.
type vector struct {
	Name, Section string
	Text, Hex     *string
	Parts         [][2]any
	Packet        *string
	PacketHex     *string
}

func (v *vector) message(tb testing.TB) []byte {
	tb.Helper()
	switch {
	case v.Text != nil:
		return []byte(*v.Text)
	case v.Hex != nil:
		return unhex(tb, *v.Hex)
	}
	var b strings.Builder
	for _, p := range v.Parts {
		b.WriteString(strings.Repeat(p[0].(string), int(p[1].(float64))))
	}
	return []byte(b.String())
}

func (v *vector) packet(tb testing.TB) (packet []byte, carries bool) {
	tb.Helper()
	switch {
	case v.Packet != nil:
		return []byte(*v.Packet), true
	case v.PacketHex != nil:
		return unhex(tb, *v.PacketHex), true
	}
	return nil, false
}

func unhex(tb testing.TB, text string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

type requestVector struct {
	vector
	Request *struct {
		Do            string
		ID            *uint64
		Group         group.Name
		From          string
		Last          *uint64
		UUID          string
		Before, After *uint64
		Size          int
		Token         string
	}
	// ParseRequest fails, but knows the id, if there is one.
	Error bool
	ID    *uint64
}

type answerVector struct {
	vector
	// The request's do, if a 200 to it has keys of its own.
	To     string
	Group  group.Name
	Answer struct {
		Re                  uint64
		Code                int
		Msg                 string
		RetryAfter          int64
		Pos                 string
		Gap                 bool
		Seq                 uint64
		At                  int64
		Duplicate, Recalled bool
		ExpiresIn           int64
		More                bool
		Messages            []struct {
			Seq                  uint64
			At                   int64
			By, Key, Pos, Packet string
		}
	}
}

type eventVector struct {
	vector
	Event struct {
		On         string
		Group      group.Name
		Seq        uint64
		At         int64
		By, Key    string
		Pos        string
		UUID       string
		Code       int
		Msg        string
		RetryAfter int64
		Hello
	}
}

type vectors struct {
	Requests []requestVector
	Answers  []answerVector
	Events   []eventVector
}

func readVectors(tb testing.TB) (vs vectors) {
	tb.Helper()
	b, err := os.ReadFile("../../testdata/v2.json")
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(b, &vs); err != nil {
		tb.Fatal(err)
	}
	if len(vs.Requests) < 50 || len(vs.Answers) < 10 || len(vs.Events) < 10 {
		tb.Fatal("vectors are missing")
	}
	return vs
}

func integer(n *uint64) Integer {
	if n == nil {
		return Integer{}
	}
	return Integer{Value: *n, Set: true}
}

func TestParseRequestVectors(t *testing.T) {
	for _, v := range readVectors(t).Requests {
		t.Run(v.Name, func(t *testing.T) {
			got, err := ParseRequest(v.message(t))
			if (err != nil) != v.Error {
				t.Fatalf("ParseRequest: error %v, want one: %t", err, v.Error)
			}
			if err != nil {
				if got.ID != integer(v.ID) {
					t.Errorf("the id is %+v, want %+v", got.ID, integer(v.ID))
				}
				return
			}
			want := v.Request
			if got.Do.String() != want.Do {
				t.Errorf("do is %s, want %s", got.Do, want.Do)
			}
			packet, _ := v.packet(t)
			if diff := cmp.Diff(Request{
				Do: got.Do, ID: integer(want.ID), Group: want.Group, From: want.From, Last: integer(want.Last), UUID: want.UUID,
				Before: integer(want.Before), After: integer(want.After), Size: want.Size, Token: want.Token, Packet: packet,
			}, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// position returns the position of a text; nil if there is none.
func position(t *testing.T, g group.Name, text string) *stream.Position {
	t.Helper()
	if text == "" {
		return nil
	}
	p, err := stream.ParsePosition(g, text)
	if err != nil {
		t.Fatal(err)
	}
	return &p
}

func author(by, key string) stream.Author {
	if key != "" {
		return stream.Author{Name: key, Key: true}
	}
	return stream.Author{Name: by}
}

func TestAppendAnswerVectors(t *testing.T) {
	for _, v := range readVectors(t).Answers {
		t.Run(v.Name, func(t *testing.T) {
			a, pos := v.Answer, position(t, v.Group, v.Answer.Pos)
			var got []byte
			switch {
			case a.Code != 200:
				got = AppendRefusal(nil, a.Re, Refusal{Code: a.Code, Msg: a.Msg, RetryAfter: a.RetryAfter})
			case v.To == "join":
				got = AppendJoined(nil, a.Re, v.Group, *pos, a.Gap)
			case v.To == "publish":
				got = AppendStored(nil, a.Re, v.Group, &Stored{Seq: a.Seq, At: a.At, Pos: pos, Duplicate: a.Duplicate, Recalled: a.Recalled})
			case v.To == "token":
				got = AppendRenewed(nil, a.Re, a.ExpiresIn)
			case v.To == "history":
				var messages []Message
				for _, m := range a.Messages {
					messages = append(messages, Message{Seq: m.Seq, At: m.At, By: author(m.By, m.Key), Pos: position(t, v.Group, m.Pos), Packet: m.Packet})
				}
				got = AppendHistory(nil, a.Re, v.Group, messages, a.More)
			default:
				got = AppendOK(nil, a.Re)
			}
			if want := v.message(t); !bytes.Equal(got, want) {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestAppendEventVectors(t *testing.T) {
	for _, v := range readVectors(t).Events {
		t.Run(v.Name, func(t *testing.T) {
			e, pos := v.Event, position(t, v.Event.Group, v.Event.Pos)
			payload, _ := v.packet(t)
			event := &stream.Event{Seq: e.Seq, Target: e.Seq, At: e.At, By: author(e.By, e.Key), UUID: e.UUID, Payload: payload}
			refusal := Refusal{Code: e.Code, Msg: e.Msg, RetryAfter: e.RetryAfter}
			var got []byte
			switch e.On {
			case "hello":
				got = AppendHello(nil, &e.Hello)
			case "message":
				got = AppendMessage(nil, e.Group, event, *pos)
			case "packet":
				got = AppendPacket(nil, e.Group, event)
			case "recalled":
				got = AppendRecalled(nil, e.Group, event, *pos)
			case "live":
				got = AppendLive(nil, e.Group, *pos)
			case "gap":
				got = AppendGap(nil, e.Group, *pos)
			case "left":
				got = AppendLeft(nil, e.Group, refusal)
			case "error":
				got = AppendError(nil, e.Code, e.Msg)
			}
			if want := v.message(t); !bytes.Equal(got, want) {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
			if len(got) > MessageSize(e.Group, event) && e.On != "hello" && e.On != "error" {
				t.Errorf("%d bytes, which is more than MessageSize says", len(got))
			}
		})
	}
}

// The fuzz tests' own reading of a vector's packet is Split.
func TestSplitVectors(t *testing.T) {
	for _, v := range readVectors(t).Events {
		_, packet, carries := Split(v.message(t))
		want, wantCarries := v.packet(t)
		if carries != wantCarries || !bytes.Equal(packet, want) {
			t.Errorf("%s: Split gives packet %q, %t, want %q, %t", v.Name, packet, carries, want, wantCarries)
		}
	}
}
