package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history/historytest"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// node is one master of a cluster under test.
type node struct {
	*redistest.Server
	client *redis.Client
	id     string
}

func nodesOf(t *testing.T, c *redistest.Cluster) []node {
	t.Helper()
	var nodes []node
	for _, s := range c.Nodes {
		client := redis.NewClient(&redis.Options{Addr: s.Addr})
		t.Cleanup(func() { client.Close() })
		id, err := client.Do(t.Context(), "cluster", "myid").Text()
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, node{s, client, id})
	}
	return nodes
}

// owner is the index of the node that a group is on.
func owner(t *testing.T, s *Store, nodes []node, g group.Name) int {
	t.Helper()
	cluster, _ := s.conn.Client().(*redis.ClusterClient)
	master, err := cluster.MasterForKey(t.Context(), string(g))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(nodes, func(n node) bool { return n.Addr == master.Options().Addr })
	if i < 0 {
		t.Fatalf("no node at %s", master.Options().Addr)
	}
	return i
}

// ask runs a command on a node.
func (n node) ask(t *testing.T, args ...any) any {
	t.Helper()
	v, err := n.client.Do(context.Background(), args...).Result()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return v
}

// moveSlot moves a slot with its keys, as redis-cli does.
func moveSlot(t *testing.T, nodes []node, from, to, n int) {
	t.Helper()
	nodes[to].ask(t, "cluster", "setslot", n, "importing", nodes[from].id)
	nodes[from].ask(t, "cluster", "setslot", n, "migrating", nodes[to].id)
	host, port, _ := net.SplitHostPort(nodes[to].Addr)
	for {
		keys, _ := nodes[from].ask(t, "cluster", "getkeysinslot", n, 2).([]any)
		if len(keys) == 0 {
			break
		}
		nodes[from].ask(t, append([]any{"migrate", host, port, "", 0, 5000, "keys"}, keys...)...)
	}
	for _, i := range []int{to, from, 3 - to - from} {
		nodes[i].ask(t, "cluster", "setslot", n, "node", nodes[to].id)
	}
}

func TestASlotMovesWhileItsGroupIsBusy(t *testing.T) {
	t.Parallel()
	nodes := nodesOf(t, redistest.StartCluster(t))
	c := redistest.Cluster{}
	for _, n := range nodes {
		c.Nodes = append(c.Nodes, n.Server)
	}
	l := &hearing{subscribed: make(chan group.Name, 1000), events: make(chan stream.Event, 1<<20)}
	s := open(t, Options{Connection: Connection{URL: c.URL()}, History: History{Cap: 1 << 20}}, l)
	g, other := room(t), room(t)+"/other"
	s.Subscribe(g, other)
	wait(t, l.subscribed)
	wait(t, l.subscribed)
	load := startLoad(s, g, other)
	eventually(t, "appends succeed", func() bool { return load.count(g) > 20 })
	for range 2 {
		from := owner(t, s, nodes, g)
		to := (from + 1) % 3
		moveSlot(t, nodes, from, to, layout.Slot(g))
		before := load.count(g)
		eventually(t, "appends go to the new master", func() bool { return load.count(g) > before+20 })
		for again := false; !again; {
			again = wait(t, l.subscribed) == g
		}
		if owner(t, s, nodes, g) != to {
			t.Error("the slot is still where it was")
		}
	}
	load.end()
	load.check(t, s, g)
	load.check(t, s, other)
	if n := load.refused(other); n > 0 && layout.Slot(g) != layout.Slot(other) {
		t.Errorf("%d messages of a group that did not move were refused", n)
	}
	for len(l.events) > 0 {
		<-l.events
	}
	must(t, s, g, "at last")
	if e := wait(t, l.events); string(e.Payload) != dataPacket("at last") {
		t.Errorf("heard %+v", e)
	}
}

func TestADeadMasterStallsOnlyItsOwnGroups(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	nodes := nodesOf(t, c)
	l := &hearing{subscribed: make(chan group.Name, 1000), events: make(chan stream.Event, 1<<20)}
	s := open(t, Options{Connection: Connection{URL: c.URL()}, History: History{Cap: 1 << 20}}, l)
	// One group in the middle of each master's layout.Slots.
	groups := make([]group.Name, 3)
	for i, found := 0, 0; found < 3; i++ {
		g := room(t) + group.Name(fmt.Sprint("/", i))
		n := layout.Slot(g) * 6 / layout.Slots
		if at := n / 2; groups[at] == "" && layout.Slot(g)%(layout.Slots/3) > 2000 && layout.Slot(g)%(layout.Slots/3) < 3500 {
			groups[at] = g
			found++
		}
	}
	s.Subscribe(groups...)
	for range groups {
		wait(t, l.subscribed)
	}
	must(t, s, groups[0], "first")
	dead := owner(t, s, nodes, groups[0])
	nodes[dead].Kill()
	load := startLoad(s, groups[1], groups[2])
	refused := make(chan history.Receipt, 1)
	s.Submit(&history.Publication{
		Group: groups[0], Kind: stream.Message, UUID: "second", Payload: []byte(dataPacket("second")),
		Deadline: time.Now().Add(2 * time.Second), From: historytest.Receipts(refused),
	})
	if r := wait(t, refused); !errors.Is(r.Err, history.ErrUnavailable) && !errors.Is(r.Err, history.ErrUnknown) {
		t.Errorf("append to a dead master: %+v", r)
	}
	for i, h := range s.Heads(t.Context(), groups) {
		if failed := h.Err != nil; failed != (i == 0) || !failed && h.Position.Seq == 0 {
			t.Errorf("head of the group on master %d: %+v", i, h)
		}
	}
	load.end()
	for _, g := range groups[1:] {
		if ok, bad := load.count(g), load.refused(g); ok < 100 || bad > 0 {
			t.Errorf("on a master that lives: %d stored, %d refused", ok, bad)
		}
		load.check(t, s, g)
	}
	for len(l.events) > 0 {
		<-l.events
	}
	if err := nodes[dead].Restart(); err != nil {
		t.Fatal(err)
	}
	for again := false; !again; {
		again = wait(t, l.subscribed) == groups[0]
	}
	eventually(t, "appends succeed again", func() bool {
		r := submit(t, s, groups[0], "third", dataPacket("third"))
		return r.Err == nil
	})
	if e := wait(t, l.events); string(e.Payload) != dataPacket("third") {
		t.Errorf("heard %+v", e)
	}
}

func TestABusThatHangsIsMadeAnew(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	nodes := nodesOf(t, c)
	l := &hearing{subscribed: make(chan group.Name, 1000), events: make(chan stream.Event, 1000)}
	s := open(t, Options{Connection: Connection{URL: c.URL()}}, l)
	g := room(t)
	s.Subscribe(g)
	wait(t, l.subscribed)
	i := owner(t, s, nodes, g)
	if err := nodes[i].Pause(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the silent subscription is given up", func() bool { return metric(t, s, "gotapi_history_bus_reconnects_total") > 0 })
	if err := nodes[i].Resume(); err != nil {
		t.Fatal(err)
	}
	wait(t, l.subscribed)
	must(t, s, g, "u")
	if e := wait(t, l.events); string(e.Payload) != dataPacket("u") {
		t.Errorf("heard %+v", e)
	}
}

func TestManyGroupsAreSubscribedAndUnsubscribedInBulk(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			const n = 3000
			l := &hearing{subscribed: make(chan group.Name, 2*n), events: make(chan stream.Event, n)}
			s, g := on(t, b, Options{}, l), room(t)
			groups := make([]group.Name, n)
			for i := range groups {
				groups[i] = g + group.Name(fmt.Sprint("/", i))
			}
			s.Subscribe(groups...)
			seen := make(map[group.Name]bool)
			for range groups {
				seen[wait(t, l.subscribed)] = true
			}
			if len(seen) != n {
				t.Fatalf("%d groups are subscribed", len(seen))
			}
			s.Unsubscribe(groups[1:]...)
			must(t, s, groups[1], "silent")
			must(t, s, groups[0], "heard")
			if e := wait(t, l.events); string(e.Payload) != dataPacket("heard") {
				t.Errorf("heard %+v", e)
			}
		})
	}
}

func TestSlotsAreThoseOfRedis(t *testing.T) {
	c := redistest.SharedCluster(t)
	s := open(t, Options{Connection: Connection{URL: c.URL()}}, nil)
	if n := layout.Slot("123456789"); n != 12739 { // the check value of the specification
		t.Errorf("slot %d", n)
	}
	for _, g := range []group.Name{"/", "/room/1", "/room/1/", "/комната", "/" + group.Name(strings.Repeat("x", 511))} {
		want, err := s.conn.Client().ClusterKeySlot(t.Context(), layout.KeysOf(g).Channel).Result()
		if err != nil || int64(layout.Slot(g)) != want {
			t.Errorf("%s: slot %d, want %d, %v", g, layout.Slot(g), want, err)
		}
	}
}
