package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// Limits of a filler's stream.
const (
	frameItems = 128      // of the contract
	fillWindow = 1 << 12  // messages that wait for their answer, below any limit of a group
	fillFor    = 30 * 1e3 // how long an answer is worth having, ms
)

// historyClient speaks to the history service itself, as an edge does.
type historyClient struct {
	conn    *grpc.ClientConn
	history historyv1.HistoryServiceClient
	relay   relayv1.RelayServiceClient
	streams atomic.Uint64 // opened so far: each is an edge of its own
}

func dialHistory(addr string) (*historyClient, error) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		return nil, err
	}
	return &historyClient{conn: conn, history: historyv1.NewHistoryServiceClient(conn), relay: relayv1.NewRelayServiceClient(conn)}, nil
}

// message is what is stored: the n-th of a group, from 0.
type message struct{ group, n int }

func (m message) groupName() string { return depthGroup(m.group) }

// uuid has the 36 characters of the common kind.
func (m message) uuid() string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", m.group, m.n) }

func (m message) publish(id uint64) *relayv1.Publish {
	return &relayv1.Publish{
		Id: id, Group: m.groupName(), Kind: relayv1.PacketKind_PACKET_KIND_DATA,
		Uuid: m.uuid(), Payload: dataPacket(m.uuid()), TimeoutMs: fillFor,
	}
}

// store publishes messages over one relay stream, at most window unanswered at
// a time, and returns when all are stored.
func (c *historyClient) store(parent context.Context, window int, messages func(yield func(message) bool)) error {
	ctx, cancel := context.WithCancel(parent)
	stream, err := c.relay.Connect(ctx)
	if err == nil {
		err = stream.Send(&relayv1.ConnectRequest{Hello: &relayv1.Hello{Edge: c.streams.Add(1), Protocol: 1, OldestProtocol: 1}})
	}
	if err != nil {
		cancel()
		return err
	}
	f := &filler{stream: stream, frames: make(chan struct{}, 2), answers: make(chan struct{}, window), ended: ctx.Done()}
	var reader sync.WaitGroup
	reader.Go(func() {
		f.read()
		cancel() // nothing more can be sent, either
	})
	sent := f.send(messages)
	// Each unanswered message has taken a token: when answers is full again, none is left.
	for range window {
		if sent != nil || !f.take(f.answers) {
			break
		}
	}
	cancel()
	reader.Wait()
	return errors.Join(sent, f.failed, parent.Err())
}

// filler is one stream that stores messages. A token in a channel stands for
// something on its way.
type filler struct {
	stream          relayv1.RelayService_ConnectClient
	frames, answers chan struct{}
	ended           <-chan struct{}

	failed error // the reader's
}

// take waits for a place in tokens; false: the stream has ended.
func (f *filler) take(tokens chan<- struct{}) bool {
	select {
	case tokens <- struct{}{}:
		return true
	case <-f.ended:
		return false
	}
}

// send ends early, without an error of its own, when the stream ends.
func (f *filler) send(messages func(yield func(message) bool)) error {
	frame := &relayv1.ConnectRequest{}
	var id uint64
	flush := func() error {
		if len(frame.GetPublishes()) == 0 || !f.take(f.frames) {
			return nil
		}
		err := f.stream.Send(frame)
		frame = &relayv1.ConnectRequest{}
		if errors.Is(err, io.EOF) {
			err = nil // the reader learns why
		}
		return err
	}
	for m := range messages {
		if len(f.answers) == cap(f.answers) || len(frame.GetPublishes()) == frameItems {
			if err := flush(); err != nil {
				return err
			}
		}
		if !f.take(f.answers) {
			return nil
		}
		id++
		frame.Publishes = append(frame.Publishes, m.publish(id))
	}
	return flush()
}

// read returns tokens until the stream ends.
func (f *filler) read() {
	received := uint64(0)
	for {
		resp, err := f.stream.Recv()
		if err != nil {
			select {
			case <-f.ended: // as it should
			default:
				f.failed = fmt.Errorf("the relay stream ended: %w", err)
			}
			return
		}
		for ; received < resp.GetReceived(); received++ {
			<-f.frames
		}
		for _, r := range resp.GetResults() {
			if r.GetOutcome() != relayv1.Outcome_OUTCOME_ACCEPTED {
				f.failed = fmt.Errorf("a message was not stored: %s %s", r.GetOutcome(), r.GetReason())
				return
			}
			<-f.answers
		}
	}
}
