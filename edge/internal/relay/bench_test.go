package relay

import (
	"sync"
	"testing"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// BenchmarkPublish measures publications of 128 bytes, edge and a trivial
// service together, from one caller that keeps 1,000 unanswered.
func BenchmarkPublish(b *testing.B) {
	rig := newRig(b, Options{})
	conn := rig.service.next(b)
	var serving sync.WaitGroup
	serving.Go(func() {
		received := uint64(0)
		for f := range conn.frames {
			received++
			r := &relayv1.ConnectResponse{Received: received, Results: make([]*relayv1.Result, len(f.GetPublishes()))}
			for i, p := range f.GetPublishes() {
				r.Results[i] = &relayv1.Result{Id: p.GetId(), Outcome: accepted}
			}
			if conn.stream.Send(r) != nil {
				return
			}
		}
		conn.end <- nil
	})
	payload := make([]byte, 128)
	room := make(chan struct{}, 1000)
	var waiting sync.WaitGroup
	done := func(Receipt) { <-room; waiting.Done() }
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		room <- struct{}{}
		waiting.Add(1)
		rig.Publish(&Publication{Group: "/room/", Kind: stream.Message, Session: 1, Number: uint32(i), Payload: payload, Done: done})
	}
	waiting.Wait()
	b.StopTimer()
	rig.stop()
	serving.Wait()
}
