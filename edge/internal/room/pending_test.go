package room

import (
	"math"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge/internal/room/roomtest"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// acking is what a dialect may answer.
func acking(p *Publish) ws.Frame {
	return ws.Seal(ws.OpText, packet.AppendAck(ws.Reserve(0), p.UUID))
}

func nothing(*Publish) ws.Frame { return ws.Frame{} }

func has(p *Pending, number uint32) bool {
	_, ok := p.member(number)
	return ok
}

var errDone = &ws.CloseError{Code: packet.CloseGoingAway, Reason: "done"}

// inWindow runs a test of a connection that may have so much pending.
func inWindow(t *testing.T, limits ws.Limits, test func(t *testing.T, p *Pending, peer *roomtest.Peer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		out := ws.NewOutbox(ws.Limits{Frames: 100, Bytes: 1 << 20}, ws.NewFlusher(prometheus.NewRegistry()))
		peer := roomtest.NewPeer()
		out.Start(peer)
		test(t, &Pending{limits: limits, out: out}, peer)
	})
}

func add(t *testing.T, p *Pending, uuid string, bytes int) (number uint32) {
	t.Helper()
	number, ok := p.Add(Publish{UUID: uuid}, bytes)
	if !ok {
		t.Fatalf("%s is not taken", uuid)
	}
	return number
}

func TestPublishIsSettledOnce(t *testing.T) {
	inWindow(t, ws.Limits{Frames: 10, Bytes: 100}, func(t *testing.T, p *Pending, peer *roomtest.Peer) {
		a, b := add(t, p, "a", 1), add(t, p, "b", 1)
		for i, want := range []bool{true, false} {
			if got := p.settleWith(b, acking); got != want {
				t.Errorf("settling b, try %d: %v, want %v", i, got, want)
			}
		}
		if one, ok := p.settle(a); !ok || one.UUID != "a" {
			t.Errorf("settling a: %+v, %v", one, ok)
		}
		if p.settleWith(a, acking) {
			t.Error("a is settled twice")
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{"ack b"}, peer.Got()); diff != "" {
			t.Errorf("the peer got (-want +got):\n%s", diff)
		}
	})
}

func TestPublishWaitsForRoomInTheWindow(t *testing.T) {
	for name, tt := range map[string]struct {
		limits ws.Limits
		bytes  []int
	}{
		"packets":          {ws.Limits{Frames: 2, Bytes: 100}, []int{1, 1, 1}},
		"bytes":            {ws.Limits{Frames: 10, Bytes: 100}, []int{60, 40, 1}},
		"one beyond bytes": {ws.Limits{Frames: 10, Bytes: 100}, []int{101, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			inWindow(t, tt.limits, func(t *testing.T, p *Pending, _ *roomtest.Peer) {
				last := len(tt.bytes) - 1
				var first uint32
				for i, bytes := range tt.bytes[:last] {
					if n := add(t, p, "u", bytes); i == 0 {
						first = n
					}
				}
				added := false
				go func() { _, added = p.Add(Publish{UUID: "u"}, tt.bytes[last]) }()
				synctest.Wait()
				one, _ := p.settle(first)
				synctest.Wait()
				if added {
					t.Error("the window is full, and takes one more")
				}
				p.release(size{1, int(one.bytes)})
				synctest.Wait()
				if !added {
					t.Error("the window has room, and takes nothing")
				}
			})
		})
	}
}

func TestConnectionFinishesAfterItsLastAck(t *testing.T) {
	inWindow(t, ws.Limits{Frames: 10, Bytes: 100}, func(t *testing.T, p *Pending, peer *roomtest.Peer) {
		a, b := add(t, p, "a", 1), add(t, p, "b", 1)
		p.Finish(errDone)
		if _, ok := p.Add(Publish{UUID: "c"}, 1); ok {
			t.Error("a publish is taken after Finish")
		}
		first, _ := p.settle(a) // its frame is not queued yet
		p.settleWith(b, acking)
		synctest.Wait()
		if diff := cmp.Diff([]string{"ack b"}, peer.Got()); diff != "" {
			t.Errorf("before the last ack the peer got (-want +got):\n%s", diff)
		}
		p.out.Send(acking(&Publish{UUID: "a"}))
		p.release(size{1, int(first.bytes)})
		synctest.Wait()
		if diff := cmp.Diff([]string{"ack b", "ack a", "close 1001"}, peer.Got()); diff != "" {
			t.Errorf("the peer got (-want +got):\n%s", diff)
		}
	})
}

func TestPublishThatWaitsIsNotTakenWhenTheConnectionEnds(t *testing.T) {
	inWindow(t, ws.Limits{Frames: 1, Bytes: 100}, func(t *testing.T, p *Pending, _ *roomtest.Peer) {
		add(t, p, "a", 1)
		done, taken := false, false
		go func() { _, taken = p.Add(Publish{UUID: "b"}, 1); done = true }()
		p.out.Close(errDone)
		p.Wake()
		synctest.Wait()
		if !done || taken {
			t.Errorf("waiting is over: %v, the publish is taken: %v; want true and false", done, taken)
		}
	})
}

func TestNumbersWrapAround(t *testing.T) {
	inWindow(t, ws.Limits{Frames: 10, Bytes: 100}, func(t *testing.T, p *Pending, _ *roomtest.Peer) {
		p.last = math.MaxUint32 - 2
		var numbers []uint32
		for range 6 {
			numbers = append(numbers, add(t, p, "u", 1))
		}
		for _, i := range []int{3, 0, 5, 1, 4, 2} {
			if !p.settleWith(numbers[i], nothing) || has(p, numbers[i]) {
				t.Errorf("number %d is not settled", numbers[i])
			}
		}
	})
}
