package historyapi

import (
	"testing"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func TestKeysOfCallersAndCallsWithoutKeyNeverMeet(t *testing.T) {
	s := New(nil, nil, nil, Options{}, nil)
	origin := func(author *history.Author, key string) stream.Origin {
		t.Helper()
		o, err := s.origin(&history.Publication{Kind: stream.Message, Author: author}, key)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	alice, bob := &history.Author{'a'}, &history.Author{'b'}
	seen := make(map[stream.Origin]int)
	for i, o := range []stream.Origin{
		origin(nil, ""), origin(nil, ""), origin(alice, ""), origin(nil, "k"), origin(alice, "k"), origin(bob, "k"), origin(alice, "l"),
	} {
		if before, ok := seen[o]; ok {
			t.Errorf("publishes %d and %d pass for one", before, i)
		}
		seen[o] = i
	}
	if origin(alice, "k") != origin(&history.Author{'a'}, "k") {
		t.Error("the same key of the same caller does not pass for one publish")
	}
}
