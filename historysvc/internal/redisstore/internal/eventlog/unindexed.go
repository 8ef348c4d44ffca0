package eventlog

import (
	"container/list"
	"context"
	"encoding/binary"
	"slices"
	"sync"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// maxUnindexed is how many uuids of messages that the index in Redis does not know
// are remembered, over all groups. They take about 40 MB.
const maxUnindexed = 1 << 20

// unindexed remembers the uuids of lists that are older than the index. The first look-up in
// a group reads its whole list; later ones read nothing. It forgets the least recently used
// groups first.
type unindexed struct {
	limit int

	mu     sync.Mutex
	groups map[group.Name]*list.Element // of *oldMessages
	// The front was used last.
	order list.List
	count int
}

func newUnindexed(limit int) *unindexed {
	return &unindexed{limit: limit, groups: make(map[group.Name]*list.Element)}
}

// oldMessages are the messages of one group that the index does not know.
type oldMessages struct {
	group group.Name
	// Guarded by unindexed.mu.
	count int

	// Holds a token of the goroutine that uses what follows.
	use chan struct{}
	// The range of numbers, of that epoch, that has been read.
	epoch    string
	from, to int64
	// By a part of the uuid's digest.
	places map[uint64]int64
	// Further messages with the same uuid.
	doubles map[uint64][]int64
}

// of returns the remembered messages of a group.
func (u *unindexed) of(g group.Name) *oldMessages {
	u.mu.Lock()
	defer u.mu.Unlock()
	if at, ok := u.groups[g]; ok {
		u.order.MoveToFront(at)
		return at.Value.(*oldMessages)
	}
	o := &oldMessages{group: g, use: make(chan struct{}, 1)}
	u.groups[g] = u.order.PushFront(o)
	return o
}

// resize notes how many messages o has now, and forgets other groups beyond the limit. It
// returns false if o alone is beyond it; then o is forgotten.
func (u *unindexed) resize(o *oldMessages, count int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	at, ok := u.groups[o.group]
	if !ok || at.Value.(*oldMessages) != o {
		return count <= u.limit // forgotten meanwhile, but still in use
	}
	u.count += count - o.count
	o.count = count
	for u.count > u.limit {
		last := u.order.Back()
		if last == at && count <= u.limit {
			u.order.MoveToFront(at)
			continue
		}
		gone := u.order.Remove(last).(*oldMessages)
		delete(u.groups, gone.group)
		u.count -= gone.count
	}
	return count <= u.limit
}

func placeKey(uuid string) uint64 {
	d := layout.UUIDDigest(uuid)
	return binary.BigEndian.Uint64(d[:8])
}

func (o *oldMessages) reset(found *lookup) {
	o.epoch, o.from, o.to = found.epoch, found.oldest, found.oldest-1
	o.places, o.doubles = make(map[uint64]int64), nil
}

func (o *oldMessages) add(seq int64, uuid string) {
	k := placeKey(uuid)
	if _, ok := o.places[k]; !ok {
		o.places[k] = seq
		return
	}
	if o.doubles == nil {
		o.doubles = make(map[uint64][]int64)
	}
	o.doubles[k] = append(o.doubles[k], seq)
}

// of returns the numbers of the messages that may have the uuid, oldest first.
func (o *oldMessages) of(uuid string) []int64 {
	k := placeKey(uuid)
	first, ok := o.places[k]
	if !ok {
		return nil
	}
	return append([]int64{first}, o.doubles[k]...)
}

// searchOld looks for a uuid in the messages up to a number, which the index may not
// know, oldest first.
func (l *Log) searchOld(ctx context.Context, g group.Name, found *lookup, to int64, uuid string) ([]occurrence, error) {
	if found.oldest > to {
		return nil, nil
	}
	o := l.old.of(g)
	select {
	case o.use <- struct{}{}:
		defer func() { <-o.use }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		// Others that push to the list give messages other numbers.
		fresh := o.epoch != found.epoch || found.oldest < o.from
		if fresh {
			o.reset(found)
		}
		if ok, err := l.learn(ctx, o, found, to); err != nil {
			return nil, err
		} else if !ok {
			o.epoch, o.places, o.doubles = "", nil, nil
			return l.search(ctx, found.newReader(l, g, found.oldest, to, newer), uuid)
		}
		all, ok, err := l.look(ctx, o, found, to, uuid)
		if err != nil || ok || fresh {
			return all, err
		}
		o.epoch = "" // the list has changed: look at all of it again
	}
}

// learn looks at the messages up to a number that have not been looked at. What a call
// that is given up has read is kept. It returns false if there are too many.
func (l *Log) learn(ctx context.Context, o *oldMessages, found *lookup, to int64) (bool, error) {
	r := found.newReader(l, o.group, max(o.to+1, found.oldest), to, newer)
	for r.more() {
		first, part, err := r.read(ctx, history.MaxPageSize)
		if err != nil {
			return false, err
		}
		if len(part.texts) == 0 {
			break
		}
		for i, text := range part.texts {
			if uuid := layout.UUIDOf(text); uuid != "" {
				o.add(first+int64(i), uuid)
			}
		}
		o.to = first + int64(len(part.texts)) - 1
		if !l.old.resize(o, int(o.to-o.from)+1) {
			return false, nil
		}
	}
	return true, nil
}

// look reads the messages that may have the uuid. It returns false if one of them is
// not what it was.
func (l *Log) look(ctx context.Context, o *oldMessages, found *lookup, to int64, uuid string) (all []occurrence, ok bool, err error) {
	for _, seq := range o.of(uuid) {
		if seq < found.oldest || seq > to {
			continue
		}
		first, part, err := found.newReader(l, o.group, seq, seq, newer).read(ctx, 1)
		if err != nil {
			return nil, false, err
		}
		if len(part.texts) == 0 {
			continue // trimmed meanwhile
		}
		m, ok := match(first, part.texts[0], uuid)
		if !ok || first != seq {
			return all, false, nil
		}
		all = append(all, m)
	}
	return slices.Clip(all), true, nil
}
