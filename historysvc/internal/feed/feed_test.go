package feed

import (
	"errors"
	"fmt"
	"strings"
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

func TestFollowerBeginsWithTheNewestMessages(t *testing.T) {
	run(t, func(w *world) {
		nobody := w.follow("/empty", Start{Last: 4})
		for i := 1; i <= 9; i++ {
			w.store(room, fmt.Sprint("u", i))
		}
		w.recall(room, 2)
		unknown := stream.Position{Epoch: 1, Seq: 1}
		head := w.headOf(room)
		for what, start := range map[string]struct {
			Start
			want []string
		}{
			"the newest":          {Start{Last: 4}, []string{"u6", "u7", "u8", "u9", "recall u2"}},
			"more than there are": {Start{Last: 100}, []string{"u1", "tombstone u2", "u3", "u4", "u5", "u6", "u7", "u8", "u9", "recall u2"}},
			"a lost position":     {Start{Last: 2, After: &unknown}, []string{"gap", "u8", "u9", "recall u2"}},
			"an unknown uuid":     {Start{Last: 2, AfterUUID: "nobody"}, []string{"gap", "u8", "u9", "recall u2"}},
			"a good position":     {Start{Last: 2, After: &head}, nil},
			"a good uuid":         {Start{Last: 2, AfterUUID: "u9"}, []string{"recall u2"}},
		} {
			s := w.follow(room, start.Start)
			s.want(what, start.want...)
			s.stop()
		}
		nobody.want("a group without messages")
		nobody.stop()
	})
}

func TestALaterLossDoesNotBringTheNewestMessages(t *testing.T) {
	run(t, func(w *world) {
		w.publish("u1")
		head := w.headOf(room)
		first, after := w.follow(room, Start{Last: 1}), w.follow(room, Start{Last: 1, After: &head})
		for i := 2; i <= 9; i++ {
			w.store(room, fmt.Sprint("u", i))
		}
		w.groups[room].trimmed = 5
		w.publish("u10")
		w.publish("u11")
		first.want("u2 to u5 are gone", "u1", "gap", "u11")
		after.want("u2 to u5 are gone", "gap", "u11")
		first.stop()
		after.stop()
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
		w.follow(room, Start{}).stop() // with its topic
		s, other := w.follow(room, Start{}), w.follow(room, Start{})
		var want []string
		for i := range 3 {
			e := w.store(room, fmt.Sprint("u", i))
			w.hub.Expect(room, w.groups[room].epoch, e.Seq)
			time.Sleep(2*sweepEvery + time.Millisecond)
			synctest.Wait()
			want = append(want, fmt.Sprint("u", i))
			s.want("two sweeps later", want...)
			other.want("two sweeps later", want...)
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
		if due, more := w.hub.expectations.sweep(); len(due) > 0 || more {
			t.Errorf("%d messages are due, others to come: %v; want none", len(due), more)
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

func TestFollowerMakesOneCallOfTheStoreAtATime(t *testing.T) {
	run(t, func(w *world) {
		w.store(room, "u1")
		from := w.headOf(room)
		w.latency = func() time.Duration { return time.Millisecond }
		s := w.follow(room, Start{After: &from}) // the head is being read
		w.store(room, "u2")
		w.publish("u3") // makes a hole
		w.hub.Subscribed(room)
		w.store(room, "u4")
		w.publish("u5")
		time.Sleep(5 * time.Millisecond)
		synctest.Wait()
		s.want("after the read that the hole needed", "u2", "u3", "u4", "u5")
		if w.mostUnderWay != 1 {
			t.Errorf("%d calls of the store at a time, want 1", w.mostUnderWay)
		}
		s.stop()
	})
}

func TestHeadThatIsReadAgainWhereFollowersAskForThemselvesIsTheNewest(t *testing.T) {
	run(t, func(w *world) {
		w.store(room, "u1")
		calls := 0
		w.fault = func() error {
			// Reading the heads of all fails, so the follower asks for itself.
			if calls++; calls == 1 {
				return history.ErrUnavailable
			}
			return nil
		}
		w.duringHeads = func() {
			w.duringHeads = nil
			w.hub.Subscribed(room) // so the answer under way is too old
			w.store(room, "u2")
			w.hub.Heard(room, w.groups[room].epoch, []stream.Event{w.store(room, "u3")})
		}
		s := w.follow(room, Start{})
		time.Sleep(callBackoff.Min)
		synctest.Wait()
		if diff := cmp.Diff([]stream.Position{w.headOf(room)}, s.starts); diff != "" {
			t.Errorf("attached, want (-), got (+):\n%s", diff)
		}
		w.publish("u4")
		s.want("after the head", "u4")
		s.stop()
	})
}

func TestRecallAfterAGapOfAMessageBeforeItIsPassedOn(t *testing.T) {
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
		w.say(w.recall(room, 1))
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

func TestSinkIsToldOfEachPacketThatItDoesNotGet(t *testing.T) {
	run(t, func(w *world) {
		s := w.follow(room, Start{})
		s.room = 0
		w.say(packet("refused"))
		if s.lost != 1 {
			t.Errorf("%d packets are lost after a refusal, want 1", s.lost)
		}
		w.publish("u1")
		w.say(packet("while full"), packet("while full"))
		if s.lost != 3 {
			t.Errorf("%d packets are lost while the sink is full, want 3", s.lost)
		}
		// It is refused again what the store has, while a packet waits for its turn.
		w.duringRead = func() {
			w.duringRead = nil
			w.hub.Heard(room, w.groups[room].epoch, []stream.Event{packet("kept in vain")})
		}
		s.Resume()
		synctest.Wait()
		if s.lost != 4 {
			t.Errorf("%d packets are lost after the read, want 4", s.lost)
		}
		// More packets than wait while the store is read.
		w.store(room, "u2")
		w.duringRead = func() {
			w.duringRead = nil
			for range bufferItems + 10 {
				w.hub.Heard(room, w.groups[room].epoch, []stream.Event{packet("p")})
			}
		}
		s.makeRoom()
		if s.lost != 14 {
			t.Errorf("%d packets are lost after the buffer was full, want 14", s.lost)
		}
		s.stop()
	})
}

func TestNobodyIsToldOfPacketsBeforeItsBeginning(t *testing.T) {
	run(t, func(w *world) {
		w.duringHeads = func() {
			w.duringHeads = nil
			for range bufferItems + 10 {
				w.hub.Heard(room, 1, []stream.Event{packet("p")})
			}
		}
		s := w.follow(room, Start{}) // whose sink complains of losses before Attached
		if s.lost != 0 {
			t.Errorf("%d packets are lost, want none", s.lost)
		}
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

func TestMessageThatIsRecalledBeforeItIsReadIsATombstone(t *testing.T) {
	run(t, func(w *world) {
		s := w.follow(room, Start{})
		w.store(room, "u1") // lost
		e2 := w.store(room, "u2")
		r1 := w.recall(room, 1)
		w.say(e2, r1)
		s.want("the message was recalled before it was read", "tombstone u1", "u2", "recall u1")
		r2 := w.recall(room, 2)
		w.say(r2)
		s.want("a message that was delivered", "tombstone u1", "u2", "recall u1", "recall u2")
		s.stop()
	})
}

func TestRecallThatTheSinkRefusedIsReadAgain(t *testing.T) {
	run(t, func(w *world) {
		w.store(room, "u1")
		zero := stream.Position{}
		w.mu.Lock()
		w.groups[room].recalled[1] = true // overwritten; the recall follows in a moment
		w.mu.Unlock()
		s := w.follow(room, Start{After: &zero})
		s.want("the place of the message", "tombstone u1")
		s.room = 0
		w.say(w.recall(room, 1))
		s.makeRoom()
		s.want("after the recall", "tombstone u1", "recall u1")
		s.stop()
	})
}

func TestTrimmedEventsAreAGap(t *testing.T) {
	run(t, func(w *world) {
		s, other := w.follow(room, Start{}), w.follow(room, Start{})
		w.publish("u1")
		for i := 2; i <= 9; i++ {
			w.store(room, fmt.Sprint("u", i))
		}
		w.groups[room].trimmed = 5
		w.publish("u10")
		w.publish("u11")
		s.want("u2 to u5 are gone", "u1", "gap", "u11")
		s.stop()
		other.stop()
		if said := w.log.String(); strings.Count(said, "level=WARN") != 1 || !strings.Contains(said, "group="+string(room)) {
			t.Errorf("log: %q, want one warning for both readers", said)
		}
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
		time.Sleep(callBackoff.Max)
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
		b.Follower = w.hub.NewFollower(room, Start{})
		b.Begin(b)
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
			s.Follower = w.hub.NewFollower(g, Start{})
			s.Begin(s)
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
