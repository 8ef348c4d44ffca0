package eventlog

import (
	"context"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/internal/metric"
	"github.com/gotapi/gotapi-ws/internal/semaphore"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// Reads of a list come in parts, so that an append waits for a part and never for a
// page. A part is one LRANGE: the same texts cost Redis eight times as much when they
// pass through a script.
const (
	// The most elements of one part.
	maxPart = 128
	// About how many bytes one part reads, once the size of the texts is known.
	partBytes = 128 << 10
	// Parts that Redis is asked for at once, and how many may wait, in total and of one
	// group. Groups take turns.
	parallelParts     = 4
	maxWaitingParts   = 4096
	maxWaitingOfGroup = 1024
)

// newReadSemaphores makes one for each lane: a master of a Cluster that is down
// stalls the reads of its own groups.
func newReadSemaphores(lanes int, reg prometheus.Registerer) []*semaphore.Fair {
	all := make([]*semaphore.Fair, lanes)
	for i := range all {
		all[i] = semaphore.New(parallelParts, maxWaitingParts, maxWaitingOfGroup, history.ErrBusy)
	}
	metric.In(reg).GaugeFunc("gotapi_history_reads_waiting", "Reads of a part of a group's list that wait for a free slot at Redis.", func() float64 {
		sum := 0
		for _, s := range all {
			sum += s.Waiting()
		}
		return float64(sum)
	})
	return all
}

// beginRead waits until a read of the group may begin. end must be called after it.
func (l *Log) beginRead(ctx context.Context, g group.Name) (end func(), err error) {
	s := l.reads[layout.Slot(g)*len(l.reads)/layout.Slots]
	if err := s.Acquire(ctx, string(g)); err != nil {
		return nil, err
	}
	return s.Release, nil
}

// executor is Exec or ExecAtomic of a connection.
type executor func(context.Context, func(redis.Pipeliner)) error

// elements are a few neighbours of a group's list.
type elements struct {
	texts []string
	// The entries of the texts in the list of links, "" for those without; nil unless they
	// are wanted.
	entries []string
}

// slice returns the elements from one index to before another.
func (e elements) slice(from, to int64) elements {
	e.texts = e.texts[from:to]
	if e.entries != nil {
		e.entries = e.entries[from:to]
	}
	return e
}

// reversed returns a copy in the other order.
func (e elements) reversed() elements {
	e.texts, e.entries = slices.Clone(e.texts), slices.Clone(e.entries)
	slices.Reverse(e.texts)
	slices.Reverse(e.entries)
	return e
}

// part is a few elements of a group's list, newest first.
type part struct {
	elements
	// The group's state, as it was at the latest before the elements were read. It is
	// theirs if all were read atomically.
	state state
}

// wanted says what is read beside texts.
type wanted struct {
	// The state as versions need it, and the entries of the texts.
	version, entries bool
}

// readPart reads the elements from one index to another, and the group's state. Entries
// are read by the same indexes: those must count from the newest.
func (l *Log) readPart(ctx context.Context, g group.Name, start, stop int64, w wanted, exec executor) (part, error) {
	end, err := l.beginRead(ctx, g)
	if err != nil {
		return part{}, err
	}
	defer end()
	k := layout.KeysOf(g)
	return redisconn.Retry(ctx, l.conn, func(ctx context.Context) (part, error) {
		var texts, entries *redis.StringSliceCmd
		var now stateCommands
		err := exec(ctx, func(pipe redis.Pipeliner) {
			now = queueState(ctx, pipe, &k, w.version)
			texts = pipe.LRange(ctx, k.List, start, stop)
			if w.entries {
				entries = pipe.LRange(ctx, k.Links, start, stop)
			}
		})
		if err != nil {
			return part{}, err
		}
		var found elements
		var textsErr, entriesErr error
		found.texts, textsErr = texts.Result()
		if entries != nil {
			found.entries, entriesErr = entries.Result()
			found.entries = aligned(found.entries, len(found.texts))
		}
		s, stateErr := now.state()
		if err := redisconn.FirstError(textsErr, entriesErr, stateErr); err != nil {
			return part{}, err
		}
		return part{found, s}, nil
	})
}

// aligned returns n entries: there may be more than texts, or fewer.
func aligned(entries []string, n int) []string {
	for len(entries) < n {
		entries = append(entries, "")
	}
	return entries[:n:n]
}

// direction is where a reader goes.
type direction int64

const (
	older direction = -1
	newer direction = 1
)

// reader reads messages by number, in parts.
type reader struct {
	log   *Log
	group group.Name
	// The number of the next message, and of the last one that is wanted.
	next, last int64
	dir        direction
	// The group's state at the last read, and how many messages had been stored since
	// the one before.
	seen  state
	moved int64
	// The last part came from a script, after seen.
	unseen bool
	// Entries are wanted, too.
	entries bool
	pace    pace
}

func (l *Log) newReader(g group.Name, seen *state, next, last int64, dir direction) *reader {
	return &reader{log: l, group: g, next: next, last: last, dir: dir, seen: *seen}
}

// more reports whether messages are left to read.
func (r *reader) more() bool { return (r.last-r.next)*int64(r.dir) >= 0 }

// read reads up to so many messages, in the direction of the reader. first is the number of
// the first of them. Without any, no more are retained.
func (r *reader) read(ctx context.Context, limit int) (first int64, found elements, err error) {
	if err := ctx.Err(); err != nil { // nobody waits for the rest
		return 0, elements{}, err
	}
	n := min(limit, r.pace.count(), int((r.last-r.next)*int64(r.dir))+1)
	first, found, ok, err := r.readPlain(ctx, n)
	switch {
	case redisconn.OutcomeOf(err) == redisconn.Refused: // memory is short: there are no transactions
	case err != nil:
		return 0, elements{}, err
	}
	if r.unseen = !ok; r.unseen {
		if first, found, err = r.readByScript(ctx, n); err != nil {
			return 0, elements{}, err
		}
	}
	r.pace.add(found.texts)
	r.next = first + int64(r.dir)*int64(len(found.texts))
	return first, found, nil
}

// readPlain reads n messages by their indexes. It returns false if the list has moved
// too far since the last read, or is not the same any more: only a script can tell.
func (r *reader) readPlain(ctx context.Context, n int) (first int64, found elements, ok bool, err error) {
	var low, high int64
	if r.dir == newer {
		low = max(r.next, r.seen.oldest())
		high = min(low+int64(n)-1, r.last, r.seen.head)
	} else {
		high = min(r.next, r.seen.head)
		low = max(high-int64(n)+1, r.last, r.seen.oldest())
	}
	if low > high {
		return r.next, elements{}, true, nil
	}
	start, stop := r.seen.head-high, r.seen.head-low
	if r.dir == newer {
		stop += min(2*r.moved, maxPart) // what is stored meanwhile moves low on
	}
	p, err := r.log.readPart(ctx, r.group, start, stop, wanted{entries: r.entries}, r.log.conn.ExecAtomic)
	if err != nil {
		return 0, elements{}, false, err
	}
	same := p.state.epoch == r.seen.epoch && p.state.head >= r.seen.head && p.state.oldest() >= r.seen.oldest()
	r.moved, r.seen = p.state.head-r.seen.head, p.state
	if !same {
		return 0, elements{}, false, nil
	}
	// The numbers of the texts, newest first, begin with this one.
	newest := p.state.head - start
	if low = max(low, p.state.oldest()); low > high { // trimmed meanwhile
		return r.next, elements{}, r.dir == older || low > r.last, nil
	}
	if low > newest || newest-int64(len(p.texts)) >= high {
		return 0, elements{}, false, nil
	}
	if r.dir == older {
		return high, p.slice(newest-high, int64(len(p.texts))), true, nil
	}
	if newest-low >= int64(len(p.texts)) {
		return 0, elements{}, false, nil
	}
	return low, p.slice(newest-high, newest-low+1).reversed(), true, nil
}

// pace sizes the parts of a read by the texts that came.
type pace struct{ items, bytes int }

func (p *pace) add(texts []string) {
	p.items += len(texts)
	for _, t := range texts {
		p.bytes += len(t)
	}
}

// count returns how many texts make the next part.
func (p *pace) count() int {
	if p.bytes == 0 {
		return maxPart
	}
	return max(1, min(maxPart, partBytes*p.items/p.bytes))
}

// readByScript reads up to n messages in one script.
func (r *reader) readByScript(ctx context.Context, n int) (first int64, found elements, err error) {
	end, err := r.log.beginRead(ctx, r.group)
	if err != nil {
		return 0, elements{}, err
	}
	defer end()
	k := layout.KeysOf(r.group)
	entries := 0
	if r.entries {
		entries = 1
	}
	reply, err := r.log.eval(ctx, r.group, r.log.readRange, []string{k.List, k.Meta, k.Links},
		r.seen.epoch, r.next, r.last, n, partBytes, entries)
	if err != nil {
		return 0, elements{}, err
	}
	first, found.texts, found.entries = reply.Int(), reply.Texts(), reply.Texts()
	if !r.entries {
		found.entries = nil
	}
	if reply.Err != nil {
		return 0, elements{}, fmt.Errorf("range: %w", reply.Err)
	}
	return first, found, nil
}
