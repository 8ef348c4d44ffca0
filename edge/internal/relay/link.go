package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/gotapi/gotapi-ws/edge/internal/historyconn"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/relayversion"
)

// link is one stream to a history service.
type link struct {
	stream relayv1.RelayService_ConnectClient
	seat   *historyconn.Seat
	// Ends with the stream; cancel ends both.
	ctx    context.Context //nolint:containedctx // a stream has one
	cancel context.CancelFunc
	// Holds a token when the writer has something to look at.
	wake chan struct{}
	// Holds a token when the service lets the edge move.
	mayMove chan struct{}
	// Closed when the stream and its goroutines have ended; then err says why.
	ended chan struct{}
	err   error

	// Client.mu guards these.

	// Frames with publishes: written, and confirmed by the service.
	sent, received uint64
	interests      interests
	// Channels that are open on this stream, or will be.
	channels map[uint32]struct{}
	// Asks the service whether the edge may move; nil: nothing to ask.
	wish *relayv1.Move

	// Client.handling guards these.

	// Nil once the stream is the one in use.
	early *early
	// What is not stored, has come on the stream before this one, and may still come
	// on this one.
	seen seen
}

func newLink(ctx context.Context, cancel context.CancelFunc, s relayv1.RelayService_ConnectClient, seat *historyconn.Seat) *link {
	return &link{
		stream: s, seat: seat, ctx: ctx, cancel: cancel,
		wake: make(chan struct{}, 1), mayMove: make(chan struct{}, 1), ended: make(chan struct{}),
		channels: make(map[uint32]struct{}),
	}
}

// wakeWriter may be called for no link.
func (l *link) wakeWriter() {
	if l == nil {
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// open opens a channel. The caller holds Client.mu.
func (l *link) open(i *relayv1.Interest) {
	l.channels[i.GetChannel()] = struct{}{}
	l.interests.open(i)
	l.wakeWriter()
}

// end ends a channel, if it is open on the link, which may be none. The caller holds
// Client.mu.
func (l *link) end(channel uint32) {
	if l == nil {
		return
	}
	if _, open := l.channels[channel]; open {
		delete(l.channels, channel)
		l.interests.end(channel)
		l.wakeWriter()
	}
}

// connect opens a stream at the seat, unless opening ends before. It waits for a
// connection, so that the stream is there the moment a history service is. The stream
// ends a moment after leaving does.
func (c *Client) connect(opening, leaving context.Context, seat *historyconn.Seat) (*link, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(leaving))
	stop := context.AfterFunc(opening, cancel)
	s, err := c.rpc.Connect(seat.With(ctx), grpc.WaitForReady(true))
	if err == nil {
		err = s.Send(&relayv1.ConnectRequest{Hello: c.hello()})
		if err != nil {
			err = streamError(s, err)
		}
	}
	if err != nil || !stop() {
		cancel()
		if err == nil {
			err = context.Cause(opening)
		}
		return nil, fmt.Errorf("open a stream: %w", err)
	}
	return newLink(ctx, cancel, s, seat), nil
}

func (c *Client) hello() *relayv1.Hello {
	return &relayv1.Hello{
		Edge: c.edge, Version: c.opts.Version, Commit: c.opts.Commit, Host: c.opts.Host,
		Protocol: relayversion.Ours.Newest, OldestProtocol: relayversion.Ours.Oldest,
	}
}

// streamError finds the reason behind a Send that failed with io.EOF.
func streamError(s relayv1.RelayService_ConnectClient, err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	for {
		if _, err := s.Recv(); err != nil {
			return err
		}
	}
}

// start reads and writes l until the stream is over.
func (c *Client) start(leaving context.Context, l *link, h Handler) {
	c.metrics.streams.Inc()
	stop := context.AfterFunc(leaving, func() { time.AfterFunc(c.opts.LastMoment, l.cancel) })
	var writer sync.WaitGroup
	writer.Go(func() {
		defer l.cancel() // a stream that cannot be written is of no use
		c.write(leaving, l, h)
	})
	go func() {
		defer close(l.ended)
		l.err = c.read(l, h)
		l.cancel()
		writer.Wait()
		stop()
	}()
}
