package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/gotapi/gotapi-ws/edge/internal/historyconn"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/services/alarm"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const (
	accepted    = relayv1.Outcome_OUTCOME_ACCEPTED
	unavailable = relayv1.Outcome_OUTCOME_UNAVAILABLE
)

func TestAtMostTwoFramesAreOnTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig, answers := newRig(t, Options{}), newAnswers(t)
		conn := rig.service.next(t)
		for n := uint32(1); n <= 2; n++ {
			rig.Publish(answers.publication(n, stream.Message))
			synctest.Wait() // each leaves at once: nothing is on the way
		}
		for n := uint32(3); n <= 400; n++ {
			rig.Publish(answers.publication(n, stream.Message))
		}
		first, second := conn.frame().GetPublishes(), conn.frame().GetPublishes()
		wantNumbers(t, first, from(1, 1))
		wantNumbers(t, second, from(2, 2))
		synctest.Wait()
		select {
		case f := <-conn.frames:
			t.Fatalf("a third frame came with nothing confirmed: %v", numbers(f.GetPublishes()))
		default:
		}

		conn.answer(accepted, first...)
		third := conn.frame().GetPublishes()
		wantNumbers(t, third, from(3, 130))
		conn.answer(accepted, third...)
		wantNumbers(t, conn.frame().GetPublishes(), from(131, 258))
		wantNumbers(t, conn.frame().GetPublishes(), from(259, 386))
		answers.want(1, Accepted)
	})
}

func TestAPublishThatIsWrittenAgainIsTheSame(t *testing.T) {
	l := newLedger(100, 1<<30)
	l.add(newEntry(&Publication{
		Group: "/a", Kind: stream.Message, UUID: "u", Payload: []byte("x"), Author: []byte("12345678"),
		By: stream.Author{Name: "alice"}, Session: 1, Number: 2,
	}, time.Now().Add(time.Minute)))
	now := time.Now()
	first := l.write(1, now)[0]
	l.rewind(1)
	again := l.write(1, now)[0]
	if first.GetAgain() || !again.GetAgain() {
		t.Errorf("written again: %v and %v, want false and true", first.GetAgain(), again.GetAgain())
	}
	if diff := cmp.Diff(first, again, protocmp.Transform(), protocmp.IgnoreFields(again, "again")); diff != "" || first == again {
		t.Errorf("the same message: %v (-first +again):\n%s", first == again, diff)
	}
}

func TestANameThatNobodyKeepsIsNotSent(t *testing.T) {
	for _, name := range []string{"", "not \xff UTF-8", strings.Repeat("n", stream.MaxAuthorName+1)} {
		e := newEntry(&Publication{Kind: stream.Message, By: stream.Author{Name: name, Key: true}}, time.Now())
		if e.msg.GetBy() != nil {
			t.Errorf("%q is sent as %v", name, e.msg.GetBy())
		}
	}
}

func TestFramesAreBoundInBytes(t *testing.T) {
	l := newLedger(100, 1<<30)
	for n, size := range []int{maxFrameBytes / 2, maxFrameBytes / 3, maxFrameBytes / 3, 2 * maxFrameBytes} {
		l.add(newEntry(&Publication{Number: uint32(n), Payload: make([]byte, size)}, time.Now()))
	}
	for i, want := range [][]uint32{{0, 1}, {2}, {3}, {}} {
		wantNumbers(t, l.write(uint64(i+1), time.Now()), want)
	}
}

func TestPublishCarriesEverything(t *testing.T) {
	rig := newRig(t, Options{LastMoment: soon, PublishTimeout: 3 * time.Second})
	conn := rig.service.next(t)
	for _, tt := range []struct {
		kind stream.Kind
		want relayv1.PacketKind
	}{
		{stream.Message, relayv1.PacketKind_PACKET_KIND_DATA},
		{stream.Text, relayv1.PacketKind_PACKET_KIND_TEXT},
		{stream.Binary, relayv1.PacketKind_PACKET_KIND_BINARY},
	} {
		done := make(waiter, 1)
		rig.Publish(&Publication{
			Group: "/a", Kind: tt.kind, UUID: "u", Payload: []byte{0, 0xff},
			Author: []byte("12345678"), By: stream.Author{Name: "backend", Key: true},
			Session: 3, Number: uint32(tt.kind), From: done,
		})
		got := conn.frame().GetPublishes()[0]
		if got.GetId() != 3<<32|uint64(tt.kind) || got.GetGroup() != "/a" || got.GetKind() != tt.want ||
			got.GetUuid() != "u" || !bytes.Equal(got.GetPayload(), []byte{0, 0xff}) ||
			string(got.GetAuthor()) != "12345678" || got.GetBy().GetName() != "backend" || !got.GetBy().GetKey() {
			t.Errorf("kind %v: got publish %v", tt.kind, got)
		}
		if ms := got.GetTimeoutMs(); ms == 0 || ms > 3000 {
			t.Errorf("kind %v: got timeout_ms %d, want 1 to 3000", tt.kind, ms)
		}
		conn.send(&relayv1.ConnectResponse{Results: []*relayv1.Result{
			{Id: got.GetId(), Outcome: accepted, Epoch: 7, Seq: 8, At: 9, Recalled: true},
		}})
		if r := receive(t, done); r != (Result{Outcome: Accepted, Epoch: 7, Seq: 8, At: 9, Recalled: true}) {
			t.Errorf("kind %v: got result %+v", tt.kind, r)
		}
	}
}

func TestOutcomesOfTheServiceReachTheCaller(t *testing.T) {
	rig, answers := newRig(t, Options{LastMoment: soon}), newAnswers(t)
	conn := rig.service.next(t)
	for outcome, want := range map[relayv1.Outcome]Outcome{
		accepted:                            Accepted,
		unavailable:                         Unavailable,
		relayv1.Outcome_OUTCOME_DUPLICATE:   Duplicate,
		relayv1.Outcome_OUTCOME_INVALID:     Invalid,
		relayv1.Outcome_OUTCOME_UNKNOWN:     Unknown,
		relayv1.Outcome_OUTCOME_BUSY:        Busy,
		relayv1.Outcome(99):                 Unknown,
		relayv1.Outcome_OUTCOME_UNSPECIFIED: Unknown,
	} {
		rig.Publish(answers.publication(uint32(outcome), stream.Message))
		p := conn.frame().GetPublishes()[0]
		conn.answer(outcome, p, p) // a second result is ignored
		answers.want(uint32(outcome), want)
	}
}

func TestUnansweredMessagesAreSentAgainInOrderAfterALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig, answers := newRig(t, Options{}), newAnswers(t)
		conn := rig.service.next(t)
		wantCall(t, rig.handler, restored{})
		kinds := map[uint32]stream.Kind{3: stream.Text, 5: stream.Binary, 7: stream.Text}
		publish := func(n uint32) {
			kind, ok := kinds[n]
			if !ok {
				kind = stream.Message
			}
			rig.Publish(answers.publication(n, kind))
			synctest.Wait()
		}
		publish(1)
		publish(2) // the window is full now
		first := conn.frame().GetPublishes()
		conn.answer(accepted) // confirmed, not answered
		for n := uint32(3); n <= 5; n++ {
			publish(n)
		}
		conn.frame()
		conn.frame()
		for n := uint32(6); n <= 8; n++ {
			publish(n) // not written on this stream
		}
		conn.answer(accepted, first...)
		answers.want(1, Accepted)
		conn.frame() // whatever else was let through is written, not answered
		conn.end <- status.Error(codes.Unavailable, "killed")

		conn = rig.service.next(t)
		wantCall(t, rig.handler, lost{})
		wantCall(t, rig.handler, restored{})
		var again []*relayv1.Publish
		for len(numbers(again)) == 0 || again[len(again)-1].GetId() != 1<<32|8 {
			f := conn.frame().GetPublishes()
			again = append(again, f...)
			conn.answer(accepted, f...)
		}
		for _, n := range numbers(again) {
			if n == 3 {
				t.Errorf("the broadcast 3 was written twice")
			}
		}
		messages := again[:0:0]
		for _, p := range again {
			if p.GetKind() == relayv1.PacketKind_PACKET_KIND_DATA {
				messages = append(messages, p)
			}
		}
		wantNumbers(t, messages, []uint32{2, 4, 6, 8})
	})
}

func TestBroadcastsThatWereWrittenAreGivenUpAtALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig, answers := newRig(t, Options{}), newAnswers(t)
		conn := rig.service.next(t)
		for n := uint32(1); n <= 3; n++ {
			rig.Publish(answers.publication(n, stream.Text))
			synctest.Wait()
		}
		conn.frame()
		conn.frame()
		conn.end <- status.Error(codes.Unavailable, "killed")
		answers.want(1, Unknown)
		answers.want(2, Unknown)
		conn = rig.service.next(t)
		f := conn.frame().GetPublishes() // never written before
		wantNumbers(t, f, []uint32{3})
		conn.answer(accepted, f...)
		answers.want(3, Accepted)
	})
}

func TestBroadcastsThatADrainingServiceDidNotTakeAreSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig, answers := newRig(t, Options{PublishTimeout: time.Second}), newAnswers(t)
		conn := rig.service.next(t)
		rig.Publish(answers.publication(1, stream.Text))
		conn.answer(accepted, conn.frame().GetPublishes()...)
		answers.want(1, Accepted)
		rig.Publish(answers.publication(2, stream.Text))
		synctest.Wait()
		rig.Publish(answers.publication(3, stream.Message))
		conn.frame() // and it is neither confirmed nor answered
		conn.end <- nil
		conn = rig.service.next(t)
		first := conn.frame().GetPublishes()
		wantNumbers(t, first, []uint32{2, 3})
		conn.answer(accepted, first[:1]...)
		answers.want(2, Accepted)
		answers.want(3, Unknown) // it was written to the second stream
	})
}

func TestRefusalOfAResentMessageIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig, answers := newRig(t, Options{}), newAnswers(t)
		conn := rig.service.next(t)
		rig.Publish(answers.publication(1, stream.Message))
		conn.frame()
		conn.end <- status.Error(codes.Unavailable, "killed")
		conn = rig.service.next(t)
		conn.answer(unavailable, conn.frame().GetPublishes()...)
		answers.want(1, Unknown)
	})
}

func TestWithoutServicePublicationsAreUnavailableAfterTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, err := historyconn.Dial("passthrough:///nobody", grpc.WithContextDialer(
			func(context.Context, string) (net.Conn, error) { return nil, errors.New("refused") }))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c, answers := New(conn, Options{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry()), newAnswers(t)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = c.Run(ctx, newRecorder()) })
		start := time.Now()
		c.Publish(answers.publication(1, stream.Message))
		answers.want(1, Unavailable)
		if took := time.Since(start); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("the refusal took %v, want about 5 s", took)
		}
		cancel()
		running.Wait()
	})
}

func TestUnwrittenPublicationTimesOutAsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig, answers := newRig(t, Options{PublishTimeout: time.Second}), newAnswers(t)
		conn := rig.service.next(t)
		for n := uint32(1); n <= 3; n++ {
			rig.Publish(answers.publication(n, stream.Message))
			synctest.Wait()
		}
		first := conn.frame().GetPublishes()
		answers.want(1, Unknown)     // written
		answers.want(2, Unknown)     // written
		answers.want(3, Unavailable) // behind the window
		conn.answer(accepted, first...)
		rig.Publish(answers.publication(4, stream.Message))
		conn.frame()
		f := conn.frame().GetPublishes()
		wantNumbers(t, f, []uint32{4})
		conn.answer(accepted, f...)
		answers.want(4, Accepted) // and 1 was not answered again
	})
}

func TestMoreThanTheBoundIsBusyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig, answers := newRig(t, Options{MaxItems: 8, MaxBytes: 1 << 20}), newAnswers(t)
		conn := rig.service.next(t)
		number := uint32(0)
		publish := func(g group.Name, size int) {
			number++
			p := answers.publication(number, stream.Message)
			p.Group, p.Payload = g, make([]byte, size)
			rig.Publish(p)
		}
		publish("/a", 1)
		publish("/a", 1)
		publish("/a", 1) // more than a quarter of the items
		answers.want(3, Busy)
		publish("/b", 1<<18) // more than a quarter of the bytes
		answers.want(4, Busy)
		for _, g := range []group.Name{"/b", "/b", "/c", "/c", "/d", "/d"} {
			publish(g, 1)
		}
		publish("/e", 1) // more than all
		answers.want(11, Busy)

		// What is answered makes room.
		for answered := 0; answered < 8; {
			publishes := conn.frame().GetPublishes()
			conn.answer(accepted, publishes...)
			for range publishes {
				answers.next()
				answered++
			}
		}
		publish("/e", 1)
		conn.answer(accepted, conn.frame().GetPublishes()...)
		answers.want(12, Accepted)
	})
}

func TestEveryPublicationIsAnsweredOnceWhateverBreaks(t *testing.T) {
	rig, answers := newRig(t, Options{PublishTimeout: 300 * time.Millisecond, LastMoment: 50 * time.Millisecond}), newAnswers(t)
	const callers, each = 4, 1500
	ctx, cancel := context.WithCancel(t.Context())
	var serving, publishing sync.WaitGroup
	serving.Go(func() { breakingService(ctx, rig.service) })
	for caller := range uint32(callers) {
		publishing.Go(func() {
			for i := range uint32(each) {
				kind := stream.Message
				if i%3 == 0 {
					kind = stream.Text
				}
				rig.Publish(answers.publication(caller*each+i, kind))
			}
		})
	}
	publishing.Wait()
	outcomes := map[Outcome]int{}
	for range callers * each {
		_, r := answers.next()
		outcomes[r.Outcome]++
	}
	rig.stop()
	cancel()
	serving.Wait()
	t.Logf("outcomes: %v", outcomes)
	if outcomes[Accepted] == 0 {
		t.Error("nothing was accepted")
	}
}

// breakingService answers half of each frame and breaks every third stream
// after a few frames.
func breakingService(ctx context.Context, s *service) {
	for {
		select {
		case <-ctx.Done():
			return
		case conn := <-s.conns:
			go func() {
				frames := uint64(0)
				for f := range conn.frames {
					if len(f.GetPublishes()) == 0 {
						continue
					}
					frames++
					r := &relayv1.ConnectResponse{Received: frames}
					for i, p := range f.GetPublishes() {
						if i%2 == 0 {
							r.Results = append(r.Results, &relayv1.Result{Id: p.GetId(), Outcome: accepted})
						}
					}
					_ = conn.stream.Send(r)
					if frames == 20 {
						conn.end <- errors.New("broken")
					}
				}
			}()
		}
	}
}

func TestChannels(t *testing.T) {
	rig := newRig(t, Options{LastMoment: soon})
	conn := rig.service.next(t)
	wantCall(t, rig.handler, restored{})
	at := stream.Position{Epoch: 1, Seq: 2, Changes: 3, Link: 4}
	first, second := rig.Attach("/a", nil), rig.Attach("/b", &at)
	if first == 0 || second <= first {
		t.Errorf("got channels %d and %d, want rising ones", first, second)
	}
	var interests []*relayv1.Interest
	for len(interests) < 2 {
		interests = append(interests, conn.frame().GetInterests()...)
	}
	rig.Detach(first)
	interests = append(interests, conn.frame().GetInterests()...)
	got := fmt.Sprint(interests[0].GetGroup(), interests[0].GetFrom(), interests[1].GetGroup(), decodePosition(interests[1].GetFrom()),
		interests[2].GetChannel() == first, interests[2].GetGroup() == "")
	if want := fmt.Sprint("/a", (*relayv1.Position)(nil), "/b", at, true, true); got != want {
		t.Errorf("interests: got %s, want %s", got, want)
	}

	payload := []byte("hello")
	conn.send(&relayv1.ConnectResponse{
		Attached: []*relayv1.Attached{
			{Channel: second, Position: encodePosition(&at), Gap: true},
			{Channel: 77, Error: "no"},
		},
		Deliveries: []*relayv1.Delivery{{Channel: second, Epoch: 1, Events: []*relayv1.Event{
			{Kind: relayv1.EventKind_EVENT_KIND_MESSAGE, Seq: 3, Prev: 4, Link: 5, OriginEdge: 6, OriginId: 7, Payload: payload},
			{Kind: relayv1.EventKind_EVENT_KIND_RECALL, Seq: 3, Changes: 4, Prev: 5, Link: 6, Target: 3, Uuid: "u"},
		}}},
	})
	wantCall(t, rig.handler, attached{Channel: second, At: at, Gap: true})
	wantCall(t, rig.handler, attached{Channel: 77, Err: "no"})
	wantCall(t, rig.handler, delivered{second, 1, []stream.Event{
		{Kind: stream.Message, Seq: 3, Prev: 4, Link: 5, Origin: stream.Origin{Edge: 6, ID: 7}, Payload: payload},
		{Kind: stream.Recall, Seq: 3, Changes: 4, Prev: 5, Link: 6, Target: 3, UUID: "u"},
	}})
	conn.end <- nil
	wantCall(t, rig.handler, lost{})
}

func TestInterestsDoNotWaitForTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig, answers := newRig(t, Options{}), newAnswers(t)
		conn := rig.service.next(t)
		for n := uint32(1); n <= 3; n++ {
			rig.Publish(answers.publication(n, stream.Message))
			synctest.Wait()
		}
		rig.Attach("/a", nil)
		conn.frame()
		conn.frame()
		if f := conn.frame(); len(f.GetInterests()) != 1 || len(f.GetPublishes()) != 0 {
			t.Errorf("got frame %v, want the interest alone", f)
		}
	})
}

func TestChannelThatIsEndedBeforeItWasOpenedIsNeverSeen(t *testing.T) {
	c := New(nil, Options{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	c.opened(bareLink(t))
	var channels []uint32
	for range 4 {
		channels = append(channels, c.Attach("/a", nil))
	}
	c.Detach(channels[1])
	c.Detach(channels[3])
	var opened []uint32
	for f := c.nextFrame(c.link); f != nil; f = c.nextFrame(c.link) {
		for _, i := range f.GetInterests() {
			opened = append(opened, i.GetChannel())
		}
	}
	if diff := cmp.Diff([]uint32{channels[0], channels[2]}, opened); diff != "" {
		t.Errorf("channels in frames, -want +got:\n%s", diff)
	}
}

func TestManyInterestsAreSplit(t *testing.T) {
	c := New(nil, Options{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	c.opened(bareLink(t))
	const n = 10_000
	for i := range n {
		c.Attach(group.Name(fmt.Sprintf("/a/rather/long/name/of/a/group/%d", i)), nil)
	}
	frames, last := 0, uint32(0)
	for f := c.nextFrame(c.link); f != nil; f = c.nextFrame(c.link) {
		frames++
		if size := proto.Size(f); size > maxFrameBytes {
			t.Errorf("frame of %d bytes, want at most %d", size, maxFrameBytes)
		}
		for _, i := range f.GetInterests() {
			if i.GetChannel() != last+1 {
				t.Fatalf("channel %d came after %d", i.GetChannel(), last)
			}
			last++
		}
	}
	if last != n || frames < 2 {
		t.Errorf("got %d interests in %d frames, want %d in several", last, frames, n)
	}
}

func TestAttachWithoutAStreamIsNothing(t *testing.T) {
	c := New(nil, Options{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry()) // it does not run
	if channel := c.Attach("/a", nil); channel != 0 {
		t.Errorf("got channel %d, want 0", channel)
	}
}

func TestCleanEndOfAStreamLosesNothingAndTakesNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig, answers := newRig(t, Options{}), newAnswers(t)
		conn := rig.service.next(t)
		rig.Publish(answers.publication(1, stream.Message))
		f := conn.frame().GetPublishes()
		conn.answer(accepted, f...)
		answers.want(1, Accepted)
		rig.Publish(answers.publication(2, stream.Message))
		conn.frame()
		start := time.Now()
		conn.end <- nil
		conn = rig.service.next(t)
		conn.answer(accepted, conn.frame().GetPublishes()...)
		answers.want(2, Accepted)
		if took := time.Since(start); took > 0 {
			t.Errorf("moving on took %v, want no pause", took)
		}
	})
}

func TestDeadServiceIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig, answers := newRig(t, Options{PublishTimeout: time.Minute}), newAnswers(t)
		rig.service.next(t)
		wantCall(t, rig.handler, restored{})
		rig.line.cut()
		rig.Publish(answers.publication(1, stream.Message))
		start := time.Now()
		// Without a time limit of its own: keepalive takes 13 s at most.
		if call := <-rig.handler.calls; call != (lost{}) {
			t.Fatalf("got call %#v, want lost", call)
		}
		if took := time.Since(start); took > 13*time.Second {
			t.Errorf("it took %v, want at most 13 s", took)
		}
		conn := rig.service.next(t)
		conn.answer(accepted, conn.frame().GetPublishes()...)
		answers.want(1, Accepted)
	})
}

func TestStopLetsUnansweredPublicationsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig, answers := newRig(t, Options{}), newAnswers(t)
		conn := rig.service.next(t)
		rig.Publish(answers.publication(1, stream.Message))
		f := conn.frame().GetPublishes()
		stopped := make(chan struct{})
		go func() { rig.stop(); close(stopped) }()
		synctest.Wait()
		rig.Publish(answers.publication(2, stream.Message))
		answers.want(2, Unavailable) // too late
		conn.answer(accepted, f...)
		answers.want(1, Accepted)
		if f, open := <-conn.frames; open || !errors.Is(conn.why, io.EOF) {
			t.Errorf("got frame %v and error %v, want the end of the edge's half", f, conn.why)
		}
		conn.end <- nil
		<-stopped
	})
}

func TestStopDoesNotWaitForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig, answers := newRig(t, Options{LastMoment: time.Second}), newAnswers(t)
		conn := rig.service.next(t)
		rig.Publish(answers.publication(1, stream.Message))
		conn.frame()
		start := time.Now()
		rig.stop() // the service never answers, nor ends the stream
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("stopping took %v", took)
		}
		answers.want(1, Unknown)
	})
}

func TestFlushWaitsForAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig, answers := newRig(t, Options{}), newAnswers(t)
		conn := rig.service.next(t)
		if err := rig.Flush(t.Context()); err != nil {
			t.Errorf("nothing waits: %v", err)
		}
		rig.Publish(answers.publication(1, stream.Message))
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := rig.Flush(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one waits: got error %v, want deadline exceeded", err)
		}
		done := make(chan error)
		go func() { done <- rig.Flush(t.Context()) }()
		synctest.Wait()
		conn.answer(accepted, conn.frame().GetPublishes()...)
		if err := <-done; err != nil {
			t.Errorf("after the answer: %v", err)
		}
	})
}

func TestMembersAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counts := make(chan map[group.Name]uint32, 10)
		rig := newRig(t, Options{}, func() map[group.Name]uint32 { return <-counts })
		report := func(conn *connection, members map[group.Name]uint32, full bool, want map[string]uint32) {
			t.Helper()
			counts <- members
			p := conn.frame().GetPresence()
			got := p.GetMembers()
			if got == nil {
				got = map[string]uint32{}
			}
			if diff := cmp.Diff(want, got); diff != "" || p.GetFull() != full {
				t.Errorf("report of %v: got full %v, members -want +got:\n%s", members, p.GetFull(), diff)
			}
		}
		conn := rig.service.next(t)
		start := time.Now()
		report(conn, map[group.Name]uint32{"/a": 1, "/b": 2, "/c": 3}, true, map[string]uint32{"/a": 1, "/b": 2, "/c": 3})
		report(conn, map[group.Name]uint32{"/a": 1, "/b": 5}, false, map[string]uint32{"/b": 5, "/c": 0})
		report(conn, map[group.Name]uint32{"/a": 1, "/b": 5}, false, map[string]uint32{})
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("two changes took %v, want 4 s", took)
		}
		conn.end <- nil
		conn = rig.service.next(t)
		report(conn, map[group.Name]uint32{"/a": 1}, true, map[string]uint32{"/a": 1})
		close(counts)
	})
}

func TestAlarmsAreToldWithEachReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alarms := []alarm.Alarm{{Name: "A", Text: "full"}}
		var mu sync.Mutex
		opts := Options{Version: "v1", Commit: "c0ffee", Host: "h:1", Alarms: func() []alarm.Alarm {
			mu.Lock()
			defer mu.Unlock()
			return alarms
		}}
		rig := newRig(t, opts, func() map[group.Name]uint32 { return nil })
		conn := rig.service.next(t)
		if got := conn.frame().GetHealth().GetAlarms(); len(got) != 1 || got[0].GetName() != "A" || got[0].GetText() != "full" {
			t.Errorf("the first report has %v, want one alarm", got)
		}
		mu.Lock()
		alarms = nil
		mu.Unlock()
		if got := conn.frame().GetHealth(); got == nil || len(got.GetAlarms()) != 0 {
			t.Errorf("when nothing is wrong any more, the report has %v, want no alarms", got)
		}
	})
}

func TestLargeReportsAreSplit(t *testing.T) {
	members := make(map[group.Name]uint32)
	for i := range 10_000 {
		members[group.Name(fmt.Sprintf("/a/rather/long/name/of/a/group/%d", i))] = uint32(i)
	}
	got := make(map[group.Name]uint32)
	pieces := split(members, true)
	for i, p := range pieces {
		if p.GetFull() != (i == 0) {
			t.Errorf("piece %d: got full %v", i, p.GetFull())
		}
		for g, n := range p.GetMembers() {
			got[group.Name(g)] = n
		}
	}
	if diff := cmp.Diff(members, got); diff != "" || len(pieces) < 3 {
		t.Errorf("%d pieces, -want +got:\n%s", len(pieces), diff)
	}
}

func TestRead(t *testing.T) {
	rig := newRig(t, Options{LastMoment: soon})
	at := stream.Position{Epoch: 9, Seq: 2, Changes: 4, Link: 3}
	after := &relayv1.ReadRequest_After{After: encodePosition(&at)}
	var asked *relayv1.ReadRequest
	rig.service.read = func(r *relayv1.ReadRequest) (*relayv1.ReadResponse, error) {
		if asked = r; r.GetAfterUuid() == "gone" {
			return nil, status.Error(codes.Unavailable, "no")
		}
		return &relayv1.ReadResponse{
			Epoch: 9, Gap: true, More: true, Position: encodePosition(&at),
			Events: []*relayv1.Event{
				{Kind: relayv1.EventKind_EVENT_KIND_TOMBSTONE, Seq: 2, Uuid: "x"},
				{Kind: relayv1.EventKind_EVENT_KIND_MESSAGE, Seq: 3, At: 7, By: &relayv1.Author{Name: "alice"}},
			},
		}, nil
	}
	want := Batch{Epoch: 9, Gap: true, More: true, Position: at, Events: []stream.Event{
		{Kind: stream.Tombstone, Seq: 2, UUID: "x"}, {Kind: stream.Message, Seq: 3, At: 7, By: stream.Author{Name: "alice"}},
	}}
	for _, tt := range []struct {
		start Start
		want  *relayv1.ReadRequest
	}{
		{Start{AfterUUID: "u"}, &relayv1.ReadRequest{Start: &relayv1.ReadRequest_AfterUuid{AfterUuid: "u"}}},
		{Start{After: at}, &relayv1.ReadRequest{Start: after}},
		{Start{After: at, IfLost: FromNow}, &relayv1.ReadRequest{Start: after, NewestIfLost: proto.Uint32(0)}},
		{Start{After: at, IfLost: 20}, &relayv1.ReadRequest{Start: after, NewestIfLost: proto.Uint32(20)}},
		{Start{Newest: 5}, &relayv1.ReadRequest{Start: &relayv1.ReadRequest_Newest{Newest: 5}}},
	} {
		tt.want.Group = string(room)
		got, err := rig.Read(t.Context(), room, tt.start)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("start %+v: error %v, -want +got:\n%s", tt.start, err, diff)
		}
		if diff := cmp.Diff(tt.want, asked, protocmp.Transform()); diff != "" {
			t.Errorf("start %+v: request (-want +got):\n%s", tt.start, diff)
		}
	}
	if _, err := rig.Read(t.Context(), room, Start{AfterUUID: "gone"}); status.Code(err) != codes.Unavailable {
		t.Errorf("got error %v, want Unavailable", err)
	}
}

func wantNumbers(t *testing.T, got []*relayv1.Publish, want []uint32) {
	t.Helper()
	if diff := cmp.Diff(want, numbers(got)); diff != "" {
		t.Fatalf("numbers in the frame, -want +got:\n%s", diff)
	}
}

func wantCall(t *testing.T, h *recorder, want any) {
	t.Helper()
	if diff := cmp.Diff(want, receive(t, h.calls)); diff != "" {
		t.Fatalf("call of the handler, -want +got:\n%s", diff)
	}
}
