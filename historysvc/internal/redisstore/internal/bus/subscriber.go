package bus

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/internal/backoff"
	"github.com/gotapi/gotapi-ws/wire/group"
)

const (
	// How many channels one command names.
	channelsPerCommand = 256
	// A connection that is quiet this long is pinged, and given up when it is quiet
	// for deadAfter.
	pingAfter = 500 * time.Millisecond
	deadAfter = 2 * time.Second
)

var errSilent = errors.New("no answer to a ping")

// subscriber is one subscription connection, reopened whenever it breaks. It
// uses go-redis's PubSub for the connection only: PubSub would resubscribe all
// channels in one command, and drop messages when its reader is slow.
type subscriber struct {
	bus      *Bus
	listener history.Listener
	// SUBSCRIBE or SSUBSCRIBE, which opens a connection.
	open func(context.Context, ...string) *redis.PubSub
	// SSUBSCRIBE, whose channels must be of one slot per command.
	sharded bool

	// Holds a token when there are changes.
	wake chan struct{}
	// Channels of commands on this connection that Redis has not confirmed.
	unconfirmed atomic.Int64

	mu sync.Mutex
	// The groups that belong here.
	groups map[group.Name]struct{}
	// What the connection does not know yet: true to subscribe.
	changes map[group.Name]bool
}

func newSubscriber(b *Bus, l history.Listener, open func(context.Context, ...string) *redis.PubSub) *subscriber {
	return &subscriber{
		bus: b, listener: l, open: open,
		wake:    make(chan struct{}, 1),
		groups:  make(map[group.Name]struct{}),
		changes: make(map[group.Name]bool),
	}
}

// change adds a group or takes it away.
func (s *subscriber) change(g group.Name, wanted bool) {
	s.mu.Lock()
	if wanted {
		s.groups[g] = struct{}{}
	} else {
		delete(s.groups, g)
	}
	s.changes[g] = wanted
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run keeps a connection until ctx ends.
func (s *subscriber) run(ctx context.Context) {
	failures := 0
	for {
		healthy, err := s.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if healthy {
			failures = 0
		}
		failures++
		s.bus.stats.resubscribed.Inc()
		if failures == 1 {
			s.bus.log.Warn("subscription connection lost, reconnecting", "error", err)
		}
		s.bus.mayHaveMoved()
		if backoff.Sleep(ctx, redisconn.Backoff.Delay(failures)) != nil {
			return
		}
	}
}

// session is the life of one connection. It reports whether Redis ever
// answered on it.
func (s *subscriber) session(ctx context.Context) (healthy bool, err error) {
	pubsub := s.open(ctx)
	s.resubscribe()
	s.unconfirmed.Store(0)
	r := receiver{subscriber: s, pubsub: pubsub, failed: make(chan error, 1)}
	r.touch()
	if err := s.flush(ctx, pubsub); err != nil {
		pubsub.Close()
		return false, err
	}
	var reading sync.WaitGroup
	reading.Go(func() { r.run(ctx) })
	err = s.write(ctx, pubsub, &r)
	pubsub.Close()
	reading.Wait()
	return r.answered.Load(), err
}

// resubscribe makes changes of all groups, for a new connection.
func (s *subscriber) resubscribe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.changes)
	for g := range s.groups {
		s.changes[g] = true
	}
}

// write sends changes, and pings a quiet connection.
func (s *subscriber) write(ctx context.Context, pubsub *redis.PubSub, r *receiver) error {
	tick := time.NewTicker(pingAfter)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-r.failed:
			return err
		case <-s.wake:
			if err := s.flush(ctx, pubsub); err != nil {
				return err
			}
		case <-tick.C:
			quiet := r.quiet()
			if quiet > deadAfter {
				return errSilent
			}
			if quiet < pingAfter {
				continue
			}
			if err := pubsub.Ping(ctx); err != nil {
				return err
			}
		}
	}
}

// flush sends the changes in commands of bounded size.
func (s *subscriber) flush(ctx context.Context, pubsub *redis.PubSub) error {
	var add, remove []group.Name
	s.mu.Lock()
	for g, wanted := range s.changes {
		if wanted {
			add = append(add, g)
		} else {
			remove = append(remove, g)
		}
	}
	clear(s.changes)
	s.mu.Unlock()

	subscribe, unsubscribe := pubsub.Subscribe, pubsub.Unsubscribe
	if s.sharded {
		subscribe, unsubscribe = pubsub.SSubscribe, pubsub.SUnsubscribe
	}
	for _, channels := range s.commands(remove) {
		s.unconfirmed.Add(int64(len(channels)))
		if err := unsubscribe(ctx, channels...); err != nil {
			return err
		}
	}
	for _, channels := range s.commands(add) {
		s.unconfirmed.Add(int64(len(channels)))
		if err := subscribe(ctx, channels...); err != nil {
			return err
		}
	}
	return nil
}

// commands divides groups into the channels of one command each.
func (s *subscriber) commands(groups []group.Name) [][]string {
	if s.sharded {
		slices.SortFunc(groups, func(a, b group.Name) int { return cmp.Compare(layout.Slot(a), layout.Slot(b)) })
	}
	var commands [][]string
	last := -1
	for _, g := range groups {
		here := 0
		if s.sharded {
			here = layout.Slot(g)
		}
		if n := len(commands); n == 0 || here != last || len(commands[n-1]) == channelsPerCommand {
			commands = append(commands, nil)
		}
		last = here
		n := len(commands) - 1
		k := layout.KeysOf(g)
		commands[n] = append(commands[n], k.Channel)
	}
	return commands
}

// receiver reads what comes over one connection.
type receiver struct {
	*subscriber
	pubsub *redis.PubSub
	// Takes the error that ended it.
	failed chan error
	// Unix nanoseconds of the last thing that came.
	last     atomic.Int64
	answered atomic.Bool
}

func (r *receiver) touch()               { r.last.Store(time.Now().UnixNano()) }
func (r *receiver) quiet() time.Duration { return time.Duration(time.Now().UnixNano() - r.last.Load()) }

func (r *receiver) run(ctx context.Context) {
	for {
		msg, err := r.pubsub.Receive(ctx)
		if n, ok := movedSlot(err); ok {
			r.bus.slotMoved(r.subscriber, n)
			continue
		}
		if err != nil && !r.refusesPing(err) {
			r.failed <- err
			return
		}
		r.touch()
		r.answered.Store(true)
		switch msg := msg.(type) {
		case *redis.Subscription:
			r.subscription(msg)
		case *redis.Message:
			if g, ok := layout.ChannelGroup(msg.Channel); ok {
				r.bus.received(r.subscriber, g, msg.Payload)
			}
		}
	}
}

// refusesPing reports whether err is the answer to a ping, which Redis refuses
// whenever it refuses writes: a sign of life like any other. Without unconfirmed
// channels it could answer nothing else.
func (r *receiver) refusesPing(err error) bool {
	var answer redis.Error
	return errors.As(err, &answer) && r.unconfirmed.Load() == 0
}

func (r *receiver) subscription(msg *redis.Subscription) {
	r.unconfirmed.Add(-1)
	g, ok := layout.ChannelGroup(msg.Channel)
	if !ok {
		return
	}
	switch msg.Kind {
	case "subscribe", "ssubscribe":
		r.bus.subscribed(r.subscriber, g)
	case "unsubscribe", "sunsubscribe":
		r.bus.unsubscribed(r.subscriber, g)
	}
}

// movedSlot reads the slot from the answer to an SSUBSCRIBE that belongs to
// another master: "MOVED 3999 127.0.0.1:6381".
func movedSlot(err error) (int, bool) {
	if _, ok := redis.IsMovedError(err); !ok {
		return 0, false
	}
	fields := strings.Fields(err.Error())
	if len(fields) < 2 {
		return 0, false
	}
	n, err := strconv.Atoi(fields[1])
	return n, err == nil
}
