package rpc

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/historysvc/internal/feed"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// peer is an edge at the other end of one stream. Its reader takes frames in
// and never waits for anything else; the handler's goroutine sends whatever
// waits in out; a third one passes on member counts.
type peer struct {
	relay    *Relay
	stream   relayv1.RelayService_ConnectServer
	out      *outbound
	reporter *reporter
	// Holds the error that ended the reader.
	readEnded chan error

	// The reader's own.
	edge     uint64
	channels map[uint32]*channel
	// The newest channel of each group.
	groups map[group.Name]*channel
}

func newPeer(r *Relay, s relayv1.RelayService_ConnectServer) *peer {
	return &peer{
		relay:     r,
		stream:    s,
		out:       newOutbound(r.opts.QueueBytes, r.metrics),
		reporter:  newReporter(r.presence, r.log),
		readEnded: make(chan error, 1),
		channels:  make(map[uint32]*channel),
		groups:    make(map[group.Name]*channel),
	}
}

// serve sends until the stream is over. It ends well when the edge has closed
// its side or the service goes down, and all publishes are answered.
func (p *peer) serve() error {
	ctx, cancel := context.WithCancel(p.stream.Context())
	defer cancel()
	p.relay.tasks.Go(p.read) // ends when the stream does, which is after serve
	p.relay.tasks.Go(func() { p.reporter.run(ctx) })
	defer p.out.close()
	p.relay.metrics.add(p.out)
	defer p.relay.metrics.remove(p.out)

	frames := newFrames(p.out)
	drain := p.relay.drain.done
	finishing := false
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-drain:
			drain = nil
			finishing = true
			p.out.finish()
		case err := <-p.readEnded:
			if !errors.Is(err, io.EOF) {
				return statusOf(ctx, p.relay.log, err)
			}
			p.reporter.leave()
			finishing = true
			p.out.finish()
		case <-p.out.wake:
			frame := frames.next()
			if frame == nil {
				break
			}
			if err := p.stream.Send(frame); err != nil {
				return err
			}
			p.relay.metrics.frames.Inc()
			p.out.wakeUp() // more may wait
		}
		if finishing && p.out.end() {
			return nil
		}
	}
}

// read takes frames until the stream is over.
func (p *peer) read() {
	defer p.stopChannels()
	for {
		frame, err := p.stream.Recv()
		if err == nil && !p.relay.drain.begun() {
			err = p.take(frame)
		}
		if err != nil {
			p.readEnded <- err
			return
		}
		// Once the service goes down, frames are not taken and so not
		// confirmed: the edge sends them again to another one.
	}
}

func (p *peer) stopChannels() {
	for _, c := range p.channels {
		c.follower.Stop()
	}
}

func (p *peer) take(frame *relayv1.ConnectRequest) error {
	for _, id := range p.out.takeFailed() {
		p.end(id)
	}
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
		p.reporter.report(p.edge, counts)
	}
	return nil
}

// greet checks that the first frame, and only the first, says hello.
func (p *peer) greet(hello *relayv1.Hello) error {
	switch {
	case p.edge == 0 && hello.GetEdge() == 0:
		return status.Error(codes.InvalidArgument, "hello: the first frame must name the edge")
	case p.edge != 0 && hello != nil:
		return status.Error(codes.InvalidArgument, "hello: only the first frame has one")
	case hello != nil:
		p.edge = hello.GetEdge()
		p.out.letDeliveriesAnswer(hello.GetDeliveriesAnswer())
	}
	return nil
}

// publication is a relayed publish on its way.
type publication struct {
	history.Publication
	peer *peer
	// Of its group, if the edge had one when it published.
	channel *channel
}

func (p *peer) publish(messages []*relayv1.Publish) {
	if !p.out.frameReceived(len(messages)) {
		return
	}
	now := time.Now()
	all := make([]publication, len(messages))
	for i, m := range messages {
		one := &all[i]
		one.peer = p
		one.Origin = stream.Origin{Edge: p.edge, ID: m.GetId()}
		g, err := group.Parse(m.GetGroup())
		kind := storedKind(m.GetKind())
		author, ok := authorOf(m.GetAuthor())
		if err != nil || kind == 0 || !g.Publishable() || !ok {
			p.out.answer(result{id: m.GetId(), outcome: relayv1.Outcome_OUTCOME_INVALID, reason: "bad group, kind or author"})
			continue
		}
		one.Author = author
		one.Group, one.Kind, one.UUID, one.Payload = g, kind, m.GetUuid(), m.GetPayload()
		one.Deadline = answerBy(now, timeoutOf(m))
		one.channel = p.groups[g]
		one.Done = one.done
		followRelayed(p.relay.opts.Tracer, m.GetTrace(), &one.Publication)
		p.relay.store.Submit(&one.Publication)
	}
}

func timeoutOf(m *relayv1.Publish) time.Duration {
	if m.GetTimeoutMs() == 0 {
		return publishTimeout
	}
	return time.Duration(m.GetTimeoutMs()) * time.Millisecond
}

// done is called by the store: it must not block.
func (p *publication) done(r history.Receipt) {
	relay := p.peer.relay
	outcome, reason := outcomeOf(relay.log, &r)
	answer := result{id: p.Origin.ID, outcome: outcome, epoch: r.Epoch, seq: r.Seq, reason: reason, recalled: r.Recalled}
	if r.Err != nil || p.Kind != stream.Message {
		p.peer.out.answer(answer)
		return
	}
	switch p.expect(&r) {
	case feed.Passed:
		p.peer.out.answered(answer)
	case feed.Coming:
		p.peer.out.answerSoon(answer)
	case feed.Unknown:
		p.peer.out.answer(answer)
	}
}

// expect tells the feed what was stored, and says whether the edge has got, or
// will get, the delivery of what it has published, and takes that for an answer.
func (p *publication) expect(r *history.Receipt) feed.Prospect {
	if p.channel == nil || r.Duplicate || !p.peer.out.deliveriesAnswer() {
		p.peer.relay.hub.Expect(p.Group, r.Epoch, r.Seq)
		return feed.Unknown
	}
	return p.channel.follower.Expect(r.Epoch, r.Seq)
}

// interest opens or ends a channel.
func (p *peer) interest(i *relayv1.Interest) {
	id := i.GetChannel()
	p.end(id)
	if i.GetGroup() == "" {
		return
	}
	g, err := group.Parse(i.GetGroup())
	if err != nil {
		p.out.refuse(id, err.Error())
		return
	}
	var start feed.Start
	if from := i.GetFrom(); from != nil {
		at := toPosition(from)
		start.After = &at
	}
	c := &channel{id: id, group: g, out: p.out}
	c.follower = p.relay.hub.NewFollower(g, start, c)
	p.channels[id] = c
	p.groups[g] = c
	c.follower.Begin()
}

// end ends a channel, if there is one of that number.
func (p *peer) end(id uint32) {
	c := p.channels[id]
	if c == nil {
		return
	}
	c.follower.Stop()
	delete(p.channels, id)
	if p.groups[c.group] == c {
		delete(p.groups, c.group)
	}
}
