package relay

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// floor is a Handler with rooms, which do what those of an edge do: pass on what
// follows, and attach again when something does not.
type floor struct {
	*recorder
	client *Client

	mu    sync.Mutex
	rooms map[uint32]*tinyRoom
}

type tinyRoom struct {
	name  group.Name
	at    stream.Position
	known bool
	live  bool
	// What members got, and how often the position was given up.
	got  []string
	gaps int
	// How often an event did not follow.
	holes int
}

func newFloor() *floor {
	return &floor{recorder: newRecorder(), rooms: make(map[uint32]*tinyRoom)}
}

// open makes a room that is at a position.
func (f *floor) open(name group.Name, at stream.Position) (*tinyRoom, uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &tinyRoom{name: name, at: at, known: true}
	channel := f.client.Attach(name, &at)
	f.rooms[channel] = r
	return r, channel
}

func (f *floor) Channels() map[uint32]Channel {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make(map[uint32]Channel)
	for id, r := range f.rooms {
		c := Channel{Group: r.name}
		if r.known {
			at := r.at
			c.At = &at
		}
		all[id] = c
	}
	return all
}

func (f *floor) Attached(channel uint32, at stream.Position, gap bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.rooms[channel]
	if r == nil || err != nil {
		return
	}
	if gap || r.known && at != r.at {
		r.gaps++
	}
	r.at, r.known, r.live = at, true, true
}

func (f *floor) Deliver(channel uint32, epoch stream.Epoch, events []stream.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.rooms[channel]
	if r == nil || !r.live {
		return
	}
	for i := range events {
		switch r.at.Next(epoch, &events[i]) {
		case stream.Follows:
			r.got = append(r.got, string(events[i].Payload))
		case stream.Old:
		case stream.Broken:
			r.holes++
			return
		}
	}
}

func (f *floor) got(r *tinyRoom) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(r.got)
}

// The events of a group, as both services send them: messages and packets that are not
// stored. Links are the numbers of messages.
func message(seq uint64) *relayv1.Event {
	return &relayv1.Event{
		Kind: relayv1.EventKind_EVENT_KIND_MESSAGE, Seq: seq, Prev: uint32(seq - 1), Link: uint32(seq),
		OriginEdge: 9, OriginId: seq, Payload: fmt.Appendf(nil, "m%d", seq),
	}
}

func text(n uint64) *relayv1.Event {
	return &relayv1.Event{
		Kind: relayv1.EventKind_EVENT_KIND_TEXT, OriginEdge: 8, OriginId: n, Payload: fmt.Appendf(nil, "t%d", n),
	}
}

func events(channel uint32, all ...*relayv1.Event) *relayv1.ConnectResponse {
	return &relayv1.ConnectResponse{Deliveries: []*relayv1.Delivery{{Channel: channel, Epoch: 1, Events: all}}}
}

func attachedAt(channel uint32, seq uint64) *relayv1.ConnectResponse {
	return &relayv1.ConnectResponse{Attached: []*relayv1.Attached{{
		Channel: channel, Position: &relayv1.Position{Epoch: 1, Seq: seq, Link: uint32(seq)},
	}}}
}

func place(seq uint64) stream.Position {
	return stream.Position{Epoch: 1, Seq: seq, Link: stream.Link(seq)}
}

// interests returns what is asked for on a stream until n have come.
func (c *connection) interests(n int) (all []*relayv1.Interest) {
	c.t.Helper()
	for len(all) < n {
		all = append(all, c.frame().GetInterests()...)
	}
	return all
}

// lives makes a pair of services of which the other has fewer streams, and a room that
// is live.
func lives(t *testing.T) (f *floor, c *Client, mine, other remote, first *connection, r *tinyRoom, channel uint32) {
	t.Helper()
	f = newFloor()
	c, mine, other, first = newPairFor(t, f)
	f.client = c
	mine.streams.Store(3)
	other.streams.Store(0)
	synctest.Wait() // the client knows of its stream
	r, channel = f.open("/a", place(5))
	first.interests(1)
	first.send(attachedAt(channel, 5))
	return f, c, mine, other, first, r, channel
}

// moveAway waits for the wish, grants it, and returns the stream at the other service.
func moveAway(t *testing.T, first *connection, other remote) *connection {
	t.Helper()
	wish := first.frame()
	for wish.GetMove() == nil {
		wish = first.frame()
	}
	if n := wish.GetMove().GetStreams(); n != 0 {
		t.Errorf("the edge wishes to go where %d streams are, want 0", n)
	}
	first.send(&relayv1.ConnectResponse{MayMove: true})
	second := other.next(t)
	synctest.Wait() // the client notes what comes on the first one
	return second
}

func TestStreamMovesWithoutAHoleToWhereFewerAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c, _, other, first, r, channel := lives(t)
		answers := newAnswers(t)
		c.Publish(answers.publication(1, stream.Message))
		first.answer(accepted, first.frame().GetPublishes()...)
		answers.want(1, Accepted)

		second := moveAway(t, first, other)
		first.send(events(channel, message(6), text(1)))
		wanted := second.interests(1)
		if got := wanted[0]; got.GetChannel() != channel || got.GetGroup() != "/a" || got.GetFrom().GetSeq() < 5 {
			t.Errorf("opened elsewhere: %v, want the room's channel from where it is", got)
		}
		second.send(attachedAt(channel, wanted[0].GetFrom().GetSeq()))
		second.send(events(channel, message(6), text(1), message(7), text(2)))
		synctest.Wait()
		if diff := cmp.Diff([]string{"m6", "t1"}, f.got(r)); diff != "" {
			t.Errorf("before the change, members got (-want +got):\n%s", diff)
		}
		first.send(events(channel, message(7)))
		c.Publish(answers.publication(2, stream.Message)) // it does not wait for the move
		first.answer(accepted, first.frame().GetPublishes()...)
		answers.want(2, Accepted)

		time.Sleep(time.Second) // overlap
		c.Publish(answers.publication(3, stream.Message))
		second.answer(accepted, second.frame().GetPublishes()...)
		answers.want(3, Accepted)
		second.send(events(channel, message(8)))
		synctest.Wait()
		if diff := cmp.Diff([]string{"m6", "t1", "m7", "t2", "m8"}, f.got(r)); diff != "" || r.gaps+r.holes > 0 {
			t.Errorf("%d gaps, %d holes; members got (-want +got):\n%s", r.gaps, r.holes, diff)
		}
		select {
		case <-first.stream.Context().Done():
		default:
			t.Error("the old stream is still open")
		}
		if _, open := <-first.frames; open {
			t.Error("something was written to the old stream after the change")
		}
	})
}

func TestPublicationsWaitForThoseOnTheOldStream(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind stream.Kind
		// What is written to the new stream: the message again, and what waited.
		again []uint32
	}{
		{"message", stream.Message, []uint32{1, 2}},
		{"packet that is not stored", stream.Text, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c, _, other, first, _, channel := lives(t)
				answers := newAnswers(t)
				second := moveAway(t, first, other)
				second.interests(1)
				second.send(attachedAt(channel, 5))
				c.Publish(answers.publication(1, tt.kind))
				old := first.frame().GetPublishes() // it gets no result for long
				time.Sleep(overlap)
				time.Sleep(holdTime / 2)
				c.Publish(answers.publication(2, stream.Message))
				synctest.Wait()
				select {
				case frame := <-second.frames:
					t.Fatalf("%v was written to the new stream before the result of the one before", frame)
				case frame := <-first.frames:
					t.Fatalf("%v was written to the old stream", frame)
				default:
				}
				time.Sleep(holdTime)
				if tt.again == nil { // the edge stays: it may not write the packet twice
					later := first.frame().GetPublishes()
					wantNumbers(t, later, []uint32{2})
					first.answer(accepted, append(old, later...)...)
					<-second.stream.Context().Done()
				} else {
					later := second.frame().GetPublishes()
					wantNumbers(t, later, tt.again)
					second.answer(accepted, later...)
				}
				answers.want(1, Accepted)
				answers.want(2, Accepted)
			})
		})
	}
}

func TestAMoveThatFailsChangesNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		fail func(second *connection, channel uint32)
	}{
		{"the other service never attaches", func(*connection, uint32) { time.Sleep(moveTimeout) }},
		{"the other stream ends", func(second *connection, channel uint32) {
			second.send(attachedAt(channel, 5))
			second.end <- nil
			time.Sleep(time.Second)
		}},
		{"too much that only it has", func(second *connection, channel uint32) {
			big := text(99)
			big.Payload = make([]byte, maxEarlyBytes)
			second.send(events(channel, big))
			time.Sleep(time.Second)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c, _, other, first, r, channel := lives(t)
				second := moveAway(t, first, other)
				second.interests(1)
				second.send(events(channel, text(1)))
				tt.fail(second, channel)
				synctest.Wait()
				first.send(events(channel, message(6), text(1)))
				answers := newAnswers(t)
				c.Publish(answers.publication(1, stream.Message))
				first.answer(accepted, first.frame().GetPublishes()...)
				answers.want(1, Accepted)
				if diff := cmp.Diff([]string{"m6", "t1"}, f.got(r)); diff != "" {
					t.Errorf("members got (-want +got):\n%s", diff)
				}
				<-second.stream.Context().Done()
				if n := valueOf(t, c.metrics.moves[false]); n != 1 {
					t.Errorf("%v moves have failed, want 1", n)
				}
			})
		})
	}
}

func TestAStreamThatBreaksDuringAMoveIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _, mine, other, first, _, _ := lives(t)
		second := moveAway(t, first, other)
		second.interests(1)
		wantCall(t, f.recorder, restored{})
		first.end <- fmt.Errorf("killed")
		wantCall(t, f.recorder, lost{})
		<-second.stream.Context().Done()
		var third *connection
		select {
		case third = <-mine.conns:
		case third = <-other.conns:
		}
		third.t = t
		if third.frame().GetHello() == nil {
			t.Error("no hello on the stream after the break")
		}
		wantCall(t, f.recorder, restored{})
	})
}

func TestNoMoveWithoutLeaveOrReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, mine, other, first, _, _ := lives(t)
		mine.streams.Store(1) // as many would be there as are here now
		time.Sleep(time.Minute)
		synctest.Wait()
		select {
		case frame := <-first.frames:
			t.Errorf("got %v without a reason", frame)
		default:
		}
		mine.streams.Store(9)
		wishes := 0
		for range 10 {
			if first.frame().GetMove() != nil { // and no leave is given
				wishes++
			}
		}
		if wishes != 10 {
			t.Errorf("%d wishes in 10 frames, want all", wishes)
		}
		select {
		case <-other.conns:
			t.Error("the edge moved without leave")
		default:
		}
	})
}

// Two services send the same group, each at its own pace; the second one from somewhere
// on. However they interleave, members get everything once and in order.
func TestWhateverTheInterleavingMembersGetEverythingOnceAndInOrder(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 0))
		f := newFloor()
		c := New(nil, Options{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		f.client = c
		l, next := bareLink(t), bareLink(t)
		c.opened(l)
		r, channel := f.open("/a", place(0))
		take := func(l *link, frame *relayv1.ConnectResponse) {
			t.Helper()
			if err := c.handle(l, f, frame); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		take(l, attachedAt(channel, 0))

		var all []*relayv1.Event
		var want []string
		for n, seq := uint64(1), uint64(0); n <= 30; n++ {
			if rng.IntN(2) == 0 {
				seq++
				all = append(all, message(seq))
			} else {
				all = append(all, text(n))
			}
			want = append(want, string(all[n-1].GetPayload()))
		}
		// The new stream gets live what is published from somewhere on, perhaps long after
		// the old one had it, and reads stored events from where the room is.
		noted := rng.IntN(5)
		opened := noted + rng.IntN(10)
		changed := opened + 5 + rng.IntN(10)
		sent := 0 // on the old stream
		send := func(upTo int) {
			for ; sent < upTo; sent++ {
				take(l, events(channel, all[sent]))
			}
		}
		send(noted)
		next.early = newEarly()
		c.setNext(next)
		send(opened)
		attached := c.openAll(l, next, f)
		from := r.at.Seq
		sentNext := noted + rng.IntN(opened-noted+3) // published before its subscription
		take(next, attachedAt(channel, from))
		for _, e := range all[:sentNext] {
			if e.GetSeq() > from {
				take(next, events(channel, e))
			}
		}
		<-attached
		for sentNext < changed || sent < changed {
			if rng.IntN(2) == 0 {
				send(min(sent+rng.IntN(4), len(all)))
			} else if sentNext < len(all) {
				take(next, events(channel, all[sentNext]))
				sentNext++
			}
		}
		if err := c.change(l, next, f); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		send(len(all)) // ignored
		for ; sentNext < len(all); sentNext++ {
			take(next, events(channel, all[sentNext]))
		}
		if diff := cmp.Diff(want, r.got); diff != "" || r.gaps+r.holes > 0 {
			t.Fatalf("seed %d: %d gaps, %d holes, members got (-want +got):\n%s", seed, r.gaps, r.holes, diff)
		}
	}
}
