package limit

import (
	"slices"
	"sync"
)

// userConnections bounds the connections of each user: the oldest gives way. The user ""
// is nobody and not bounded, and with the bound 0 none is.
type userConnections struct {
	most int

	mu sync.Mutex
	// The oldest first.
	open map[string][]userConnection
}

type userConnection struct {
	*Connection
	giveWay func()
}

func newUserConnections(most int) *userConnections {
	return &userConnections{most: most, open: make(map[string][]userConnection)}
}

// add adds a connection, and reports whether another one had to give way.
func (u *userConnections) add(c *Connection, giveWay func()) bool {
	if u.most == 0 || c.user == "" {
		return false
	}
	u.mu.Lock()
	all := append(u.open[c.user], userConnection{c, giveWay})
	oldest, full := all[0], len(all) > u.most
	if full {
		all = slices.Delete(all, 0, 1)
	}
	u.open[c.user] = all
	u.mu.Unlock()
	if full {
		oldest.giveWay()
	}
	return full
}

// remove removes a connection, unless it gave way or was never added.
func (u *userConnections) remove(c *Connection) {
	if u.most == 0 || c.user == "" {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	left := slices.DeleteFunc(u.open[c.user], func(o userConnection) bool { return o.Connection == c })
	if u.open[c.user] = left; len(left) == 0 {
		delete(u.open, c.user)
	}
}
