package relay

import (
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

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
	done := &counter{room, &waiting}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		room <- struct{}{}
		waiting.Add(1)
		rig.Publish(&Publication{Group: "/room/", Kind: stream.Message, Session: 1, Number: uint32(i), Payload: payload, From: done})
	}
	waiting.Wait()
	b.StopTimer()
	rig.stop()
	serving.Wait()
}

// counter makes room for the next publication.
type counter struct {
	room    chan struct{}
	waiting *sync.WaitGroup
}

func (c *counter) Result(*Publication, Result) { <-c.room; c.waiting.Done() }

// BenchmarkDecodeFrame reads a frame of deliveries, 16 messages of 128 bytes, off
// the wire: one operation is one frame.
func BenchmarkDecodeFrame(b *testing.B) {
	d := &relayv1.Delivery{Channel: 1, Epoch: 1 << 60}
	for i := range uint64(16) {
		d.Events = append(d.Events, &relayv1.Event{
			Kind: relayv1.EventKind_EVENT_KIND_MESSAGE, Seq: 1e6 + i, Prev: 1 << 31, Link: 1 << 30,
			OriginEdge: 1 << 60, OriginId: 1<<40 + i, Payload: make([]byte, 128),
		})
	}
	wire, err := proto.Marshal(&relayv1.ConnectResponse{Received: 1000, Deliveries: []*relayv1.Delivery{d}})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		var frame relayv1.ConnectResponse
		if err := proto.Unmarshal(wire, &frame); err != nil {
			b.Fatal(err)
		}
		if n := len(decodeEvents(frame.GetDeliveries()[0].GetEvents())); n != 16 {
			b.Fatal(n)
		}
	}
}

// BenchmarkEncodeFrame writes a frame of 16 publishes of 128 bytes to the wire.
func BenchmarkEncodeFrame(b *testing.B) {
	frame := &relayv1.ConnectRequest{}
	for i := range uint64(16) {
		frame.Publishes = append(frame.Publishes, &relayv1.Publish{
			Id: 1<<40 + i, Group: "/room/9527/", Kind: relayv1.PacketKind_PACKET_KIND_DATA,
			Uuid: "02108001177667145695", Payload: make([]byte, 128), TimeoutMs: 5000,
		})
	}
	var wire []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if wire, err = (proto.MarshalOptions{}).MarshalAppend(wire[:0], frame); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(wire)))
}
