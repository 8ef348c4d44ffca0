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

// part is a few elements of a group's list, newest first.
type part struct {
	texts []string
	// The group's state. It is that of texts if both were read atomically.
	state state
}

// readPart reads the elements from one index to another, and the group's state.
func (l *Log) readPart(ctx context.Context, g group.Name, start, stop int64, versioned bool, exec executor) (part, error) {
	end, err := l.beginRead(ctx, g)
	if err != nil {
		return part{}, err
	}
	defer end()
	k := layout.KeysOf(g)
	return redisconn.Retry(ctx, l.conn, func(ctx context.Context) (part, error) {
		var texts *redis.StringSliceCmd
		var now stateCommands
		err := exec(ctx, func(pipe redis.Pipeliner) {
			texts = pipe.LRange(ctx, k.List, start, stop)
			now = queueState(ctx, pipe, &k, versioned)
		})
		if err != nil {
			return part{}, err
		}
		found, textsErr := texts.Result()
		s, stateErr := now.state()
		if err := redisconn.FirstError(textsErr, stateErr); err != nil {
			return part{}, err
		}
		return part{found, s}, nil
	})
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
	pace   pace
}

func (l *Log) newReader(g group.Name, seen *state, next, last int64, dir direction) *reader {
	return &reader{log: l, group: g, next: next, last: last, dir: dir, seen: *seen}
}

// more reports whether messages are left to read.
func (r *reader) more() bool { return (r.last-r.next)*int64(r.dir) >= 0 }

// read reads up to so many messages, in the direction of the reader. first is the number of
// the first of them. Without any, no more are retained.
func (r *reader) read(ctx context.Context, limit int) (first int64, texts []string, err error) {
	if err := ctx.Err(); err != nil { // nobody waits for the rest
		return 0, nil, err
	}
	n := min(limit, r.pace.count(), int((r.last-r.next)*int64(r.dir))+1)
	first, texts, ok, err := r.readPlain(ctx, n)
	switch {
	case redisconn.OutcomeOf(err) == redisconn.Refused: // memory is short: there are no transactions
	case err != nil:
		return 0, nil, err
	}
	if r.unseen = !ok; r.unseen {
		if first, texts, err = r.log.messages(ctx, r.group, r.seen.epoch, r.next, r.last, n, partBytes); err != nil {
			return 0, nil, err
		}
	}
	r.pace.add(texts)
	r.next = first + int64(r.dir)*int64(len(texts))
	return first, texts, nil
}

// readPlain reads n messages by their indexes. It returns false if the list has moved
// too far since the last read, or is not the same any more: only a script can tell.
func (r *reader) readPlain(ctx context.Context, n int) (first int64, texts []string, ok bool, err error) {
	var low, high int64
	if r.dir == newer {
		low = max(r.next, r.seen.oldest())
		high = min(low+int64(n)-1, r.last, r.seen.head)
	} else {
		high = min(r.next, r.seen.head)
		low = max(high-int64(n)+1, r.last, r.seen.oldest())
	}
	if low > high {
		return r.next, nil, true, nil
	}
	start, stop := r.seen.head-high, r.seen.head-low
	if r.dir == newer {
		stop += min(2*r.moved, maxPart) // what is stored meanwhile moves low on
	}
	p, err := r.log.readPart(ctx, r.group, start, stop, false, r.log.conn.ExecAtomic)
	if err != nil {
		return 0, nil, false, err
	}
	same := p.state.epoch == r.seen.epoch && p.state.head >= r.seen.head && p.state.oldest() >= r.seen.oldest()
	r.moved, r.seen = p.state.head-r.seen.head, p.state
	if !same {
		return 0, nil, false, nil
	}
	// The numbers of the texts, newest first, begin with this one.
	newest := p.state.head - start
	if low = max(low, p.state.oldest()); low > high { // trimmed meanwhile
		return r.next, nil, r.dir == older || low > r.last, nil
	}
	if low > newest || newest-int64(len(p.texts)) >= high {
		return 0, nil, false, nil
	}
	if r.dir == older {
		return high, p.texts[newest-high:], true, nil
	}
	if newest-low >= int64(len(p.texts)) {
		return 0, nil, false, nil
	}
	texts = slices.Clone(p.texts[newest-high : newest-low+1])
	slices.Reverse(texts)
	return low, texts, true, nil
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

// messages reads messages by number in one script, from one towards another, which
// may be the smaller. first is the number of the first of them.
func (l *Log) messages(ctx context.Context, g group.Name, epoch string, from, to int64, count, bytes int) (first int64, texts []string, err error) {
	end, err := l.beginRead(ctx, g)
	if err != nil {
		return 0, nil, err
	}
	defer end()
	k := layout.KeysOf(g)
	r, err := l.eval(ctx, g, l.readRange, []string{k.List, k.Meta}, epoch, from, to, count, bytes)
	if err != nil {
		return 0, nil, err
	}
	first, texts = r.Int(), r.Rest()
	if r.Err != nil {
		return 0, nil, fmt.Errorf("range: %w", r.Err)
	}
	return first, texts, nil
}
