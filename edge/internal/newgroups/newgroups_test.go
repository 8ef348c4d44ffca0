package newgroups

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// store has groups, and is the relay as well.
type store struct {
	messages map[group.Name]uint64
	// What has no result yet, while hold is set.
	hold bool
	held []*relay.Publication
	// The result instead of storing; its Outcome is 0: it stores.
	result relay.Result
	asked  int
	err    error
}

func (s *store) Exists(_ context.Context, g group.Name) (bool, error) {
	s.asked++
	return s.messages[g] > 0, s.err
}

func (s *store) Publish(batch ...*relay.Publication) {
	for _, p := range batch {
		if s.hold {
			s.held = append(s.held, p)
			continue
		}
		s.end(p)
	}
}

func (s *store) end(p *relay.Publication) {
	switch {
	case s.result.Outcome != 0:
		p.End(s.result)
	case p.Kind != stream.Message:
		p.End(relay.Result{Outcome: relay.Accepted})
	default:
		s.messages[p.Group]++
		p.End(relay.Result{Outcome: relay.Accepted, Seq: s.messages[p.Group]})
	}
}

func (s *store) endHeld() {
	s.hold = false
	for _, p := range s.held {
		s.end(p)
	}
	s.held = nil
}

// rig lets each client make two groups per minute.
type rig struct {
	*store
	publisher *Publisher
	// Codes of the results, in order.
	codes []int
	again time.Duration
}

func (r *rig) Result(_ *relay.Publication, res relay.Result) {
	r.codes = append(r.codes, res.Outcome.Code())
	r.again = res.Again
}

func newRig() *rig {
	s := &store{messages: make(map[group.Name]uint64)}
	limits := limit.New(limit.Settings{NewGroups: 2}, nil, prometheus.NewRegistry())
	return &rig{store: s, publisher: New(s, limits.NewGroups(), s)}
}

func (r *rig) publish(client string, groups ...group.Name) {
	for _, g := range groups {
		r.publisher.Publish(&relay.Publication{Group: g, Client: client, Kind: stream.Message, From: r})
	}
}

func (r *rig) want(t *testing.T, what string, codes ...int) {
	t.Helper()
	if diff := cmp.Diff(codes, r.codes); diff != "" {
		t.Errorf("%s: -want +got:\n%s", what, diff)
	}
	r.codes = nil
}

const (
	ok      = http.StatusOK
	tooMuch = http.StatusTooManyRequests
)

func TestNewGroupsOfEachClientAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.publish("alice", "/1", "/2", "/3", "/2", "/1")
		r.want(t, "three groups", ok, ok, tooMuch, ok, ok)
		r.publish("alice", "/3")
		if r.want(t, "again", tooMuch); r.again != 30*time.Second {
			t.Errorf("come again in %v, want 30s", r.again)
		}
		r.publish("bob", "/3")
		r.publish("alice", "/3")
		r.want(t, "another one makes it", ok, ok)
		r.publish("", "/4", "/5", "/6")
		r.want(t, "nobody in particular", ok, ok, ok)
		time.Sleep(30 * time.Second)
		r.publish("alice", "/7", "/8")
		r.want(t, "later", ok, tooMuch)
	})
}

func TestGroupsThatExistCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		for _, g := range []group.Name{"/1", "/2", "/3", "/4"} {
			r.messages[g] = 1
		}
		r.publish("alice", "/1", "/2", "/3", "/4", "/new", "/new-2", "/1")
		r.want(t, "old ones first", ok, ok, ok, ok, ok, ok, ok)
		r.messages["/5"] = 1
		r.publish("alice", "/5", "/new-3")
		r.want(t, "one that is not known here", ok, tooMuch)
		if r.asked != 2 {
			t.Errorf("the store was asked %d times, want 2", r.asked)
		}
	})
}

func TestWhatIsUnderWayMakesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.hold = true
		r.publish("alice", "/1", "/1", "/2", "/3", "/2")
		r.want(t, "at once", tooMuch)
		r.endHeld()
		r.want(t, "then", ok, ok, ok, ok)
	})
}

func TestOnlyGroupsThatWereMadeCount(t *testing.T) {
	for _, failed := range []relay.Outcome{relay.Invalid, relay.Busy, relay.Unavailable, relay.Denied, relay.Unchecked} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			r.result.Outcome = failed
			r.publish("alice", "/1", "/2", "/3")
			r.want(t, "refused", failed.Code(), failed.Code(), failed.Code())
			r.result.Outcome = 0
			r.publish("alice", "/1", "/2", "/3")
			r.want(t, "then", ok, ok, tooMuch)
		})
	}
}

func TestAnswersThatAreMissingCountOnceClaimed(t *testing.T) {
	for _, missing := range []relay.Result{{Outcome: relay.Unknown}, {Outcome: relay.Duplicate, Seq: 1}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			r.publish("alice", "/1")
			r.result = missing
			r.publish("alice", "/1", "/1", "/2", "/3")
			code := missing.Outcome.Code()
			r.want(t, "without an answer", ok, code, code, code, tooMuch)
		})
	}
}

func TestAGroupIsKnownAlthoughItsFirstMessageFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.hold = true
		r.publish("alice", "/1", "/1", "/2", "/2")
		first, second := r.held[0], r.held[1]
		first.End(relay.Result{Outcome: relay.Busy})
		second.End(relay.Result{Outcome: relay.Accepted, Seq: 1}) // nobody claims it any more
		r.held = r.held[2:]
		r.endHeld()
		r.want(t, "two groups", tooMuch, ok, ok, ok)
		r.messages["/1"] = 1
		r.publish("alice", "/3", "/1")
		r.want(t, "the third", tooMuch, ok)
	})
}

func TestAStoreThatDoesNotAnswerIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.err = errors.New("away")
		r.publish("alice", "/1", "/2", "/3")
		r.want(t, "the third", ok, ok, http.StatusServiceUnavailable)
	})
}

func TestMessagesThatAreNotStoredMakeNoGroup(t *testing.T) {
	r := newRig()
	r.result = relay.Result{Outcome: relay.Accepted}
	r.publish("alice", "/a", "/b", "/c", "/d")
	r.want(t, "all", ok, ok, ok, ok)
}

func TestLowLevelPacketsMakeNoGroup(t *testing.T) {
	r := newRig()
	for range 5 {
		r.publisher.Publish(&relay.Publication{Group: "/low", Client: "alice", Kind: stream.Text, From: r})
	}
	r.publish("alice", "/1", "/2")
	r.want(t, "all", ok, ok, ok, ok, ok, ok, ok)
}
