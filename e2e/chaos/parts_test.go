package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
)

type fault struct {
	Name      string
	At, Lasts time.Duration
	Target    int
}

func faults(seed uint64, store string, length time.Duration) []fault {
	var all []fault
	cfg := config{store: store, faults: regexp.MustCompile(".")}
	for _, s := range schedule(seed, cfg.kinds(), length) {
		all = append(all, fault{s.kind.name, s.at, s.lasts, s.target})
	}
	return all
}

func TestASeedGivesOneSchedule(t *testing.T) {
	for _, store := range []string{single, cluster, sentinel} {
		a, b := faults(7, store, time.Hour), faults(7, store, time.Hour)
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%s: two schedules of one seed differ:\n%s", store, diff)
		}
		if cmp.Equal(a, faults(8, store, time.Hour)) {
			t.Errorf("%s: seeds 7 and 8 give the same schedule", store)
		}
		if len(a) < 100 || a[len(a)-1].At+a[len(a)-1].Lasts > time.Hour {
			t.Errorf("%s: %d faults in an hour, the last one at %v for %v", store, len(a), a[len(a)-1].At, a[len(a)-1].Lasts)
		}
	}
}

func TestEveryKindOfFaultHasItsTurn(t *testing.T) {
	for _, store := range []string{single, cluster, sentinel} {
		seen := make(map[string]bool)
		for _, f := range faults(1, store, 10*time.Minute) {
			seen[f.Name] = true
		}
		for _, k := range kinds() {
			if (k.store == "" || k.store == store) && !k.fsync && !seen[k.name] {
				t.Errorf("%s: no %q in ten minutes", store, k.name)
			}
		}
	}
}

func TestOnlyAcksOfAllReplicasForbidAllLoss(t *testing.T) {
	for _, tt := range []struct {
		store    string
		replicas replicas
		want     bool
	}{
		{cluster, 0, false},
		{cluster, 1, true},
		{cluster, allReplicas, true},
		{sentinel, 0, false},
		{sentinel, 1, false},
		{sentinel, 2, true},
		{sentinel, allReplicas, true},
		{single, 0, false},
	} {
		if got := (acks{replicas: tt.replicas}).ofAll(tt.store); got != tt.want {
			t.Errorf("%s, %d replicas: %v, want %v", tt.store, tt.replicas, got, tt.want)
		}
	}
}

func TestAMachineThatFailsLosesOnlyWhatWasNotSynced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "aof")
	for choice := range 50 {
		if err := os.WriteFile(path, []byte("synced, and unsynced"), 0o600); err != nil {
			t.Fatal(err)
		}
		lost, err := cutTail(path, 6, choice)
		text, _ := os.ReadFile(path)
		if err != nil || len(text) < 6 || len(text)+int(lost) != 20 {
			t.Errorf("choice %d: %q is left, %d lost, %v", choice, text, lost, err)
		}
	}
	if _, err := cutTail(path, 100, 0); err == nil {
		t.Error("a file that has shrunk is cut")
	}
}

func TestAMachineThatCannotFailGoesOnSyncing(t *testing.T) {
	d := startDatabase(t, single, "--appendonly", "no", "--appendfsync", "always") // without a file to cut
	if _, _, _, err := failMachine(t.Context(), &bed{redis: d}, 0); err == nil {
		t.Error("its file was cut")
	}
	got, err := d.nodes[0].direct.ConfigGet(t.Context(), "appendfsync").Result()
	if err != nil || got["appendfsync"] != "always" {
		t.Errorf("afterwards: %v, %v; want always", got, err)
	}
}

func TestSlotsOfANodeAreRead(t *testing.T) {
	nodes := `07c3 127.0.0.1:30004@31004 slave e7d1 0 1426238317239 4 connected
67ed 127.0.0.1:30002@31002 master - 0 1426238316232 2 connected 5461-10922
e7d1 127.0.0.1:30001@31001 myself,master - 0 0 1 connected 0-5460 7000 [93->-292f]
`
	if diff := cmp.Diff([][2]int{{0, 5460}, {7000, 7000}}, slotsOf(nodes)); diff != "" {
		t.Errorf("slots (-want +got):\n%s", diff)
	}
}

func TestSpansThatTouchAreJoined(t *testing.T) {
	spans := []check.Span{{From: 5, To: 7}, {From: 1, To: 3}, {From: 3, To: 4}, {From: 6, To: 6}}
	if diff := cmp.Diff([]check.Span{{From: 1, To: 4}, {From: 5, To: 7}}, merge(spans)); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
}

func TestRecoveryIsTheEndOfTheLongestPauseOfAny(t *testing.T) {
	const ms = time.Millisecond
	steady := func(from, to check.Time) []check.Time {
		var all []check.Time
		for at := from; at < to; at += 100 * ms {
			all = append(all, at)
		}
		return all
	}
	busy := steady(0, 10_000*ms)
	hit := append(steady(0, 2000*ms), steady(3500*ms, 10_000*ms)...)
	late := append(steady(0, 3000*ms), steady(3600*ms, 10_000*ms)...)
	silent := steady(0, 2000*ms)
	for name, tt := range map[string]struct {
		all  [][]check.Time
		want time.Duration
	}{
		"nobody pauses":                   {[][]check.Time{busy, busy}, 0},
		"one pauses at once":              {[][]check.Time{busy, hit}, 1500 * ms},
		"another pauses a little later":   {[][]check.Time{late, hit}, 1600 * ms},
		"a pause comes long afterwards":   {[][]check.Time{busy, append(steady(0, 4000*ms), steady(6000*ms, 10_000*ms)...)}, 0},
		"one is not heard of in the time": {[][]check.Time{busy, silent}, 5000 * ms},
	} {
		if got := longest(tt.all, 2000*ms, 3500*ms, 7000*ms); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestRecoveryIsMeasuredAtReadersOfEdges(t *testing.T) {
	got := func(at check.Time) []check.Event { return []check.Event{{At: at, Kind: check.Got}} }
	rec := &check.Recording{Groups: []*check.Group{{Conns: []*check.Conn{
		{Reader: check.WebSocket, Member: "a", Events: got(1)}, {Reader: check.Watch, Member: "b", Events: got(2)}, {Reader: check.WebSocket, Member: "a", Events: got(3)},
	}}}}
	want := [][]check.Time{{1, 3}}
	if diff := cmp.Diff(want, receiptTimes(rec, &workload{rooms: []*room{{}}})); diff != "" {
		t.Errorf("times (-want +got):\n%s", diff)
	}
}

func TestPacketsAreRecognized(t *testing.T) {
	for text, want := range map[string]check.Event{
		`{"type":2,"uuid":"u","body":{"data":"x"}}`:                                 {Kind: check.Got, UUID: "u", Text: `{"type":2,"uuid":"u","body":{"data":"x"}}`},
		`{"type":1,"command":1,"uuid":"u"}`:                                         {Kind: check.Ack, UUID: "u"},
		`{"type":1,"command":6,"uuid":"u"}`:                                         {Kind: check.Recalled, UUID: "u"},
		`{"type":1,"command":7,"uuid":"u","body":{"data":{"code":503,"msg":"no"}}}`: {Kind: check.Refused, UUID: "u", Code: 503},
		`low /g m 1`:             {Kind: check.Low, Text: "low /g m 1"},
		`{"type":1,"command":9}`: {Kind: check.Foreign, Text: `{"type":1,"command":9}`},
		`hello`:                  {Kind: check.Foreign, Text: "hello"},
	} {
		if diff := cmp.Diff(want, parse(text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// Each kind that is added to the tables must be able to take its seat, and be counted once.
func TestEveryKindOfClientIsInEachRoom(t *testing.T) {
	w := newWorkload(size{rooms: 4, listeners: 4, publishers: 2, every: time.Second}, []string{"edge"}, []string{"service"}, 1, 0)
	for _, r := range w.rooms {
		if len(w.goals[r]) != 14 || w.present[r] != 12 || w.closers[r] == nil {
			t.Errorf("%s has %d readers, %d of them members, want 14 and 12, and one who closes it", r.name, len(w.goals[r]), w.present[r])
		}
	}
	if len(w.writers) != 4 {
		t.Errorf("%d visitors in 4 rooms, want one in each", len(w.writers))
	}
}
