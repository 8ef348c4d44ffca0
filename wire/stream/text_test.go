package stream

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/wire/group"
)

func TestAPositionSurvivesAsText(t *testing.T) {
	const g = group.Name("/room/1")
	for _, p := range []Position{
		{},
		{Epoch: 1, Seq: 1, Link: 7},
		{Epoch: 0xfedcba9876543210, Seq: 1 << 53, Changes: 127, Link: math.MaxUint32},
		{Epoch: math.MaxUint64, Seq: math.MaxUint64, Changes: math.MaxUint64, Link: math.MaxUint32},
	} {
		text := p.Text(g)
		if len(text) > MaxPositionText || strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("text of %+v is %q", p, text)
		}
		if got, err := ParsePosition(g, text); err != nil || got != p {
			t.Errorf("%q is read as %+v, %v, want %+v", text, got, err, p)
		}
	}
}

func TestAPositionOfAnotherGroupIsNowhere(t *testing.T) {
	for _, p := range []Position{{}, {Epoch: 9, Seq: 3}} {
		if got, err := ParsePosition("/b", p.Text("/a")); err != nil || got != nowhere {
			t.Errorf("%+v of another group is read as %+v, %v", p, got, err)
		}
	}
}

func TestOtherTextsAreNoPositions(t *testing.T) {
	good := Position{Epoch: 1, Seq: 300, Link: 7}.Text("/a")
	for _, text := range []string{
		"", "now", good + "A", good[:len(good)-1], good + "=", " " + good,
		strings.Repeat("A", MaxPositionText), strings.Repeat("A", MaxPositionText+1),
		"B" + good[1:], // another version
	} {
		if p, err := ParsePosition("/a", text); !errors.Is(err, ErrPositionText) {
			t.Errorf("%q is read as %+v, %v", text, p, err)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	f.Add("/a", Position{}.Text("/a"))
	f.Add("/a", Position{Epoch: 1, Seq: 300, Changes: 2, Link: 7}.Text("/a"))
	f.Add("/b", Position{Epoch: 1, Seq: 300, Changes: 2, Link: 7}.Text("/a"))
	f.Fuzz(func(t *testing.T, name, text string) {
		g := group.Name(name)
		p, err := ParsePosition(g, text)
		if err != nil {
			return
		}
		if again := p.Text(g); p != nowhere && again != text {
			t.Errorf("%q is %+v, whose text is %q", text, p, again)
		}
	})
}
