// Package historysvc is the history service: the owner of Redis. Edges reach it
// by their relay, internal services by gotapi.history.v1.HistoryService. Any
// number of them serve one Redis, and none of them keeps anything.
package historysvc

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/historysvc/internal/audit"
	"github.com/gotapi/gotapi-ws/historysvc/internal/feed"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore"
	"github.com/gotapi/gotapi-ws/historysvc/internal/rpc"
	"github.com/gotapi/gotapi-ws/hooks"
	"github.com/gotapi/gotapi-ws/services/run"
)

// stopTimeout is what is left of going down when gRPC has stopped.
const stopTimeout = 5 * time.Second

// Run serves until ctx ends. Then it takes no more requests, ends the streams
// of edges and watchers, answers the publishes that it has received, and gives
// Redis up last.
func Run(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) error {
	store, onRedis, err := cfg.openStore(ctx, log, reg)
	switch {
	case err != nil && ctx.Err() != nil: // told to stop while it waited for Redis
		log.InfoContext(ctx, "stopped before redis could be reached", "error", err)
		return nil
	case err != nil:
		return err
	}
	defer func() { _ = store.Close() }() // nothing waits to be written

	secure, err := cfg.openTLS(log, reg)
	if err != nil {
		return err
	}
	guard, err := access.New(cfg.Access, log)
	if err != nil {
		return err
	}
	hook, err := hooks.New(cfg.Hooks, "history", log, reg)
	if err != nil {
		return err
	}
	auditLog, err := audit.Open(cfg.AuditLog, log)
	if err != nil {
		return err
	}
	defer func() { _ = auditLog.Close() }() // every line is written at once
	listeners, err := cfg.listen(ctx)
	if err != nil {
		return err
	}
	hub := feed.New(store, store, log, reg)
	history := rpc.NewHistory(store, store, hub, rpc.HistoryOptions{MaxMessageBytes: cfg.MaxMessageBytes, Hooks: hook, Tracer: cfg.tracer()}, log)
	relay := rpc.NewRelay(store, store, hub, rpc.RelayOptions{QueueBytes: cfg.EdgeQueueBytes, Tracer: cfg.tracer()}, log, reg)
	door := rpc.NewDoor(guard, cfg.TLS.CA != "")
	srv := newServer(history, relay, door, auditLog, listeners, append(secure.options(), cfg.tracedCalls()...), cfg.Drain, log, reg)

	if cfg.OnRelay != nil {
		cfg.OnRelay(relay)
	}
	addr := listeners[0].Addr()
	log.InfoContext(ctx, "history service listens", "address", addr.String())
	cfg.announce(ctx, guard, addr, log)
	cfg.Ready.Add("redis", store.Ping)
	if cfg.OnReady != nil {
		cfg.OnReady(addr)
	}
	return run.All(ctx, log, cfg.Drain+stopTimeout,
		run.Part{Name: "settings", Serve: func(ctx context.Context) error { return useFiles(ctx, cfg.Reloads, secure, onRedis) }},
		run.Part{Name: "access", Serve: guard.Run},
		run.Part{Name: "hooks", Serve: hook.Run},
		run.Part{Name: "store", Serve: func(ctx context.Context) error { return store.Run(ctx, hub) }},
		run.Part{Name: "feed", Serve: hub.Run},
		run.Part{Name: "readiness", Serve: func(ctx context.Context) error { return srv.watchStore(ctx, store.Ping) }},
		run.Part{Name: "grpc", Serve: srv.serve},
	)
}

// announce says in one line of the log how open the service is.
func (c *Config) announce(ctx context.Context, guard *access.Guard, addr net.Addr, log *slog.Logger) {
	if guard.Open() && (guard.ChecksServices() || c.TLS.CA != "") {
		log.InfoContext(ctx, "access is for services of ours only", "address", addr.String())
		return
	}
	guard.Announce(ctx, addr)
}

// store is the store's part of the settings.
func (c *Config) store() redisstore.Options {
	return redisstore.Options{
		Wait:              c.RedisWait,
		Tracer:            c.tracer(),
		URL:               c.Redis,
		Embedded:          c.Embedded,
		Cap:               c.HistoryCap,
		CapExplicit:       c.HistoryCapChosen,
		Archive:           c.Archive,
		Retention:         c.HistoryRetention,
		RetentionExplicit: c.HistoryRetentionChosen,
		Acks:              redisstore.Acks{Replicas: c.AckReplicas, Fsync: c.AckFsync, Timeout: c.AckTimeout},
		WaitingItems:      c.PublishQueue,
		WaitingBytes:      c.PublishQueueBytes,
		WaitingGroupItems: c.PublishQueueGroup,
		WaitingGroupBytes: c.PublishQueueGroupBytes,
	}
}

// listen returns all listeners, the main one first.
func (c *Config) listen(ctx context.Context) ([]net.Listener, error) {
	main := c.Listener
	if main == nil {
		var err error
		if main, err = new(net.ListenConfig).Listen(ctx, "tcp", c.Listen); err != nil {
			return nil, fmt.Errorf("-listen: %w", err)
		}
	}
	all := []net.Listener{main}
	for _, ln := range c.ExtraListeners {
		all = append(all, within{ln})
	}
	return all, nil
}
