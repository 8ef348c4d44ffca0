// Package fairshare bounds a queue that many groups share, such that floods in some
// groups leave room for the others.
package fairshare

import "errors"

const (
	// One part in reserved of a queue is kept for groups that have little in it: less
	// than one item in little of what the queue holds, or than leastLittle. So floods
	// in up to little/reserved groups, 64, do not shut out the others; in a queue for
	// fewer than little*leastLittle items, floods in as many groups as its reserve has
	// leastLittle items.
	reserved = 8
	little   = 512
	// A group that sends one item after another may have two in the queue: the one
	// before can be acked a moment before it is taken out.
	leastLittle = 2
)

// GroupShare is the part of a queue of NewQueue that one group may fill: 1/4.
const GroupShare = 4

// Errors of Limits.Check.
var (
	ErrFull      = errors.New("too much is waiting")
	ErrGroupFull = errors.New("too much is waiting for this group")
)

// Load is how much waits.
type Load struct{ Items, Bytes int }

// Add counts an item of that many bytes.
func (l *Load) Add(bytes int) { l.Items, l.Bytes = l.Items+1, l.Bytes+bytes }

// Remove undoes Add.
func (l *Load) Remove(bytes int) { l.Items, l.Bytes = l.Items-1, l.Bytes-bytes }

// holds reports whether an item of that many bytes fits in when used is taken.
func (l Load) holds(used Load, bytes int) bool {
	return used.Items < l.Items && used.Bytes+bytes <= l.Bytes
}

// Limits bound a queue, as a whole and for each group.
type Limits struct{ Total, Group Load }

// Check returns why an item of that many bytes must be refused when total waits in
// the queue, group of it for the item's group.
func (l Limits) Check(total, group Load, bytes int) error {
	room := l.Total
	if group.Items >= max(leastLittle, room.Items/little) {
		room.Items -= room.Items / reserved
		room.Bytes -= room.Bytes / reserved
	}
	switch {
	case !room.holds(total, bytes):
		return ErrFull
	case !l.Group.holds(group, bytes):
		return ErrGroupFull
	}
	return nil
}

// Queue counts what waits in a queue within Limits. One with nothing but Limits is
// empty. The caller locks.
type Queue struct {
	Limits Limits
	Total  Load
	// Of groups that have something in the queue.
	Groups map[string]Load
}

// NewQueue returns a Queue for so much, of which one group may have a quarter.
func NewQueue(items, bytes int) Queue {
	return Queue{Limits: Limits{
		Total: Load{Items: items, Bytes: bytes},
		Group: Load{Items: max(1, items/GroupShare), Bytes: bytes / GroupShare},
	}}
}

// Check returns why an item of a group must be refused.
func (q *Queue) Check(group string, bytes int) error {
	return q.Limits.Check(q.Total, q.Groups[group], bytes)
}

// Add counts an item that Check has let in.
func (q *Queue) Add(group string, bytes int) {
	if q.Groups == nil {
		q.Groups = make(map[string]Load)
	}
	q.Total.Add(bytes)
	load := q.Groups[group]
	load.Add(bytes)
	q.Groups[group] = load
}

// Remove undoes Add.
func (q *Queue) Remove(group string, bytes int) {
	q.Total.Remove(bytes)
	load := q.Groups[group]
	if load.Remove(bytes); load.Items == 0 {
		delete(q.Groups, group)
		return
	}
	q.Groups[group] = load
}
