package feed

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const room group.Name = "/room/1"

func (s *sink) want(what string, want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.received()); diff != "" {
		s.t.Errorf("%s: want (-), got (+):\n%s", what, diff)
	}
}

func packet(text string) stream.Event {
	return stream.Event{Kind: stream.Text, Payload: []byte(text)}
}

func TestFollowerFromNowOnStartsAtTheHead(t *testing.T) {
	run(t, func(w *world) {
		w.store(room, "u1")
		s := w.follow(room, Start{})
		if got, want := s.position(), w.headOf(room); got != want {
			t.Errorf("attached at %+v, want %+v", got, want)
		}
		w.publish("u2")
		w.say(packet("hi"))
		w.publish("u3")
		s.want("after three live events", "u2", "packet hi", "u3")
		s.stop()
	})
}

func TestFollowerOfAnUnknownGroupGetsItsFirstMessage(t *testing.T) {
	run(t, func(w *world) {
		s := w.follow(room, Start{})
		w.publish("u1")
		s.want("first message", "u1")
		s.stop()
	})
}

func TestListOfAnOlderServerIsAdoptedBeforeItIsFollowed(t *testing.T) {
	run(t, func(w *world) {
		fg := w.group(room)
		fg.adopted = func() {
			fg.epoch = 7
			fg.head = stream.Position{Epoch: 7, Seq: 500}
		}
		s := w.follow(room, Start{})
		if got, want := s.position(), (stream.Position{Epoch: 7, Seq: 500}); got != want {
			t.Errorf("attached at %+v, want %+v", got, want)
		}
		w.publish("u501")
		s.want("first new message", "u501")
		s.stop()
	})
}

func TestFollowerFromAPositionIsReplayedToFirst(t *testing.T) {
	run(t, func(w *world) {
		w.store(room, "u1")
		from := w.headOf(room)
		for i := 2; i <= 9; i++ {
			w.store(room, fmt.Sprint("u", i))
		}
		s := w.follow(room, Start{After: &from})
		w.publish("u10")
		s.want("replay over several pages", "u2", "u3", "u4", "u5", "u6", "u7", "u8", "u9", "u10")
		if diff := cmp.Diff([]stream.Position{from}, s.starts); diff != "" {
			t.Errorf("attached, want (-), got (+):\n%s", diff)
		}
		s.stop()
	})
}

func TestFollowerFromTheHeadReadsNothing(t *testing.T) {
	run(t, func(w *world) {
		w.store(room, "u1")
		from := w.headOf(room)
		s := w.follow(room, Start{After: &from})
		w.publish("u2")
		s.want("live message", "u2")
		if w.reads != 1 {
			t.Errorf("%d calls of the store, want the one for the head", w.reads)
		}
		s.stop()
	})
}

func TestFollowerAfterAUUIDIsAttachedAtItsPlace(t *testing.T) {
	run(t, func(w *world) {
		w.store(room, "u1")
		w.store(room, "u2")
		want := w.headOf(room)
		w.store(room, "u3")
		w.recall(room, 1)
		w.store(room, "u4")
		s := w.follow(room, Start{AfterUUID: "u2"})
		s.want("after u2", "u3", "recall u1", "u4")
		if diff := cmp.Diff([]stream.Position{want}, s.starts); diff != "" {
			t.Errorf("attached, want (-), got (+):\n%s", diff)
		}
		s.stop()
	})
}

func TestUnknownUUIDIsAGapAtTheHead(t *testing.T) {
	run(t, func(w *world) {
		for i := 1; i <= 9; i++ {
			w.store(room, fmt.Sprint("u", i))
		}
		s := w.follow(room, Start{AfterUUID: "nobody"})
		w.publish("u10")
		s.want("what is retained is not replayed", "gap", "u10")
		s.stop()
	})
}

func TestHoleIsFilledFromTheStore(t *testing.T) {
	run(t, func(w *world) {
		s := w.follow(room, Start{})
		w.publish("u1")
		w.store(room, "u2")
		w.store(room, "u3")
		w.publish("u4")
		w.publish("u5")
		s.want("with u2 and u3 lost on the bus", "u1", "u2", "u3", "u4", "u5")
		s.stop()
	})
}

func TestEventsHeardTwiceAreDeliveredOnce(t *testing.T) {
	run(t, func(w *world) {
		s := w.follow(room, Start{})
		e1 := w.publish("u1")
		e2 := w.store(room, "u2")
		w.say(e1, packet("a"), e1, e2, packet("b"))
		w.say(e1, e2)
		s.want("with repeats in the middle", "u1", "packet a", "u2", "packet b")
		s.stop()
	})
}

func TestEventsHeardDuringACatchUpWait(t *testing.T) {
	run(t, func(w *world) {
		s := w.follow(room, Start{})
		w.store(room, "u1")
		e2 := w.store(room, "u2")
		w.duringRead = func() {
			w.duringRead = nil
			e3 := w.store(room, "u3")
			w.hub.Heard(room, w.groups[room].epoch, []stream.Event{e2, packet("p"), e3})
		}
		w.say(e2)
		s.want("in the order of the stream", "u1", "u2", "packet p", "u3")
		s.stop()
	})
}

func TestMoreThanTheBufferHoldsIsReadAgain(t *testing.T) {
	run(t, func(w *world) {
		w.page = 1000
		s := w.follow(room, Start{})
		w.store(room, "u1")
		e2 := w.store(room, "u2")
		w.duringRead = func() {
			w.duringRead = nil
			for i := range bufferItems + 10 {
				w.hub.Heard(room, w.groups[room].epoch, []stream.Event{w.store(room, fmt.Sprint("v", i))})
			}
		}
		w.say(e2)
		if got, want := len(s.received()), bufferItems+12; got != want {
			t.Errorf("%d events, want %d", got, want)
		}
		if n := w.hub.buffered.Load(); n != 0 {
			t.Errorf("%d bytes in buffers, want none", n)
		}
		s.stop()
	})
}

func TestStrayEventOfAnotherLifeChangesNothing(t *testing.T) {
	run(t, func(w *world) {
		s := w.follow(room, Start{})
		w.publish("u1")
		w.hub.Heard(room, 77, []stream.Event{{Kind: stream.Message, Seq: 9, UUID: "stray"}, packet("p")})
		synctest.Wait()
		w.publish("u2")
		s.want("with a stray event between", "u1", "packet p", "u2")
		s.stop()
	})
}

func TestLostLastMessageIsFoundWithinTwoSeconds(t *testing.T) {
	run(t, func(w *world) {
		s := w.follow(room, Start{})
		w.publish("u1")
		time.Sleep(1234 * time.Millisecond)
		w.store(room, "u2")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		s.want("after 2 s of silence", "u1", "u2")
		s.stop()
	})
}

func TestExpectedMessageThatIsNotHeardIsReadSoon(t *testing.T) {
	run(t, func(w *world) {
		gone := w.follow(room, Start{})
		gone.stop() // with its topic
		s, other := w.follow(room, Start{}), w.follow(room, Start{})
		var want []string
		for i, expect := range []func(stream.Epoch, uint64){
			func(epoch stream.Epoch, seq uint64) { w.hub.Expect(room, epoch, seq) },
			func(epoch stream.Epoch, seq uint64) { other.Expect(epoch, seq) },
			func(epoch stream.Epoch, seq uint64) { gone.Expect(epoch, seq) },
		} {
			e := w.store(room, fmt.Sprint("u", i))
			expect(w.groups[room].epoch, e.Seq)
			time.Sleep(2*sweepEvery + time.Millisecond)
			synctest.Wait()
			want = append(want, fmt.Sprint("u", i))
			s.want("two sweeps later", want...)
		}
		s.stop()
		other.stop()
	})
}

func TestExpectedMessageThatIsHeardCausesNoRead(t *testing.T) {
	run(t, func(w *world) {
		s := w.follow(room, Start{})
		before := w.reads
		e := w.store(room, "u1")
		w.hub.Expect(room, w.groups[room].epoch, e.Seq)
		w.say(e)
		time.Sleep(4 * sweepEvery)
		synctest.Wait()
		if w.reads != before {
			t.Errorf("%d calls of the store, want none", w.reads-before)
		}
		if n := len(w.hub.expectations.take()); n != 0 {
			t.Errorf("%d topics are still to be swept, want none", n)
		}
		s.stop()
	})
}

func TestRemadeSubscriptionIsCheckedAtOnce(t *testing.T) {
	run(t, func(w *world) {
		s := w.follow(room, Start{})
		w.publish("u1")
		w.store(room, "u2")
		w.hub.Subscribed(room)
		synctest.Wait()
		s.want("without waiting for a poll", "u1", "u2")
		s.stop()
	})
}

func TestSubscriptionRemadeDuringACatchUpCausesAnotherRead(t *testing.T) {
	run(t, func(w *world) {
		s := w.follow(room, Start{})
		w.store(room, "u1")
		w.duringRead = func() {
			w.duringRead = nil
			w.store(room, "u3") // lost with the subscription
			w.hub.Subscribed(room)
		}
		w.publish("u2")
		s.want("without waiting for a poll", "u1", "u2", "u3")
		s.stop()
	})
}

func TestSubscriptionRemadeWhileTheHeadIsReadMakesItBeReadAgain(t *testing.T) {
	run(t, func(w *world) {
		w.store(room, "u1")
		w.duringHeads = func() {
			w.duringHeads = nil
			w.store(room, "u2") // lost with the subscription
			w.hub.Subscribed(room)
		}
		s := w.follow(room, Start{})
		if got, want := s.position(), w.headOf(room); got != want {
			t.Errorf("attached at %+v, want %+v", got, want)
		}
		s.stop()
	})
}

func TestFollowerIsReadForOnlyOnceAtATime(t *testing.T) {
	run(t, func(w *world) {
		w.store(room, "u1")
		calls := 0
		w.fault = func() error {
			// The heads of all fail, so that each is asked for alone.
			if calls++; calls == 1 {
				return history.ErrUnavailable
			}
			return nil
		}
		w.duringHeads = func() { // alone
			w.duringHeads = nil
			// It becomes live by another way, and finds a hole.
			w.hub.Subscribed(room)
			time.Sleep(time.Millisecond)
			w.store(room, "u2")
			w.hub.Heard(room, w.groups[room].epoch, []stream.Event{w.store(room, "u3")})
		}
		s := w.follow(room, Start{})
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		s.want("the hole is filled at once", "u2", "u3")
		s.stop()
	})
}

func TestTombstonesBeforeAGapDoNotSilenceRecallsAfterIt(t *testing.T) {
	run(t, func(w *world) {
		w.store(room, "u1")
		w.mu.Lock()
		w.groups[room].recalled[1] = true
		w.mu.Unlock()
		zero := stream.Position{}
		s := w.follow(room, Start{After: &zero})
		w.store(room, "u2")
		w.store(room, "u3")
		w.groups[room].trimmed = 2
		w.publish("u4")
		w.say(w.recall(room, 1)) // the sink checks Silent
		s.want("members that came after the gap may know u1", "tombstone u1", "gap", "recall u1")
		s.stop()
	})
}

func TestFullSinkGetsStoredEventsLaterAndLosesOthers(t *testing.T) {
	run(t, func(w *world) {
		s := w.follow(room, Start{})
		w.publish("u1")
		s.room = 0
		w.publish("u2")
		w.say(packet("lost"))
		w.publish("u3")
		s.want("while full", "u1")
		if s.refusals != 1 {
			t.Errorf("offered %d times while full, want once", s.refusals)
		}
		s.makeRoom()
		w.publish("u4")
		s.want("with room again", "u1", "u2", "u3", "u4")
		s.stop()
	})
}

func TestPacketRefusedByAFullSinkDoesNotStopTheStream(t *testing.T) {
	run(t, func(w *world) {
		s := w.follow(room, Start{})
		s.room = 0
		w.say(packet("lost"))
		s.room = -1
		w.publish("u1")
		s.want("without Resume", "u1")
		s.stop()
	})
}

func TestRecallOfAMessageThatWasNotDeliveredIsSilent(t *testing.T) {
	run(t, func(w *world) {
		s := w.follow(room, Start{})
		w.store(room, "u1") // lost
		e2 := w.store(room, "u2")
		r1 := w.recall(room, 1)
		w.say(e2, r1) // the sink checks Silent
		s.want("the message was recalled before it was read", "tombstone u1", "u2", "recall u1")
		r2 := w.recall(room, 2)
		w.say(r2)
		s.want("a message that was delivered", "tombstone u1", "u2", "recall u1", "recall u2")
		s.stop()
	})
}

func TestLiveRecallOfATombstoneIsSilentAndTheSharedEventIsNotChanged(t *testing.T) {
	run(t, func(w *world) {
		w.store(room, "u1")
		zero := stream.Position{}
		w.mu.Lock()
		w.groups[room].recalled[1] = true // overwritten; the recall follows in a moment
		w.mu.Unlock()
		s := w.follow(room, Start{After: &zero})
		s.want("the place of the message", "tombstone u1")
		s.room = 0
		events := []stream.Event{w.recall(room, 1)}
		w.say(events...)
		if events[0].Silent {
			t.Error("the shared event was changed")
		}
		s.makeRoom() // the refused recall is read and must still be silent
		s.want("after the recall", "tombstone u1", "recall u1")
		s.stop()
	})
}

func TestTrimmedEventsAreAGap(t *testing.T) {
	run(t, func(w *world) {
		s := w.follow(room, Start{})
		w.publish("u1")
		for i := 2; i <= 9; i++ {
			w.store(room, fmt.Sprint("u", i))
		}
		w.groups[room].trimmed = 5
		w.publish("u10")
		w.publish("u11")
		s.want("u2 to u5 are gone", "u1", "gap", "u11")
		s.stop()
	})
}

func TestForkIsAGap(t *testing.T) {
	run(t, func(w *world) {
		s := w.follow(room, Start{})
		w.publish("u1")
		before := *w.groups[room]
		w.publish("u2")
		// A failover loses u2; the counter goes on in the same epoch.
		before.log = before.log[:1:1]
		w.groups[room] = &before
		w.publish("other")
		w.publish("next") // shows that "other" was not an old event
		w.publish("last")
		s.want("u2 was replaced by another message", "u1", "u2", "gap", "last")
		s.stop()
	})
}

func TestGroupOfAnotherTypeFails(t *testing.T) {
	run(t, func(w *world) {
		w.fault = func() error { return fmt.Errorf("heads: %w", history.ErrWrongType) }
		s := w.follow(room, Start{})
		if !errors.Is(s.failed, history.ErrWrongType) {
			t.Errorf("failed with %v, want ErrWrongType", s.failed)
		}
		s.stop()
	})
}

func TestOneBadGroupDoesNotKeepOthersFromBeingAttached(t *testing.T) {
	run(t, func(w *world) {
		sinks := make([]*sink, 0, 5)
		w.fault = func() error {
			if w.reads <= 2 {
				return history.ErrUnavailable
			}
			return nil
		}
		for i := range 5 {
			sinks = append(sinks, w.follow(group.Name(fmt.Sprint("/g", i)), Start{}))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for _, s := range sinks {
			if s.attached != 1 {
				t.Errorf("%s was attached %d times, want once", s.name, s.attached)
			}
			s.stop()
		}
	})
}

func TestReadsAreTriedAgainUntilTheStoreIsBack(t *testing.T) {
	run(t, func(w *world) {
		s := w.follow(room, Start{})
		w.fault = func() error { return history.ErrUnavailable }
		w.store(room, "u1")
		w.publish("u2")
		time.Sleep(time.Minute)
		w.mu.Lock()
		w.fault = nil
		w.mu.Unlock()
		time.Sleep(maxPause)
		synctest.Wait()
		s.want("when the store is back", "u1", "u2")
		s.stop()
	})
}

func TestFollowersOfAGroupShareOneSubscription(t *testing.T) {
	run(t, func(w *world) {
		a, b := w.follow(room, Start{}), w.follow(room, Start{})
		w.publish("u1")
		a.stop()
		w.publish("u2")
		a.want("stopped after u1", "u1")
		b.want("still following", "u1", "u2")
		b.stop()
		synctest.Wait()
		w.say(packet("nobody hears this"))
		c := w.follow(room, Start{})
		w.publish("u3")
		c.want("a new follower", "u3")
		c.stop()
		synctest.Wait()
		want := []string{
			"subscribe [/room/1]", "unsubscribe [/room/1]", "subscribe [/room/1]", "unsubscribe [/room/1]",
		}
		if diff := cmp.Diff(want, w.calls); diff != "" {
			t.Errorf("calls of the bus, want (-), got (+):\n%s", diff)
		}
	})
}

func TestFollowerThatReplacesTheLastOneAtOnceIsAttached(t *testing.T) {
	run(t, func(w *world) {
		a := w.follow(room, Start{})
		// Without a pause, so that the bus need not hear of it.
		a.Stop()
		b := &sink{t: t, name: "b", room: -1}
		b.Follower = w.hub.NewFollower(room, Start{}, b)
		b.Begin()
		synctest.Wait()
		w.publish("u1")
		b.want("live", "u1")
		b.stop()
	})
}

func TestManyGroupsAreSubscribedAndAttachedTogether(t *testing.T) {
	run(t, func(w *world) {
		w.latency = func() time.Duration { return time.Millisecond }
		const n = 2500
		sinks := make([]*sink, n)
		for i := range n {
			g := group.Name(fmt.Sprint("/g", i))
			w.store(g, "u1")
			s := &sink{t: t, name: string(g), room: -1}
			s.Follower = w.hub.NewFollower(g, Start{}, s)
			s.Begin()
			sinks[i] = s
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if w.reads > n/5 || len(w.calls) > n/5 {
			t.Errorf("%d calls for heads and %d for subscriptions, want few", w.reads, len(w.calls))
		}
		for _, s := range sinks {
			if s.attached != 1 {
				t.Fatalf("%s was attached %d times, want once", s.name, s.attached)
			}
			s.stop()
		}
	})
}

func TestFollowerKnowsWhatItsSinkGetsAndWhatNot(t *testing.T) {
	run(t, func(w *world) {
		w.store(room, "u1")
		s := w.follow(room, Start{})
		at := s.position()
		w.publish("u2")
		for _, tt := range []struct {
			what  string
			epoch stream.Epoch
			seq   uint64
			want  Prospect
		}{
			{"a message from before it began", at.Epoch, at.Seq, Unknown},
			{"a message that it has passed on", at.Epoch, at.Seq + 1, Passed},
			{"the next message", at.Epoch, at.Seq + 2, Coming},
			{"a message of another life of the group", at.Epoch + 1, at.Seq + 1, Unknown},
		} {
			if got := s.Expect(tt.epoch, tt.seq); got != tt.want {
				t.Errorf("%s: got %d, want %d", tt.what, got, tt.want)
			}
		}
		s.stop()
		if got := s.Expect(at.Epoch, at.Seq+1); got != Unknown {
			t.Errorf("after Stop: got %d, want %d", got, Unknown)
		}
	})
}
