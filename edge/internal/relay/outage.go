package relay

import (
	"context"
	"time"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

const (
	// How long an edge may be without a history service before it says so, at its start
	// and later; and how often it says so again.
	startPatience  = 2 * time.Second
	outagePatience = 10 * time.Second
	outageAgain    = time.Minute
	// How long finding out the cause may take.
	causeTimeout = time.Second
)

// watchOutages logs the beginning and the end of times without a history service, until
// ctx ends. Opening a stream waits for a connection and so has no error to log.
func (c *Client) watchOutages(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	since := time.Now()
	patience := startPatience
	said := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		down := time.Since(since).Round(time.Second)
		switch {
		case c.Up():
			if said {
				c.log.InfoContext(ctx, "history service is back", "down", down)
			}
			since, patience, said = time.Now(), outagePatience, false
		case down >= patience:
			c.log.WarnContext(ctx, "no history service: refuse new members and publications",
				"down", down, "cause", c.Cause(ctx))
			said = true
			if patience = outagePatience; down >= outagePatience {
				patience = down + outageAgain
			}
		}
	}
}

// Cause returns why there is no stream to a history service.
func (c *Client) Cause(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, causeTimeout)
	defer cancel()
	if _, err := c.rpc.Heartbeat(ctx, &relayv1.HeartbeatRequest{}); err != nil {
		return err.Error() // it did not wait for a connection
	}
	return "a history service answers, but takes no stream"
}
