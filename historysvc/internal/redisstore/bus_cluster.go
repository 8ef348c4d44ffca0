package redisstore

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// home is a subscriber of one master, with what ends it.
type home struct {
	*subscriber
	stop context.CancelFunc
}

// runCluster is bus.run for a Cluster: a connection per master that has groups.
func (b *bus) runCluster(ctx context.Context, l history.Listener) {
	var running sync.WaitGroup
	defer running.Wait()
	homes := make(map[*redis.Client]home)
	open := func(master *redis.Client) *subscriber {
		if h, ok := homes[master]; ok {
			return h.subscriber
		}
		s := newSubscriber(b, l, func(ctx context.Context) *redis.PubSub { return master.SSubscribe(ctx) })
		s.sharded = true
		mine, stop := context.WithCancel(ctx)
		homes[master] = home{s, stop}
		running.Go(func() {
			defer stop()
			s.run(mine)
		})
		return s
	}
	tick := time.NewTicker(rehomeEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if b.learn(ctx) {
			b.rehome(ctx, homes)
		}
		again := b.findHomes(ctx, open)
		b.closeEmpty(homes)
		var soon <-chan time.Time
		if again {
			soon = time.After(rehomeSoon)
		}
		select {
		case <-ctx.Done():
		case <-b.wake:
		case <-soon:
		case <-tick.C:
			b.disturbed()
		}
	}
}

// learn makes the client look at the Cluster again if groups may have moved,
// and gives it a moment to. It returns whether there was reason to.
func (b *bus) learn(ctx context.Context) bool {
	b.mu.Lock()
	moved := b.moved
	b.moved = false
	b.mu.Unlock()
	if moved {
		b.cluster.ReloadState(ctx)
		_ = pause(ctx, rehomeSoon) // the caller sees that ctx has ended
	}
	return moved
}

// masters finds the masters of groups; nil where none is known at the moment.
func (b *bus) masters(ctx context.Context, groups []group.Name) []*redis.Client {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	known := make(map[int]*redis.Client)
	masters := make([]*redis.Client, len(groups))
	for i, g := range groups {
		n := slot(g)
		master, ok := known[n]
		if !ok {
			var err error
			if master, err = b.cluster.MasterForKey(ctx, string(g)); err != nil {
				master = nil
			}
			known[n] = master
		}
		masters[i] = master
	}
	return masters
}

// rehome evicts the groups that are not on the connection of their master.
func (b *bus) rehome(ctx context.Context, homes map[*redis.Client]home) {
	b.mu.RLock()
	groups := make([]group.Name, 0, len(b.wanted))
	for g, s := range b.wanted {
		if s != nil {
			groups = append(groups, g)
		}
	}
	b.mu.RUnlock()
	masters := b.masters(ctx, groups)
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, g := range groups {
		if s := b.wanted[g]; s != nil && masters[i] != nil && homes[masters[i]].subscriber != s {
			b.evict(g)
		}
	}
}

// findHomes houses the homeless. It returns whether some are left.
func (b *bus) findHomes(ctx context.Context, open func(*redis.Client) *subscriber) bool {
	b.mu.RLock()
	groups := make([]group.Name, 0, len(b.homeless))
	for g := range b.homeless {
		groups = append(groups, g)
	}
	b.mu.RUnlock()
	if len(groups) == 0 {
		return false
	}
	masters := b.masters(ctx, groups)
	b.mu.Lock()
	defer b.mu.Unlock()
	left := false
	for i, g := range groups {
		if _, still := b.homeless[g]; !still {
			continue
		}
		if masters[i] == nil {
			left = true
			continue
		}
		b.house(g, open(masters[i]))
	}
	if left {
		b.moved = true
	}
	return left
}

// closeEmpty ends the connections that no group is on: a master that is gone,
// or one that has no groups of ours.
func (b *bus) closeEmpty(homes map[*redis.Client]home) {
	b.mu.RLock()
	used := make(map[*subscriber]struct{}, len(homes))
	for _, s := range b.wanted {
		used[s] = struct{}{}
	}
	b.mu.RUnlock()
	for master, h := range homes {
		if _, ok := used[h.subscriber]; !ok {
			h.stop()
			delete(homes, master)
		}
	}
}
