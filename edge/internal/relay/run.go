package relay

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/historyconn"
	"github.com/gotapi/gotapi-ws/internal/backoff"
)

// Run keeps a stream up for h until ctx ends. Then it takes no more publications,
// waits a moment for results, ends the stream, refuses what is left, and returns
// nil.
func (c *Client) Run(ctx context.Context, h Handler) error {
	var background sync.WaitGroup
	sweeping, stopSweeping := context.WithCancel(context.WithoutCancel(ctx))
	background.Go(func() { c.sweep(sweeping) })
	background.Go(func() { c.watchOutages(sweeping) })
	leaving, leave := context.WithCancel(context.WithoutCancel(ctx))
	background.Go(func() {
		<-ctx.Done()
		c.close()
		last, cancel := context.WithTimeout(leaving, c.opts.LastMoment)
		defer cancel()
		_ = c.Flush(last) // what is left is refused below
		leave()
	})

	c.keepConnected(leaving, h)
	stopSweeping()
	background.Wait()
	c.giveUp("the server is going down", c.list.takeAll)
	return nil
}

func (c *Client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

// keepConnected serves one stream after another until leaving ends.
func (c *Client) keepConnected(leaving context.Context, h Handler) {
	for failures := 1; ; failures++ {
		start := time.Now()
		err := c.serveStream(leaving, h)
		if leaving.Err() != nil {
			return
		}
		if time.Since(start) > steady {
			failures = 1
		}
		pause := streamBackoff.Delay(failures - 1)
		c.logLoss(leaving, err, pause)
		if backoff.Sleep(leaving, pause) != nil {
			return
		}
	}
}

func (c *Client) logLoss(ctx context.Context, err error, pause time.Duration) {
	if errors.Is(err, io.EOF) {
		c.log.InfoContext(ctx, "history service ended the relay, moving on", "pause", pause)
		return
	}
	if errors.Is(err, historyconn.ErrSilent) {
		c.metrics.givenUp.Inc()
	}
	c.log.WarnContext(ctx, "no relay to a history service", "error", err, "pause", pause)
}

// serveStream opens a stream and serves it, and those that it moves to, until one
// breaks, or until leaving ends and the service has agreed.
func (c *Client) serveStream(leaving context.Context, h Handler) error {
	l, err := c.connect(leaving, leaving, &historyconn.Seat{})
	if err != nil {
		return err
	}
	c.opened(l)
	h.Restored()
	c.start(leaving, l, h)
	l = c.stay(leaving, l, h)
	<-l.ended
	c.broke(errors.Is(l.err, io.EOF))
	h.Lost()
	return l.err
}

// opened begins the books of a new stream.
func (c *Client) opened(l *link) {
	c.mu.Lock()
	c.link = l
	c.mu.Unlock()
	c.metrics.up.Set(1)
	l.wakeWriter()
}

// broke closes the books of a stream: messages will be written again, other
// packets that were written are given up. A service that ended the stream in
// order has sent the results of everything it took, and took no more than it confirmed.
func (c *Client) broke(inOrder bool) {
	c.giveUp("the connection to the history service broke", func() []*entry {
		taken := c.link.sent
		if inOrder {
			taken = c.link.received
		}
		c.link = nil
		return c.list.rewind(taken)
	})
	c.metrics.up.Set(0)
}

// sweep gives up the publications whose time is over. One ticker serves all: a
// timer for each would cost more than the publication.
func (c *Client) sweep(ctx context.Context) {
	tick := time.NewTicker(max(c.opts.PublishTimeout/50, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			c.giveUp("no answer from the history service in time", func() []*entry { return c.list.expired(now) })
		}
	}
}

// giveUp ends the entries that take removes from the list, which it calls with the
// lock.
func (c *Client) giveUp(reason string, take func() []*entry) {
	c.mu.Lock()
	entries := take()
	c.removed()
	c.mu.Unlock()
	now := time.Now()
	for _, e := range entries {
		c.finish(e, e.givenUp(reason), now)
	}
}
