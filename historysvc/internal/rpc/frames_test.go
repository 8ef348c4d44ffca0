package rpc

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func newTestOutbound(maxBytes int) (*outbound, *frames) {
	o := newOutbound(maxBytes, newRelayMetrics(prometheus.NewRegistry()))
	return o, newFrames(o)
}

func text(payload string) stream.Event {
	return stream.Event{Kind: stream.Text, Payload: []byte(payload)}
}

// story is what an edge makes of a frame: notices first, then deliveries.
func story(frame *relayv1.ConnectResponse) (all []string) {
	for _, a := range frame.GetAttached() {
		all = append(all, fmt.Sprintf("%d attached at %d", a.GetChannel(), a.GetPosition().GetSeq()))
	}
	for _, d := range frame.GetDeliveries() {
		for _, e := range d.GetEvents() {
			all = append(all, fmt.Sprintf("%d %s in %d", d.GetChannel(), e.GetPayload(), d.GetEpoch()))
		}
	}
	return all
}

func TestEventsOfAChannelShareADelivery(t *testing.T) {
	o, f := newTestOutbound(1 << 20)
	a, b := &channel{id: 1, out: o}, &channel{id: 2, out: o}
	a.Deliver(9, []stream.Event{text("a1"), text("a2")})
	b.Deliver(9, []stream.Event{text("b1")})
	a.Deliver(9, []stream.Event{text("a3")})
	a.Deliver(10, []stream.Event{text("a4")})
	frame := f.next()
	want := []string{"1 a1 in 9", "1 a2 in 9", "1 a3 in 9", "2 b1 in 9", "1 a4 in 10"}
	if diff := cmp.Diff(want, story(frame)); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if n := len(frame.GetDeliveries()); n != 3 {
		t.Errorf("%d deliveries, want 3", n)
	}
	if o.bytes != 0 {
		t.Errorf("%d bytes are left", o.bytes)
	}
	if frame := f.next(); frame != nil {
		t.Errorf("another frame: %v", frame)
	}
}

func TestNoticeDoesNotOvertakeDeliveriesOfItsChannel(t *testing.T) {
	o, f := newTestOutbound(1 << 20)
	a, b := &channel{id: 1, out: o}, &channel{id: 2, out: o}
	a.Attached(stream.Position{Seq: 1}, false)
	a.Deliver(9, []stream.Event{text("a1")})
	b.Attached(stream.Position{Seq: 2}, false)
	a.Attached(stream.Position{Seq: 7}, true)
	a.Deliver(9, []stream.Event{text("a2")})
	for _, want := range [][]string{
		{"1 attached at 1", "2 attached at 2", "1 a1 in 9"},
		{"1 attached at 7", "1 a2 in 9"},
	} {
		if diff := cmp.Diff(want, story(f.next())); diff != "" {
			t.Errorf("want (-), got (+):\n%s", diff)
		}
	}
}

func TestFramesAreBounded(t *testing.T) {
	o, f := newTestOutbound(64 << 20)
	c := &channel{id: 1, out: o}
	rng := rand.New(rand.NewPCG(1, 2))
	var want []string
	for i := 0; i < 3000; {
		events := make([]stream.Event, 1+rng.IntN(900))
		for j := range events {
			p := fmt.Sprintf("%d %*s", i, rng.IntN(3000), "")
			events[j] = text(p)
			want = append(want, "1 "+p+" in 9")
			i++
		}
		c.Deliver(9, events)
	}
	var got []string
	for frame := f.next(); frame != nil; frame = f.next() {
		s := story(frame)
		if n := proto.Size(frame); len(s) > maxFrameItems || n > maxFrameBytes+4096 {
			t.Errorf("frame of %d events and %d bytes", len(s), n)
		}
		got = append(got, s...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if o.bytes != 0 {
		t.Errorf("%d bytes are left", o.bytes)
	}
}

func TestResultsAreAnsweredOnceAndBounded(t *testing.T) {
	o, f := newTestOutbound(1 << 20)
	const n = maxFrameResults + 10
	o.frameReceived(n)
	for i := range n {
		o.answer(result{id: uint64(i), outcome: relayv1.Outcome_OUTCOME_ACCEPTED})
	}
	if o.end() {
		t.Error("all answered before anything was sent")
	}
	first, second := f.next(), f.next()
	if len(first.GetResults()) != maxFrameResults || len(second.GetResults()) != 10 {
		t.Errorf("%d and %d results, want %d and 10", len(first.GetResults()), len(second.GetResults()), maxFrameResults)
	}
	if got := second.GetResults()[9].GetId(); got != n-1 {
		t.Errorf("last result is of %d, want %d", got, n-1)
	}
	if !o.end() || f.next() != nil {
		t.Error("not all answered")
	}
}

func TestConfirmationIsLazy(t *testing.T) {
	o, f := newTestOutbound(1 << 20)
	o.frameReceived(1)
	if frame := f.next(); frame != nil {
		t.Errorf("one unconfirmed frame caused %v", frame)
	}
	o.frameReceived(1)
	if frame := f.next(); frame.GetReceived() != 2 {
		t.Errorf("two unconfirmed frames caused %v, want a confirmation", frame)
	}
	o.frameReceived(1)
	o.answer(result{id: 1, outcome: relayv1.Outcome_OUTCOME_ACCEPTED})
	if frame := f.next(); frame.GetReceived() != 3 {
		t.Errorf("a result travels with %v, want the confirmation of frame 3", frame)
	}
}

func TestFullQueueRefusesUntilHalfOfItIsSent(t *testing.T) {
	o, _ := newTestOutbound(4 * (itemOverhead + 100))
	a, b := &channel{id: 1, out: o}, &channel{id: 2, out: o}
	event := []stream.Event{text(fmt.Sprintf("%100s", ""))}
	for i := range 4 {
		if !a.Deliver(9, event) {
			t.Fatalf("event %d is refused", i)
		}
	}
	for range 2 {
		if a.Deliver(9, event) || b.Deliver(9, event) {
			t.Error("an event beyond the bound is taken")
		}
	}
	a.Attached(stream.Position{}, true) // notices are always taken
	if resumed := o.sent(itemOverhead + 100); len(resumed) != 0 {
		t.Errorf("%d channels are resumed although most still waits", len(resumed))
	}
	resumed := o.sent(2*(itemOverhead+100) + itemOverhead)
	if diff := cmp.Diff([]uint32{1, 2}, []uint32{resumed[0].id, resumed[1].id}); len(resumed) != 2 || diff != "" {
		t.Errorf("resumed, want (-), got (+):\n%s", diff)
	}
	if !a.Deliver(9, event) {
		t.Error("an event is refused although there is room")
	}
}

func TestClosedOutboundKeepsNothing(t *testing.T) {
	o, f := newTestOutbound(1 << 20)
	c := &channel{id: 1, out: o}
	o.frameReceived(1)
	o.close()
	o.answer(result{id: 1, outcome: relayv1.Outcome_OUTCOME_ACCEPTED})
	c.Attached(stream.Position{}, false)
	c.Deliver(9, []stream.Event{text("x")})
	if frame := f.next(); len(story(frame)) != 0 || len(frame.GetResults()) != 0 {
		t.Errorf("got %v, want nothing", frame)
	}
}

func TestHeldResultSharesTheFrameOfItsDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, f := newTestOutbound(1 << 20)
		o.frameReceived(1)
		o.answerSoon(result{id: 1, outcome: relayv1.Outcome_OUTCOME_ACCEPTED})
		if frame := f.next(); frame != nil {
			t.Errorf("the result went alone: %v", frame)
		}
		(&channel{id: 1, out: o}).Deliver(9, []stream.Event{text("a")})
		if frame := f.next(); len(frame.GetResults()) != 1 || len(frame.GetDeliveries()) != 1 {
			t.Errorf("the frame of the delivery: %v, want the result in it", frame)
		}
	})
}

func TestHeldResultWhoseDeliveryDoesNotComeGoesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, f := newTestOutbound(1 << 20)
		for id := range uint64(3) { // again and again
			o.frameReceived(1)
			o.answerSoon(result{id: id, outcome: relayv1.Outcome_OUTCOME_ACCEPTED})
			time.Sleep(holdTime)
			<-o.wake
			if frame := f.next(); len(frame.GetResults()) != 1 {
				t.Errorf("after the time to hold results: %v, want result %d", frame, id)
			}
		}
	})
}

func TestNothingIsHeldOrLeftOutWhenTheStreamIsAboutToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, f := newTestOutbound(1 << 20)
		o.frameReceived(3)
		o.answerSoon(result{id: 1, outcome: relayv1.Outcome_OUTCOME_ACCEPTED})
		o.finish()
		<-o.wake
		o.answerSoon(result{id: 2, outcome: relayv1.Outcome_OUTCOME_ACCEPTED})
		o.answered(result{id: 3, outcome: relayv1.Outcome_OUTCOME_ACCEPTED})
		<-o.wake
		if frame := f.next(); len(frame.GetResults()) != 3 {
			t.Errorf("got %v, want three results", frame)
		}
		if !o.end() {
			t.Error("not all is answered")
		}
	})
}

// TestStreamEndsOnlyWhenAllItTookIsConfirmed: the edge takes a frame that is not
// confirmed for one that nobody has stored, and may tell its member so.
func TestStreamEndsOnlyWhenAllItTookIsConfirmed(t *testing.T) {
	o, f := newTestOutbound(1 << 20)
	o.frameReceived(1)
	o.answered(result{id: 1, outcome: relayv1.Outcome_OUTCOME_ACCEPTED})
	o.finish()
	if o.end() {
		t.Fatal("the stream ended with a frame that was taken and not confirmed")
	}
	if frame := f.next(); frame.GetReceived() != 1 {
		t.Fatalf("the last frame confirms %d, want 1", frame.GetReceived())
	}
	if !o.end() {
		t.Error("the stream does not end although all is answered and confirmed")
	}
}
