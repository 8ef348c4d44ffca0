package gotapi_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
)

// growing is a history, oldest first, to which somebody publishes before each read.
type growing struct {
	t       *testing.T
	packets []string
	grows   func(n int) []string
	reads   int
}

// History implements gotapi.HistoryReader, as docs/protocol.md, section 4, says.
func (l *growing) History(_ context.Context, _ string, r gotapi.PageRequest) (gotapi.Page, error) {
	if l.reads > 0 {
		l.packets = append(l.packets, l.grows(l.reads)...)
	}
	l.reads++
	if l.reads > 100 {
		l.t.Fatalf("no end: %+v", r)
	}
	newest := slices.Clone(l.packets)
	slices.Reverse(newest)
	from := r.Position
	if r.Before != "" {
		from = slices.IndexFunc(newest, func(p string) bool { return p == data(r.Before) }) + 1
		if from == 0 {
			return gotapi.Page{}, &gotapi.Error{Code: 404, Msg: "no such message"}
		}
	}
	if from < 0 {
		from = max(0, len(newest)+from)
	}
	to := min(from+r.Size, len(newest))
	page := gotapi.Page{Packets: newest[from:to]}
	if to < len(newest) {
		next := to
		if r.Position < 0 {
			next -= len(newest)
		}
		page.Next = &next
	}
	return page, nil
}

func messages(from, to int) (all []string) {
	for i := from; i <= to; i++ {
		all = append(all, data(fmt.Sprint(i)))
	}
	return all
}

func TestPagesRepeatAndOmitNothingWhileOthersPublish(t *testing.T) {
	anonymous := []string{`{"type":2,"body":{"data":"x"}}`, `{"type":2,"body":{"data":"y"}}`}
	for name, tt := range map[string]struct {
		packets []string
		first   gotapi.PageRequest
		skipped int // of the newest
	}{
		"all":                 {messages(0, 23), gotapi.PageRequest{}, 0},
		"from a position":     {messages(0, 23), gotapi.PageRequest{Position: 5}, 5},
		"from the old end":    {messages(0, 23), gotapi.PageRequest{Position: -20}, 4},
		"before a message":    {messages(0, 23), gotapi.PageRequest{Before: "14"}, 10},
		"some without a uuid": {slices.Concat(messages(0, 9), anonymous, messages(10, 12), anonymous, messages(13, 20)), gotapi.PageRequest{}, 0},
	} {
		for size := 3; size < 30; size++ {
			l := &growing{t: t, packets: slices.Clone(tt.packets), grows: func(n int) []string { return messages(1000+n*n, 1000+n*n+n) }}
			tt.first.Size = size
			var got []string
			for page, err := range gotapi.Pages(t.Context(), l, "/room", tt.first) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, page.Packets...)
			}
			want := slices.Clone(tt.packets)
			slices.Reverse(want)
			if diff := cmp.Diff(want[tt.skipped:], got); diff != "" {
				t.Errorf("%s, size %d (-want +got):\n%s", name, size, diff)
			}
		}
	}
}

func TestPagesWithoutUUIDsEnd(t *testing.T) {
	one := `{"type":2,"body":{}}`
	l := &growing{t: t, packets: slices.Repeat([]string{one}, 10), grows: func(int) []string { return nil }}
	n := 0
	for page, err := range gotapi.Pages(t.Context(), l, "/room", gotapi.PageRequest{Size: 3}) {
		if err != nil {
			t.Fatal(err)
		}
		n += len(page.Packets)
	}
	if n != 10 {
		t.Errorf("%d messages, want 10", n)
	}
}

func TestPagesEndWhenAUUIDStandsTwice(t *testing.T) {
	l := &growing{t: t, packets: slices.Concat(messages(0, 3), messages(2, 3)), grows: func(int) []string { return nil }}
	for _, err := range gotapi.Pages(t.Context(), l, "/room", gotapi.PageRequest{Size: 1}) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPagesSayThatTheHistoryWasTrimmedMeanwhile(t *testing.T) {
	l := &growing{t: t, packets: messages(0, 9)}
	l.grows = func(int) []string { l.packets = nil; return messages(100, 110) }
	var last error
	for _, err := range gotapi.Pages(t.Context(), l, "/room", gotapi.PageRequest{Size: 3}) {
		last = err
	}
	var refusal *gotapi.Error
	if !errors.As(last, &refusal) || refusal.Code != 404 {
		t.Errorf("got %v, want code 404", last)
	}
}
