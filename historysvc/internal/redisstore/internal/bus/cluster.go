package bus

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/internal/backoff"
	"github.com/gotapi/gotapi-ws/wire/group"
)

const (
	// How often the bus looks where its groups are, unasked.
	reassignEvery = 5 * time.Second
	// How long the client gets to learn of a change, when it has reason to.
	learnTime = 200 * time.Millisecond
)

// cluster runs a Bus in a Redis Cluster: a connection per master that has groups.
type cluster struct {
	*Bus
	client   *redis.ClusterClient
	listener history.Listener
	// The connections that run.
	masters map[*redis.Client]masterConn
	running sync.WaitGroup
}

// masterConn is the subscriber of one master, with what ends it.
type masterConn struct {
	*subscriber
	stop context.CancelFunc
}

func newCluster(b *Bus, client *redis.ClusterClient, l history.Listener) *cluster {
	return &cluster{Bus: b, client: client, listener: l, masters: make(map[*redis.Client]masterConn)}
}

func (c *cluster) run(ctx context.Context) {
	defer c.running.Wait()
	tick := time.NewTicker(reassignEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if c.learn(ctx) {
			c.unassignMoved(ctx)
		}
		again := c.assignAll(ctx)
		c.closeUnused()
		var soon <-chan time.Time
		if again {
			soon = time.After(learnTime)
		}
		select {
		case <-ctx.Done():
		case <-c.wake:
		case <-soon:
		case <-tick.C:
			c.mayHaveMoved()
		}
	}
}

// learn makes the client look at the Cluster again if groups may have moved,
// and gives it a moment to. It returns whether there was reason to.
func (c *cluster) learn(ctx context.Context) bool {
	c.mu.Lock()
	moved := c.moved
	c.moved = false
	c.mu.Unlock()
	if moved {
		c.client.ReloadState(ctx)
		_ = backoff.Sleep(ctx, learnTime) // the caller sees that ctx has ended
	}
	return moved
}

// mastersOf finds the masters of groups; nil where none is known at the moment.
func (c *cluster) mastersOf(ctx context.Context, groups []group.Name) []*redis.Client {
	ctx, cancel := redisconn.Bound(ctx, redisconn.CallTimeout)
	defer cancel()
	known := make(map[int]*redis.Client)
	masters := make([]*redis.Client, len(groups))
	for i, g := range groups {
		slot := layout.Slot(g)
		master, ok := known[slot]
		if !ok {
			var err error
			if master, err = c.client.MasterForKey(ctx, string(g)); err != nil {
				master = nil
			}
			known[slot] = master
		}
		masters[i] = master
	}
	return masters
}

// unassignMoved unassigns the groups that are not on the connection of their master.
func (c *cluster) unassignMoved(ctx context.Context) {
	c.mu.RLock()
	groups := make([]group.Name, 0, len(c.groups))
	for g, s := range c.groups {
		if s != nil {
			groups = append(groups, g)
		}
	}
	c.mu.RUnlock()
	masters := c.mastersOf(ctx, groups)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, g := range groups {
		if s := c.groups[g]; s != nil && masters[i] != nil && c.masters[masters[i]].subscriber != s {
			c.unassign(g)
		}
	}
}

// assignAll assigns the groups without a connection. It reports whether some are
// left.
func (c *cluster) assignAll(ctx context.Context) bool {
	c.mu.RLock()
	groups := make([]group.Name, 0, len(c.unassigned))
	for g := range c.unassigned {
		groups = append(groups, g)
	}
	c.mu.RUnlock()
	if len(groups) == 0 {
		return false
	}
	masters := c.mastersOf(ctx, groups)
	c.mu.Lock()
	defer c.mu.Unlock()
	left := false
	for i, g := range groups {
		if _, still := c.unassigned[g]; !still {
			continue
		}
		if masters[i] == nil {
			left = true
			continue
		}
		c.assign(g, c.connTo(ctx, masters[i]))
	}
	if left {
		c.moved = true
	}
	return left
}

// connTo returns the connection to a master, a new one if there is none.
func (c *cluster) connTo(ctx context.Context, master *redis.Client) *subscriber {
	if m, ok := c.masters[master]; ok {
		return m.subscriber
	}
	s := newSubscriber(c.Bus, c.listener, master.SSubscribe)
	s.sharded = true
	ctx, stop := context.WithCancel(ctx)
	c.masters[master] = masterConn{s, stop}
	c.running.Go(func() {
		defer stop()
		s.run(ctx)
	})
	return s
}

// closeUnused ends the connections without groups: to masters that are gone, or
// that have no groups of ours.
func (c *cluster) closeUnused() {
	c.mu.RLock()
	used := make(map[*subscriber]struct{}, len(c.masters))
	for _, s := range c.groups {
		used[s] = struct{}{}
	}
	c.mu.RUnlock()
	for master, m := range c.masters {
		if _, ok := used[m.subscriber]; !ok {
			m.stop()
			delete(c.masters, master)
		}
	}
}
