package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/gotapi/gotapi-ws/edge/internal/heartbeat"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Client is the edge's side of the relay. Its methods may be called at once
// from many goroutines, and before, during and after Run.
//
// A publication waits in one list until it is answered: first for its turn to
// be written, then for its result. When a stream breaks, the messages in the
// list are written again on the next one, under the same ids and in the same
// order; the history service stores each once. Packets that are not stored
// would be broadcast twice, so those that were written are given up (Unknown).
// Nothing stays in the list longer than the publish timeout.
type Client struct {
	opts    Options
	rpc     relayv1.RelayServiceClient
	edge    uint64
	log     *slog.Logger
	metrics *metrics
	samples samples
	// Set before Run.
	handler Handler
	members func() map[group.Name]uint32
	// Holds a token when the writer has something to look at.
	wake chan struct{}

	mu     sync.Mutex
	list   ledger
	closed bool
	link   linkState
	// The last channel that was opened. It is never reset, so that nothing of
	// an old stream can be taken for something of the present one.
	channel uint32
	// Closed, and replaced by nil, when the list becomes empty.
	idle chan struct{}
}

// linkState is what is known about the present stream.
type linkState struct {
	up bool
	// Frames with publishes: written, and confirmed by the service.
	sent, received uint64
	// Channels to open and to end. The two need no order among each other: what
	// is ended before it was opened is in neither. So there are never more than
	// one for each group that has, or had on this stream, members.
	opens, ends []*relayv1.Interest
}

// New makes a Client. Nothing happens before Run.
func New(conn grpc.ClientConnInterface, opts Options, log *slog.Logger, reg prometheus.Registerer) *Client {
	opts = opts.withDefaults()
	c := &Client{
		opts:    opts,
		rpc:     relayv1.NewRelayServiceClient(conn),
		edge:    rand.Uint64() | 1, // 0 is nobody
		log:     log,
		metrics: newMetrics(reg),
		wake:    make(chan struct{}, 1),
	}
	c.list.limit(opts.MaxItems, opts.MaxBytes)
	return c
}

// SetHandler says who hears of channels. It must be called before Run.
func (c *Client) SetHandler(h Handler) { c.handler = h }

// ReportMembers says who knows how many members each group has on this edge.
// It must be called before Run; without it nothing is reported.
func (c *Client) ReportMembers(members func() map[group.Name]uint32) { c.members = members }

// Edge is the random name of this edge process, as in stream.Origin.
func (c *Client) Edge() uint64 { return c.edge }

// Up says whether there is a stream now.
func (c *Client) Up() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link.up
}

// Publish sends p. It never blocks: when too much is waiting, p is refused as
// Busy before Publish returns.
func (c *Client) Publish(p *Publication) {
	now := time.Now()
	e := newEntry(p, now.Add(c.opts.PublishTimeout))
	c.mu.Lock()
	refusal := c.refusal(e)
	wake := false
	if refusal.Outcome == 0 {
		wake = c.link.up && !c.list.hasUnsent()
		c.list.push(e)
		c.measure()
		c.samples.begin(p, now)
	}
	c.mu.Unlock()
	if refusal.Outcome != 0 {
		c.metrics.count(refusal.Outcome)
		e.done(refusal)
		return
	}
	if wake {
		c.wakeWriter()
	}
}

// refusal says why e cannot be taken; its Outcome is 0 if it can.
func (c *Client) refusal(e *entry) Receipt {
	if c.closed {
		return Receipt{Outcome: Unavailable, Reason: "the server is going down"}
	}
	if c.list.byID[e.msg.Id] != nil {
		// Numbers wrap around after 2^32 publishes; the earlier one still waits.
		return Receipt{Outcome: Busy, Reason: "too much is waiting"}
	}
	if reason := c.list.full(e); reason != "" {
		return Receipt{Outcome: Busy, Reason: reason}
	}
	return Receipt{}
}

// Attach opens a channel for g that goes on from a position, or from now on
// when from is nil. Handler.Attached follows. Without a stream it returns 0
// and does nothing: Handler.Restored will come.
func (c *Client) Attach(g group.Name, from *stream.Position) (channel uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.link.up {
		return 0
	}
	c.channel++
	c.link.opens = append(c.link.opens, &relayv1.Interest{
		Channel: c.channel, Group: string(g), From: encodePosition(from),
	})
	c.wakeWriter()
	return c.channel
}

// Detach ends a channel. What was on its way may still be delivered.
func (c *Client) Detach(channel uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.link.up || channel == 0 {
		return
	}
	i, waits := slices.BinarySearchFunc(c.link.opens, channel, func(o *relayv1.Interest, channel uint32) int {
		return cmp.Compare(o.GetChannel(), channel)
	})
	if waits {
		c.link.opens = slices.Delete(c.link.opens, i, i+1)
		return
	}
	c.link.ends = append(c.link.ends, &relayv1.Interest{Channel: channel})
	c.wakeWriter()
}

func (c *Client) wakeWriter() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Flush waits until every publication has been answered. It returns ctx's
// error if that takes too long.
func (c *Client) Flush(ctx context.Context) error {
	c.mu.Lock()
	if c.list.items == 0 {
		c.mu.Unlock()
		return nil
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run keeps a stream up until ctx ends. Then it takes no more publications,
// gives the unanswered ones a last moment, ends the stream, refuses what is
// left, and returns nil.
func (c *Client) Run(ctx context.Context) error {
	var background sync.WaitGroup
	sweeping, stopSweeping := context.WithCancel(context.WithoutCancel(ctx))
	background.Go(func() { c.sweep(sweeping) })
	leaving, leave := context.WithCancel(context.WithoutCancel(ctx))
	background.Go(func() {
		<-ctx.Done()
		c.close()
		last, cancel := context.WithTimeout(leaving, c.opts.LastMoment)
		defer cancel()
		_ = c.Flush(last) // what is left is refused below
		leave()
	})

	c.keepConnected(leaving)
	stopSweeping()
	background.Wait()
	c.refuseAll()
	return nil
}

func (c *Client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

// keepConnected serves one stream after another until leaving ends.
func (c *Client) keepConnected(leaving context.Context) {
	var backoff backoff
	for {
		start := time.Now()
		err := c.serveStream(leaving)
		if leaving.Err() != nil {
			return
		}
		if time.Since(start) > steady {
			backoff.reset()
		}
		pause := backoff.next()
		c.logLoss(leaving, err, pause)
		if !sleep(leaving, pause) {
			return
		}
	}
}

func (c *Client) logLoss(ctx context.Context, err error, pause time.Duration) {
	if errors.Is(err, io.EOF) {
		c.log.InfoContext(ctx, "history service ended the relay, moving on", "pause", pause)
		return
	}
	if errors.Is(err, heartbeat.ErrSilent) {
		c.metrics.givenUp.Inc()
	}
	c.log.WarnContext(ctx, "no relay to a history service", "error", err, "pause", pause)
}

// serveStream opens a stream and serves it until it breaks, or until leaving
// ends and the service has agreed.
func (c *Client) serveStream(leaving context.Context) (err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(leaving))
	defer cancel()
	s, err := c.connect(leaving, ctx, cancel)
	if err != nil {
		return fmt.Errorf("opening a stream: %w", err)
	}
	c.open()
	defer func() { c.broke(errors.Is(err, io.EOF)) }()
	c.handler.Restored()

	defer context.AfterFunc(leaving, func() { time.AfterFunc(c.opts.LastMoment, cancel) })()
	var writer sync.WaitGroup
	writer.Go(func() {
		defer cancel() // a stream that cannot be written is of no use
		c.write(ctx, leaving, s)
	})
	err = c.read(s)
	cancel()
	writer.Wait()
	return err
}

// connect opens a stream under ctx, which cancel ends. It waits for a
// connection, so that the stream is there the moment a history service is.
func (c *Client) connect(leaving, ctx context.Context, cancel func()) (relayv1.RelayService_ConnectClient, error) {
	stop := context.AfterFunc(leaving, cancel)
	defer stop()
	s, err := c.rpc.Connect(ctx, grpc.WaitForReady(true))
	if err != nil {
		return nil, err
	}
	if err := s.Send(&relayv1.ConnectRequest{Hello: &relayv1.Hello{Edge: c.edge, DeliveriesAnswer: true}}); err != nil {
		return nil, streamError(s, err)
	}
	return s, nil
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

// open starts the books of a new stream.
func (c *Client) open() {
	c.mu.Lock()
	c.link = linkState{up: true}
	c.mu.Unlock()
	c.metrics.up.Set(1)
	c.metrics.streams.Inc()
	c.wakeWriter()
}

// broke closes the books of a stream: messages will be written again, other
// packets that were written are given up. A service that ended the stream in
// order has answered what it took, and has taken no more than it confirmed.
func (c *Client) broke(inOrder bool) {
	c.mu.Lock()
	taken := c.link.sent
	if inOrder {
		taken = c.link.received
	}
	c.link = linkState{}
	lost := c.list.rewind(taken)
	c.removed()
	c.mu.Unlock()
	c.metrics.up.Set(0)
	now := time.Now()
	for _, e := range lost {
		c.finish(e, Receipt{Outcome: Unknown, Reason: "the connection to the history service broke"}, now)
	}
	c.handler.Lost()
}

// removed notes that entries have left the list.
func (c *Client) removed() {
	c.measure()
	if c.list.items == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

func (c *Client) measure() {
	c.metrics.waiting.Set(float64(c.list.items))
	c.metrics.waitingBytes.Set(float64(c.list.bytes))
}

// finish answers e, which is no longer in the list.
func (c *Client) finish(e *entry, r Receipt, now time.Time) {
	c.metrics.count(r.Outcome)
	c.metrics.publishSeconds.Observe((c.opts.PublishTimeout - e.deadline.Sub(now)).Seconds())
	if r.Outcome != Accepted {
		c.samples.end(e.msg.GetId())
	}
	e.done(r)
}

// refuseAll answers all that is left.
func (c *Client) refuseAll() {
	c.mu.Lock()
	left := c.list.takeAll()
	c.removed()
	c.mu.Unlock()
	now := time.Now()
	for _, e := range left {
		c.finish(e, e.unanswered("the server is going down"), now)
	}
}

// sweep answers the publications whose time is up. One ticker serves all: a
// timer for each would cost more than the publication.
func (c *Client) sweep(ctx context.Context) {
	tick := time.NewTicker(max(c.opts.PublishTimeout/50, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			c.mu.Lock()
			late := c.list.expired(now)
			c.removed()
			c.mu.Unlock()
			for _, e := range late {
				c.finish(e, e.unanswered("no answer from the history service in time"), now)
			}
		}
	}
}
