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
	if r.followed--; r.followed <= 0 {
		r.unfollow()
	}
}

// unfollow ends a room that has no members. The caller holds the lock.
func (r *Room) unfollow() {
	r.followed = 0
	r.registry.mu.Lock()
	delete(r.registry.followed, r)
	r.registry.mu.Unlock()
	if len(r.members) == 0 && !r.dead {
		r.die()
	}
}

// makeRoom gives up a group that is followed without members. It returns false if
// there is none.
func (g *Registry) makeRoom() bool {
	g.mu.Lock()
	var idle *Room
	for r := range g.followed {
		if r.size.Load() == 0 {
			idle = r
			break
		}
	}
	g.mu.Unlock()
	if idle == nil {
		return false
	}
	idle.mu.Lock()
	defer idle.mu.Unlock()
	if len(idle.members) == 0 {
		idle.unfollow()
	}
	return true
}
