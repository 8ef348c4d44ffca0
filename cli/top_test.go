package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
)

// largeStore takes ten seconds to list its groups, one of which gets a message a second.
type largeStore struct{ requests }

func (largeStore) Groups(context.Context) ([]gotapi.GroupInfo, error) { return nil, nil }

func (largeStore) StoredGroups(context.Context, string) ([]gotapi.StoredGroup, string, error) {
	time.Sleep(10 * time.Second)
	return []gotapi.StoredGroup{{Name: "/a", Seq: uint64(time.Now().Unix())}}, "", nil //nolint:gosec // it is positive
}

func TestARateIsOfTheTimeBetweenTwoReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		a := &app{Streams: Streams{Out: &out, Err: &out, Env: func(string) (string, bool) { return "", false }}}
		a.settings.json, a.settings.timeout = true, time.Minute
		if err := a.watchTop(t.Context(), largeStore{}, groupsFlags{sort: byRate, interval: 10 * time.Second}, 2); err != nil {
			t.Fatal(err)
		}
		for round, lines := 1, json.NewDecoder(&out); lines.More(); round++ {
			var l load
			if err := lines.Decode(&l); err != nil || l.Rate != 1 {
				t.Errorf("round %d: %+v, %v; want one message a second", round, l, err)
			}
		}
	})
}
