package relayserver

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/historysvc/internal/feed"
	"github.com/gotapi/gotapi-ws/historysvc/internal/rpc"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/relayversion"
)

// peer is an edge at the other end of one stream. It has three goroutines: the
// reader takes frames and waits for nothing else, the handler's goroutine sends
// what waits in out, and the third writes member counts.
type peer struct {
	server   *Server
	stream   relayv1.RelayService_ConnectServer
	out      *outbox
	presence *presenceWriter
	// Holds the error that ended the reader.
	readEnded chan error

	// The reader's own.
	edge     uint64
	channels map[uint32]*channel

	mu sync.Mutex
	// Channels that have failed, for the reader to end.
	failed []uint32
}

func newPeer(s *Server, stream relayv1.RelayService_ConnectServer) *peer {
	return &peer{
		server:    s,
		stream:    stream,
		out:       newOutbox(s.opts.QueueBytes, s.metrics),
		presence:  newPresenceWriter(s.presence, s.log),
		readEnded: make(chan error, 1),
		channels:  make(map[uint32]*channel),
	}
}

// serve sends until the stream is over. It returns nil when all publishes have their
// results after the edge has closed its side or the service stops.
func (p *peer) serve() error {
	ctx, cancel := context.WithCancel(p.stream.Context())
	defer cancel()
	p.server.tasks.Go(p.read) // ends when the stream does, which is after serve
	p.server.tasks.Go(func() { p.presence.run(ctx) })
	defer p.out.close()

	drain := p.server.drain.Done()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-drain:
			drain = nil
			p.out.finish()
		case err := <-p.readEnded:
			if !errors.Is(err, io.EOF) {
				return rpc.Status(ctx, p.server.log, err)
			}
			p.presence.leave()
			p.out.finish()
		case <-p.out.wake:
			if err := p.send(); err != nil {
				return err
			}
		}
		if p.out.finished() {
			return nil
		}
	}
}

// send sends one frame, if there is anything to send.
func (p *peer) send() error {
	frame := p.out.next()
	if frame == nil {
		return nil
	}
	if err := p.stream.Send(frame); err != nil {
		return err
	}
	p.server.metrics.frames.Inc()
	p.out.wakeUp() // more may wait
	return nil
}

// read takes frames until the stream is over. When the service goes down, it does
// not take them, and so does not confirm them: the edge sends them again to
// another service.
func (p *peer) read() {
	defer p.stopChannels()
	for {
		frame, err := p.stream.Recv()
		if err == nil && !p.server.drain.Begun() {
			err = p.handle(frame)
		}
		if err != nil {
			p.readEnded <- err
			return
		}
	}
}

func (p *peer) handle(frame *relayv1.ConnectRequest) error {
	p.endFailed()
	if err := p.greet(frame.GetHello()); err != nil {
		return err
	}
	if len(frame.GetPublishes()) > 0 {
		p.publish(frame.GetPublishes())
	}
	for _, i := range frame.GetInterests() {
		p.interest(i)
	}
	if counts := frame.GetPresence(); counts != nil {
		p.presence.update(p.edge, counts)
	}
	p.server.fleet.note(p, frame.GetHealth())
	if m := frame.GetMove(); m != nil && p.server.fleet.allow(p, int(m.GetStreams()), time.Now()) {
		p.out.letMove()
	}
	return nil
}

// greet checks that the first frame has a hello, and no other, and that the edge speaks
// our protocol.
func (p *peer) greet(hello *relayv1.Hello) error {
	switch {
	case p.edge == 0 && hello.GetEdge() == 0:
		return status.Error(codes.InvalidArgument, "hello: the first frame must name the edge")
	case p.edge != 0 && hello != nil:
		return status.Error(codes.InvalidArgument, "hello: only the first frame has one")
	case hello != nil:
		if err := checkVersion(hello, p.server.opts.Version); err != nil {
			p.server.log.Warn("edge refused: incompatible version", "version", hello.GetVersion(), "error", err)
			p.server.fleet.refuse(clip(status.Convert(err).Message(), maxAlarm), time.Now())
			return err
		}
		p.edge = hello.GetEdge()
		p.server.fleet.greet(p, hello)
	}
	return nil
}

// checkVersion returns FAILED_PRECONDITION, with what to do, for an edge that cannot work
// with a service of the version ours.
func checkVersion(hello *relayv1.Hello, ours string) error {
	edge := relayversion.Range{Oldest: hello.GetOldestProtocol(), Newest: hello.GetProtocol()}
	if edge.Meets(relayversion.Ours) {
		return nil
	}
	older := "the edge"
	if edge.Oldest > relayversion.Ours.Newest {
		older = "the history service"
	}
	return status.Errorf(codes.FailedPrecondition,
		"edge %s speaks relay protocol %v, history service %s speaks %v: update %s",
		hello.GetVersion(), edge, ours, relayversion.Ours, older)
}

// interest opens or ends a channel.
func (p *peer) interest(i *relayv1.Interest) {
	id := i.GetChannel()
	p.end(id)
	if i.GetGroup() == "" {
		return
	}
	c := &channel{id: id, peer: p}
	g, err := group.Parse(i.GetGroup())
	if err != nil {
		p.out.refuse(c, err.Error())
		return
	}
	var start feed.Start
	if from := i.GetFrom(); from != nil {
		at := rpc.ParsePosition(from)
		start.After = &at
	}
	c.follower = p.server.hub.NewFollower(g, start)
	p.channels[id] = c
	c.follower.Begin(c)
}

// end ends a channel, if there is one with this number.
func (p *peer) end(id uint32) {
	if c := p.channels[id]; c != nil {
		c.follower.Stop()
		delete(p.channels, id)
	}
}

func (p *peer) stopChannels() {
	for _, c := range p.channels {
		c.follower.Stop()
	}
}

// fail tells the edge that a channel's group cannot be followed. The reader ends
// the channel at the next frame.
func (p *peer) fail(c *channel, err error) {
	p.out.refuse(c, rpc.Reason(err))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = append(p.failed, c.id)
}

func (p *peer) endFailed() {
	p.mu.Lock()
	failed := p.failed
	p.failed = nil
	p.mu.Unlock()
	for _, id := range failed {
		p.end(id)
	}
}
