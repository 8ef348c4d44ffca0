package pages

import (
	"container/list"
	"sync"
)

// key is everything that a page depends on beside the group's history.
type key struct {
	group          string
	position, size int32
	before, after  string
	meta           bool
}

// Page is a page of history as it is sent. It does not change.
type Page struct {
	// Encoded. nil if the client said that it has this version, and is right.
	Body []byte
	// Changes whenever the page does: letters, digits, - and _. "": not known.
	Version string
}

const (
	// What an entry takes beside its texts, bytes: structures, and its place in the map.
	entryBytes = 400
	// One entry takes at most this part of the budget.
	entryShare = 8
)

// cache is a least-recently-used cache that is bounded in bytes.
type cache struct {
	budget int

	mu      sync.Mutex
	entries map[key]*list.Element // of *entry
	// The front was used last.
	order list.List
	bytes int
}

// entry is a page in the cache. The lock of the cache guards what follows the page.
type entry struct {
	key  key
	page Page
	// How often in a row it turned out to have changed.
	stale int
}

func (e *entry) size() int {
	return entryBytes + len(e.key.group) + len(e.key.before) + len(e.key.after) + len(e.page.Version) + cap(e.page.Body)
}

func newCache(budget int) *cache {
	return &cache{budget: budget, entries: make(map[key]*list.Element)}
}

// get returns the page that is kept, and how often in a row it had changed when it
// was asked for; -1 if none is kept.
func (c *cache) get(k key) (p Page, stale int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.entries[k]
	if !ok {
		return Page{}, -1, false
	}
	c.order.MoveToFront(at)
	e := at.Value.(*entry)
	return e.page, e.stale, true
}

// put replaces the page of k. It keeps no page that takes more than its share.
func (c *cache) put(k key, p Page, stale int) {
	e := &entry{key: k, page: p, stale: stale}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, ok := c.entries[k]; ok {
		c.remove(at)
	}
	if e.size() > c.budget/entryShare {
		return
	}
	c.entries[k] = c.order.PushFront(e)
	c.bytes += e.size()
	for c.bytes > c.budget {
		c.remove(c.order.Back())
	}
}

// confirm notes that the page of that version has not changed.
func (c *cache) confirm(k key, version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, ok := c.entries[k]; ok {
		if e := at.Value.(*entry); e.page.Version == version {
			e.stale = 0
		}
	}
}

// remove needs the lock.
func (c *cache) remove(at *list.Element) {
	e := c.order.Remove(at).(*entry)
	delete(c.entries, e.key)
	c.bytes -= e.size()
}

// used returns how many bytes the entries take.
func (c *cache) used() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}
