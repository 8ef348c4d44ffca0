// Package historysvc is the history service, which owns Redis. Edges reach it through
// the relay, internal services through gotapi.history.v1.HistoryService. Any number of
// history services can share one Redis; they are stateless.
package historysvc

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/historysvc/internal/adminapi"
	"github.com/gotapi/gotapi-ws/historysvc/internal/audit"
	"github.com/gotapi/gotapi-ws/historysvc/internal/auth"
	"github.com/gotapi/gotapi-ws/historysvc/internal/feed"
	"github.com/gotapi/gotapi-ws/historysvc/internal/historyapi"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore"
	"github.com/gotapi/gotapi-ws/historysvc/internal/relayserver"
	"github.com/gotapi/gotapi-ws/hooks"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	"github.com/gotapi/gotapi-ws/internal/secretfile"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/services/alarm"
	"github.com/gotapi/gotapi-ws/services/program"
	"github.com/gotapi/gotapi-ws/services/run"
	"github.com/gotapi/gotapi-ws/services/runtimetuning"
	"github.com/gotapi/gotapi-ws/services/tlsfiles"
)

// stopTimeout bounds the rest of the stop once gRPC has stopped.
const stopTimeout = 5 * time.Second

// Run serves until ctx ends. Then it takes no more requests, ends the streams of
// edges and watchers, answers the publishes that it has received, and closes the
// connections to Redis last.
func Run(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) error {
	redisFiles, err := cfg.openRedisFiles(log, reg)
	if err != nil {
		return err
	}
	groups, err := groupsettings.Open(cfg.GroupsFile, func() int { return cfg.MaxMessageBytes }, "history", log, reg)
	if err != nil {
		return err
	}
	store, err := cfg.openStore(ctx, &redisFiles, groups, log, reg)
	switch {
	case err != nil && ctx.Err() != nil: // stopped while it waited for Redis
		log.InfoContext(ctx, "stopped before redis could be reached", "error", err)
		return nil
	case err != nil:
		return err
	}
	defer func() { _ = store.Close() }() // nothing waits to be written

	grpcTLS, err := cfg.openTLS(log, reg)
	if err != nil {
		return err
	}
	authorizer, err := access.New(cfg.Access, log)
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
	history := historyapi.New(store, store, hub, historyapi.Options{MaxMessageBytes: cfg.MaxMessageBytes, Groups: groups, Hooks: hook, Tracer: cfg.tracer()}, log)
	relay := relayserver.New(store, store, hub, cfg.relayOptions(listeners[0].Addr(), groups, grpcTLS, redisFiles.tls), log, reg)
	admin := adminapi.New(store, store, relay, cfg.explain(groups, relay.Host()), program.ReadBuild(), log)
	callers := auth.New(authorizer, cfg.TLS.CA != "")
	srv := newServer(history, admin, relay, callers, auditLog, listeners, cfg.serverOptions(grpcTLS, log), cfg.Drain, log, reg)

	addr := listeners[0].Addr()
	log.InfoContext(ctx, "history service listens", "address", addr.String())
	cfg.announce(ctx, authorizer, addr, log)
	cfg.Ready.Add("redis", store.Ping)
	if cfg.OnReady != nil {
		cfg.OnReady(addr)
	}
	return run.All(ctx, log, cfg.Drain+stopTimeout,
		run.Part{Name: "settings", Serve: func(ctx context.Context) error {
			return reloadFiles(ctx, cfg.Reloads, hook, groups, []*tlsfiles.Files{grpcTLS, redisFiles.tls},
				[]*secretfile.File{redisFiles.password, redisFiles.sentinelPassword})
		}},
		run.Part{Name: "settings of groups", Serve: groups.Run},
		run.Part{Name: "access", Serve: authorizer.Run},
		run.Part{Name: "hooks", Serve: hook.Run},
		run.Part{Name: "store", Serve: func(ctx context.Context) error { return store.Run(ctx, hub) }},
		run.Part{Name: "feed", Serve: hub.Run},
		run.Part{Name: "readiness", Serve: func(ctx context.Context) error { return srv.watchStore(ctx, store.Ping) }},
		run.Part{Name: "local relay", Serve: func(ctx context.Context) error { return cfg.serveRelay(ctx, relay) }},
		run.Part{Name: "grpc", Serve: srv.serve},
	)
}

// serverOptions are those of the gRPC server.
func (c *Config) serverOptions(files *tlsfiles.Files, log *slog.Logger) []grpc.ServerOption {
	options := append(tlsOptions(files), c.tracedCalls()...)
	if c.Hooks.BeforeURL == "" {
		options = append(options, grpc.ChainStreamInterceptor(warnUnmoderated(log)))
	}
	return options
}

// relayOptions returns the options of a relay that reports the alarms of this process.
func (c *Config) relayOptions(listens net.Addr, groups *groupsettings.File, files ...*tlsfiles.Files) relayserver.Options {
	b := program.ReadBuild()
	return relayserver.Options{
		QueueBytes: c.EdgeQueueBytes, Groups: groups, Tracer: c.tracer(), Version: b.Version, Commit: b.Commit, Host: program.Host(listens.String()),
		Alarms: func() []alarm.Alarm { return c.alarms(groups, files...) },
	}
}

// alarms returns the alarms of this process. If an edge runs in it, the edge reports those
// of file descriptors and of the settings of groups.
func (c *Config) alarms(groups *groupsettings.File, files ...*tlsfiles.Files) []alarm.Alarm {
	all := alarm.Certificates(time.Now(), files...)
	if c.ServeRelay == nil {
		all = append(all, alarm.Files("file descriptors", alarm.OpenFiles(), runtimetuning.MaxFiles())...)
		all = append(all, alarm.BrokenFile(groupsettings.FlagName, groups.Failure())...)
	}
	return all
}

// serveRelay serves the edge in this process, if there is one, until ctx ends.
func (c *Config) serveRelay(ctx context.Context, relay relayv1.RelayServiceServer) error {
	if c.ServeRelay == nil {
		<-ctx.Done()
		return nil
	}
	return c.ServeRelay(ctx, relay)
}

// announce logs which callers have access.
func (c *Config) announce(ctx context.Context, authorizer *access.Authorizer, addr net.Addr, log *slog.Logger) {
	if authorizer.Open() && (authorizer.ChecksServices() || c.TLS.CA != "") {
		log.InfoContext(ctx, "only services with the service token or a client certificate have access", "address", addr.String())
		return
	}
	authorizer.Announce(ctx, addr)
}

// store returns the settings of the store.
func (c *Config) store(groups *groupsettings.File) redisstore.Options {
	return redisstore.Options{
		Connection: redisstore.Connection{
			URL:      c.Redis,
			Embedded: c.Embedded,
			Wait:     c.RedisWait,
			Acks:     c.Acks,
			Tracer:   c.tracer(),
		},
		History: redisstore.History{
			Cap:               c.HistoryCap,
			CapExplicit:       c.HistoryCapChosen,
			Retention:         c.HistoryRetention,
			RetentionExplicit: c.HistoryRetentionChosen,
			Of:                groupOptions(groups),
			Archive:           c.Archive,
			Waiting:           c.PublishQueue,
		},
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
	all := []net.Listener{newBoundedListener(main, maxConnections, maxAddressConnections)}
	for _, ln := range c.ExtraListeners {
		all = append(all, inProcessListener{ln})
	}
	return all, nil
}
