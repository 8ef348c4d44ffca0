package redisconn

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAcksNeedAServerThatCanGiveThem(t *testing.T) {
	unknown, disabled := errors.New("ERR unknown command 'WAITAOF', with args beginning with: '1'"), errors.New("ERR something else")
	on := map[string]string{"role": "master", "redis_version": "7.2.4", "aof_enabled": "1"}
	off := map[string]string{"role": "master", "redis_version": "7.2.4", "aof_enabled": "0"}
	for _, tt := range []struct {
		acks    Acks
		master  master
		err     string
		timeout time.Duration
	}{
		{Acks{Fsync: true}, master{info: on, waitaof: unknown}, "redis 7.2.4 has no WAITAOF", 0},
		{Acks{Fsync: true}, master{info: on, waitaof: disabled}, "redis refuses WAITAOF", 0},
		{Acks{Fsync: true}, master{info: off, waitaof: disabled}, "no append-only file", 0},
		{Acks{Fsync: true}, master{info: on, appendfsync: "no"}, "requires appendfsync always", 0},
		{Acks{Fsync: true}, master{info: on, appendfsync: "everysec"}, "requires appendfsync always", 0},
		{Acks{Fsync: true}, master{info: on}, "cannot read redis's appendfsync", 0},
		{Acks{Fsync: true}, master{info: on, appendfsync: "always"}, "", DefaultAckTimeout},
		{Acks{Fsync: true, Replicas: 1}, master{info: on, appendfsync: "always"}, "", SlowAckTimeout},
		{Acks{Fsync: true, Timeout: time.Second / 2}, master{info: on, appendfsync: "always"}, "", time.Second / 2},
		{Acks{Replicas: 1}, master{info: off, waitaof: unknown}, "", DefaultAckTimeout},
		{Acks{Replicas: AllReplicas}, master{info: on, replicas: unknownCount}, "no Sentinel reports", 0},
		{Acks{}, master{info: off, waitaof: unknown}, "", 0},
	} {
		c := &confirmation{acks: tt.acks}
		err := c.settle([]master{tt.master})
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%+v on %+v: %v, want %q", tt.acks, tt.master, err, tt.err)
		}
		if err == nil && c.acks.Timeout != tt.timeout {
			t.Errorf("%+v on %+v: timeout %v, want %v", tt.acks, tt.master, c.acks.Timeout, tt.timeout)
		}
	}
}

func TestOperatorsAreToldWhatAcksDoNotPromise(t *testing.T) {
	with := func(connected string, replicas int) []master {
		return []master{{addr: "a", info: map[string]string{"role": "master", "aof_enabled": "1", "connected_slaves": connected}, replicas: replicas, appendfsync: "everysec"}}
	}
	for _, tt := range []struct {
		acks    Acks
		masters []master
		want    []string
	}{
		{Acks{}, with("2", 2), nil},
		{Acks{Replicas: 2}, with("2", 2), nil},
		{Acks{Replicas: 1}, with("2", 2), []string{"acks wait for 1 of 2 replicas"}},
		{Acks{Replicas: 1}, with("1", 2), []string{"acks wait for 1 of 2 replicas"}},
		{Acks{Replicas: 2}, with("1", 1), []string{"1 replicas are connected"}},
		{Acks{Replicas: AllReplicas}, with("2", 2), nil},
		{Acks{Replicas: AllReplicas}, with("1", 2), []string{"1 replicas are connected and acks wait for 2"}},
		{Acks{Replicas: AllReplicas}, with("0", 0), []string{"0 replicas are connected and acks wait for 1"}},
		{Acks{Fsync: true}, with("0", 0), []string{"redis has appendfsync everysec"}},
	} {
		c := &confirmation{acks: tt.acks}
		c.learn(tt.masters)
		got := c.warnings(tt.masters)
		if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
			t.Errorf("%+v with %+v: %q, want %q", tt.acks, tt.masters, got, tt.want)
		}
	}
}

// TestAllReplicasAreThoseOfEachMaster: also when some are down, or nobody tells; and at
// least one, of a master that has just become one, too.
func TestAllReplicasAreThoseOfEachMaster(t *testing.T) {
	c := &confirmation{acks: Acks{Replicas: AllReplicas}}
	want := func(when string, counts map[string]int) {
		t.Helper()
		for addr, n := range counts {
			if got := c.replicas(addr); got != n {
				t.Errorf("%s: %d replicas of %s, want %d", when, got, addr, n)
			}
		}
	}
	want("at first", map[string]int{"a": 1})
	c.learn([]master{{addr: "a", replicas: 2}, {addr: "b", replicas: 0}})
	want("then", map[string]int{"a": 2, "b": 1, "new": 2})
	c.learn([]master{{addr: "a", replicas: unknownCount}, {addr: "b", replicas: 3}})
	want("at last", map[string]int{"a": 2, "b": 3, "new": 3})
	c.acks.Replicas = 1
	want("of one", map[string]int{"a": 1, "new": 1})
}

func TestReplicasOfANodeAreCountedAlsoWhenTheyAreAway(t *testing.T) {
	const nodes = `07c3 127.0.0.1:30004@31004 slave e7d1 0 1426238317239 4 connected
0123 127.0.0.1:30005@31005 slave,fail e7d1 0 1426238317239 4 disconnected
4567 127.0.0.1:30006@31006 slave 67ed 0 1426238317239 4 connected
67ed 127.0.0.1:30002@31002 master - 0 1426238316232 2 connected 5461-10922
e7d1 127.0.0.1:30001@31001 myself,master - 0 0 1 connected 0-5460
`
	if n := replicasIn(nodes); n != 2 {
		t.Errorf("%d replicas, want 2", n)
	}
}

func TestReplicasAreANumberOrAll(t *testing.T) {
	for text, want := range map[string]Replicas{"0": 0, "2": 2, "all": AllReplicas} {
		var r Replicas
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%q is %d, %v", text, r, err)
		}
		if back, err := r.MarshalText(); err != nil || string(back) != text {
			t.Errorf("%d is %q, %v, want %q", r, back, err, text)
		}
	}
	for _, text := range []string{"", "-1", "ALL", "1.5", "256", "1 "} {
		var r Replicas
		if err := r.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %d", text, r)
		}
	}
}

func TestWhatIsAskedOfRedisAndWhatItsAnswerMeans(t *testing.T) {
	wait := Acks{Replicas: 2, Timeout: 1500 * time.Millisecond}
	disk := Acks{Replicas: 1, Fsync: true, Timeout: time.Second}
	if got, want := wait.command(2), []any{"wait", 2, int64(1500)}; !cmp.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got, want := disk.command(1), []any{"waitaof", 1, 1, int64(1000)}; !cmp.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, tt := range []struct {
		acks  Acks
		reply any
		err   error
		good  bool
	}{
		{wait, int64(2), nil, true},
		{wait, int64(3), nil, true},
		{wait, int64(1), nil, false},
		{wait, nil, errors.New("connection lost"), false},
		{disk, []any{int64(1), int64(1)}, nil, true},
		{disk, []any{int64(0), int64(1)}, nil, false},
		{disk, []any{int64(1), int64(0)}, nil, false},
		{disk, []any{}, nil, false},
	} {
		short := tt.acks.judge(int(tt.acks.Replicas), tt.reply, tt.err)
		if (short == nil) != tt.good {
			t.Errorf("%+v: %v, %v is judged %v", tt.acks, tt.reply, tt.err, short)
		}
		if short != nil && OutcomeOf(short) != Unknown {
			t.Errorf("%v is taken for %v", short, OutcomeOf(short))
		}
	}
}
