package room

import (
	"maps"
	"slices"
)

// followSeconds is for how long a group is followed after its last member.
const followSeconds = 30

// follow has a room outlive its last member for a while.
func (g *Registry) follow(r *Room) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dead {
		return
	}
	r.followed = followSeconds
	g.mu.Lock()
	defer g.mu.Unlock()
	g.followed[r] = struct{}{}
}

// stopFollowing is called once a second.
func (g *Registry) stopFollowing() {
	g.mu.Lock()
	rooms := slices.Collect(maps.Keys(g.followed))
	g.mu.Unlock()
	for _, r := range rooms {
		r.followLess()
	}
}

func (r *Room) followLess() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dead {
		return
	}
	if r.followed--; r.followed > 0 {
		return
	}
	r.registry.unfollow(r)
	if len(r.members) == 0 {
		r.die()
	}
}

func (g *Registry) unfollow(r *Room) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.followed, r)
}
