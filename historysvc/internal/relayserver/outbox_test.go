package relayserver

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// newTestPeer returns an edge without a stream, for channels to send to.
func newTestPeer(maxBytes int) *peer {
	return &peer{out: newOutbox(maxBytes, newMetrics(prometheus.NewRegistry(), newFleet()))}
}

func accepted(id uint64) *relayv1.Result {
	return &relayv1.Result{Id: id, Outcome: relayv1.Outcome_OUTCOME_ACCEPTED}
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
	p := newTestPeer(1 << 20)
	o := p.out
	a, b := &channel{id: 1, peer: p}, &channel{id: 2, peer: p}
	a.Deliver(9, []stream.Event{text("a1"), text("a2")})
	b.Deliver(9, []stream.Event{text("b1")})
	a.Deliver(9, []stream.Event{text("a3")})
	a.Deliver(10, []stream.Event{text("a4")})
	frame := o.next()
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
	if frame := o.next(); frame != nil {
		t.Errorf("another frame: %v", frame)
	}
}

func TestNoticeDoesNotOvertakeDeliveriesOfItsChannel(t *testing.T) {
	p := newTestPeer(1 << 20)
	o := p.out
	a, b := &channel{id: 1, peer: p}, &channel{id: 2, peer: p}
	a.Attached(stream.Position{Seq: 1}, false)
	a.Deliver(9, []stream.Event{text("a1")})
	b.Attached(stream.Position{Seq: 2}, false)
	a.Attached(stream.Position{Seq: 7}, true)
	a.Deliver(9, []stream.Event{text("a2")})
	for _, want := range [][]string{
		{"1 attached at 1", "2 attached at 2", "1 a1 in 9"},
		{"1 attached at 7", "1 a2 in 9"},
	} {
		if diff := cmp.Diff(want, story(o.next())); diff != "" {
			t.Errorf("want (-), got (+):\n%s", diff)
		}
	}
}

func TestFramesAreBounded(t *testing.T) {
	p := newTestPeer(64 << 20)
	o := p.out
	c := &channel{id: 1, peer: p}
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
	for frame := o.next(); frame != nil; frame = o.next() {
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
	p := newTestPeer(1 << 20)
	o := p.out
	const n = maxFrameResults + 10
	o.frameReceived(n)
	for i := range n {
		o.addResult(accepted(uint64(i)))
	}
	o.finish()
	if o.finished() {
		t.Error("all answered before anything was sent")
	}
	first, second := o.next(), o.next()
	if len(first.GetResults()) != maxFrameResults || len(second.GetResults()) != 10 {
		t.Errorf("%d and %d results, want %d and 10", len(first.GetResults()), len(second.GetResults()), maxFrameResults)
	}
	if got := second.GetResults()[9].GetId(); got != n-1 {
		t.Errorf("last result is of %d, want %d", got, n-1)
	}
	if !o.finished() || o.next() != nil {
		t.Error("not all answered")
	}
}

func TestConfirmationIsLazy(t *testing.T) {
	p := newTestPeer(1 << 20)
	o := p.out
	o.frameReceived(1)
	if frame := o.next(); frame != nil {
		t.Errorf("one unconfirmed frame caused %v", frame)
	}
	o.frameReceived(1)
	if frame := o.next(); frame.GetReceived() != 2 {
		t.Errorf("two unconfirmed frames caused %v, want a confirmation", frame)
	}
	o.frameReceived(1)
	o.addResult(accepted(1))
	if frame := o.next(); frame.GetReceived() != 3 {
		t.Errorf("a result travels with %v, want the confirmation of frame 3", frame)
	}
}

func TestFullQueueRefusesUntilHalfOfItIsSent(t *testing.T) {
	const size = maxFrameBytes / 2 // two events fill a frame
	p := newTestPeer(4 * size)
	a, b := &channel{id: 1, peer: p}, &channel{id: 2, peer: p}
	event := []stream.Event{text(strings.Repeat("x", size-itemOverhead))}
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
	p.out.beginFrame()
	if resumed := p.out.pack(); len(resumed) != 0 {
		t.Errorf("%d channels are resumed although most still waits", len(resumed))
	}
	p.out.beginFrame()
	resumed := p.out.pack()
	if len(resumed) != 2 || resumed[0] != a || resumed[1] != b {
		t.Errorf("%d channels are resumed, want both", len(resumed))
	}
	if !a.Deliver(9, event) {
		t.Error("an event is refused although there is room")
	}
}

// TestEveryChannelKeepsItsOrder: an edge that reads the notices of a frame first,
// then its deliveries, gets what each channel was given, in that order.
func TestEveryChannelKeepsItsOrder(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, seed))
		p := newTestPeer(64 << 20)
		channels := make([]*channel, 5)
		for i := range channels {
			channels[i] = &channel{id: uint32(i), peer: p}
		}
		given, got := make(map[uint32][]uint64), make(map[uint32][]uint64)
		read := func(frame *relayv1.ConnectResponse) {
			for _, a := range frame.GetAttached() {
				got[a.GetChannel()] = append(got[a.GetChannel()], a.GetPosition().GetSeq())
			}
			for _, d := range frame.GetDeliveries() {
				for _, e := range d.GetEvents() {
					got[d.GetChannel()] = append(got[d.GetChannel()], e.GetSeq())
				}
			}
		}
		for n := uint64(0); n < 5000; {
			c := channels[rng.IntN(len(channels))]
			switch rng.IntN(10) {
			case 0:
				read(p.out.next())
			case 1:
				n++
				given[c.id] = append(given[c.id], n)
				c.Attached(stream.Position{Seq: n}, true)
			default:
				events := make([]stream.Event, 1+rng.IntN(200))
				for i := range events {
					n++
					given[c.id] = append(given[c.id], n)
					events[i] = stream.Event{Kind: stream.Message, Seq: n}
				}
				c.Deliver(stream.Epoch(1+rng.IntN(2)), events)
			}
		}
		for frame := p.out.next(); frame != nil; frame = p.out.next() {
			read(frame)
		}
		if diff := cmp.Diff(given, got); diff != "" {
			t.Errorf("seed %d: given (-), got (+):\n%s", seed, diff)
		}
		if n := p.out.metrics.queuedBytes.Load(); n != 0 || p.out.bytes != 0 {
			t.Errorf("seed %d: %d bytes are left, of this edge %d", seed, n, p.out.bytes)
		}
	}
}

func TestClosedOutboxKeepsNothing(t *testing.T) {
	p := newTestPeer(1 << 20)
	c := &channel{id: 1, peer: p}
	p.out.frameReceived(1)
	c.Deliver(9, []stream.Event{text("waits")})
	p.out.close()
	p.out.addResult(accepted(1))
	c.Attached(stream.Position{}, false)
	c.Deliver(9, []stream.Event{text("x")})
	if frame := p.out.next(); len(story(frame)) != 0 || len(frame.GetResults()) != 0 {
		t.Errorf("got %v, want nothing", frame)
	}
	if p.out.frameReceived(1) {
		t.Error("another frame is taken")
	}
	if n := p.out.metrics.queuedBytes.Load(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
}

// TestStreamEndsOnlyWhenAllItTookIsConfirmed: the edge takes a frame that is not
// confirmed for one that nobody has stored, and may tell its member so.
func TestStreamEndsOnlyWhenAllItTookIsConfirmed(t *testing.T) {
	p := newTestPeer(1 << 20)
	o := p.out
	o.frameReceived(1)
	o.addResult(accepted(1))
	o.next()
	o.frameReceived(0)
	o.finish()
	if o.finished() {
		t.Fatal("the stream ended with a frame that was taken and not confirmed")
	}
	if frame := o.next(); frame.GetReceived() != 2 {
		t.Fatalf("the last frame confirms %d, want 2", frame.GetReceived())
	}
	if !o.finished() {
		t.Error("the stream does not end although all is answered and confirmed")
	}
}
