// Package edge serves WebSockets and HTTP to clients, with one stream to a history
// service behind. This file says what an edge is made of.
package edge

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/caller"
	"github.com/gotapi/gotapi-ws/edge/internal/console"
	"github.com/gotapi/gotapi-ws/edge/internal/gateway"
	"github.com/gotapi/gotapi-ws/edge/internal/historyconn"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/newgroups"
	"github.com/gotapi/gotapi-ws/edge/internal/publishhooks"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/session"
	"github.com/gotapi/gotapi-ws/hooks"
	"github.com/gotapi/gotapi-ws/internal/quota"
	"github.com/gotapi/gotapi-ws/internal/refusals"
	"github.com/gotapi/gotapi-ws/services/program"
	"github.com/gotapi/gotapi-ws/services/run"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// Run serves until ctx ends, then stops in order: HTTP takes nothing new,
// members are disconnected over the drain time with their acks, and the relay
// ends last. It does not wait for a history service: while there is none,
// upgrades and publishes are refused with 503.
func Run(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	certs, err := cfg.openCertificates(log, reg)
	if err != nil {
		return err
	}
	authorizer, err := access.New(cfg.Access, log)
	if err != nil {
		return err
	}
	hook, err := hooks.New(cfg.Hooks, "edge", log, reg)
	if err != nil {
		return err
	}
	conn, err := historyconn.Dial(cfg.History, slices.Concat(certs.dialOptions(&cfg), withServiceToken(authorizer), withModeration(hook), withTracing(cfg.Tracing))...)
	if err != nil {
		return err
	}
	defer conn.Close()

	bound, err := newBounds(&cfg, log, reg)
	if err != nil {
		return err
	}
	budget := limit.NewBudget(quota.MemoryLimit(), reg)
	own := &alarms{host: program.Host(cfg.Listen), bounds: bound, certs: certs, budget: budget}
	client := relay.New(conn, cfg.relayOptions(own, publishhooks.Tell(hook)), log, reg)
	rooms := room.New(client, client.Edge(), budget, log, reg)
	rooms.LimitGroups(cfg.MaxGroups)

	current := newReloadable(&cfg)
	back := backend{
		authorizer: authorizer, conn: conn, relay: client, rooms: rooms, publisher: client, publishWaits: rooms.HoldsBack, alarms: own,
	}
	if hook != nil {
		back.publisher = publishhooks.New(client, hook.Before, current.maxMessageBytes)
		if hook.Before != nil {
			back.publishWaits = always
		}
	}
	back.publisher = room.NewThrottle(back.publisher, rooms)
	front, err := newFrontend(ctx, &cfg, current, back, log, reg)
	if err != nil {
		return err
	}
	servers, err := newServers(ctx, &cfg, certs.server, front.handler, bound, log)
	if err != nil {
		return err
	}
	reload := reloader{cfg: &cfg, secrets: front.secrets, hook: hook, current: current, frontend: front, certs: certs, log: log}

	announce(ctx, &cfg, authorizer, servers[0], log)
	cfg.Ready.Add("relay", func(context.Context) error { return connected(client) })
	parts := []run.Part{
		{Name: "tls files", Serve: certs.run},
		{Name: "settings", Serve: func(ctx context.Context) error { return reload.run(ctx, cfg.Reloads) }},
		{Name: "access", Serve: authorizer.Run},
		{Name: "hooks", Serve: hook.Run},
		{Name: "relay", Serve: func(ctx context.Context) error { return client.Run(ctx, rooms) }},
		{Name: "rooms", Serve: rooms.Run},
		{Name: "keepalive", Serve: front.sessions.Run},
		{Name: "sessions", Serve: func(ctx context.Context) error { return drain(ctx, front.sessions, &cfg) }},
	}
	for _, s := range servers {
		parts = append(parts, run.Part{Name: s.name, Serve: s.serve})
	}
	return run.All(ctx, log, cfg.stopTimeout(), parts...)
}

// backend is what lies between clients and the history services.
type backend struct {
	authorizer *access.Authorizer
	conn       *grpc.ClientConn
	relay      *relay.Client
	rooms      *room.Registry
	publisher  session.Publisher
	// Whether publisher may block now.
	publishWaits func(group.Name) bool
	alarms       *alarms
}

// always is a backend's publishWaits if each packet is checked by asking others.
func always(group.Name) bool { return true }

// relayOptions are those of a relay that says what is wrong with this edge.
func (c *Config) relayOptions(own *alarms, accepted func(*relay.Publication)) relay.Options {
	b := program.ReadBuild()
	return relay.Options{
		PublishTimeout: c.PublishTimeout,
		MaxItems:       c.PublishQueue,
		MaxBytes:       c.PublishQueueBytes,
		Version:        b.Version,
		Commit:         b.Commit,
		Host:           own.host,
		Alarms:         own.now,
		Accepted:       accepted,
	}
}

// frontend is what answers clients.
type frontend struct {
	sessions *session.Server
	handler  *gateway.Handler
	// The admin secrets at the start.
	secrets [][]byte
}

func newFrontend(
	ctx context.Context, cfg *Config, current *reloadable, back backend, log *slog.Logger, reg prometheus.Registerer,
) (f frontend, err error) {
	f.secrets, err = cfg.secrets()
	if err != nil {
		return f, err
	}
	cfg.warn(ctx, log)
	proxies, err := cfg.Limits.headerProxies()
	if err != nil {
		return f, err
	}
	limits := limit.New(cfg.Limits.Settings, proxies, reg)
	history := gateway.NewForwarder(back.conn)
	if limited := limits.NewGroups(); limited != nil {
		back.publisher = newgroups.New(back.publisher, limited, history)
		back.publishWaits = always
	}
	refused := cfg.refusals()
	sessions := cfg.sessionOptions(limits, back.alarms.budget)
	sessions.Refused, sessions.Identify, sessions.PublishWaits = refused, back.authorizer.Identify, back.publishWaits
	f.sessions = session.New(sessions, back.rooms, back.publisher, history, log, reg)
	if cfg.Ops != nil {
		cfg.Ops.HandleFunc("GET /members", f.sessions.Who)
	}
	pages, err := console.New(cfg.basePath(), func() console.Figures { return figures(back.rooms, back.relay) })
	if err != nil {
		return f, err
	}
	built, err := version()
	if err != nil {
		return f, err
	}
	f.handler, err = gateway.New(ctx, gateway.Backends{
		Limits:    limits,
		Budget:    back.alarms.budget,
		Callers:   caller.New(back.authorizer, current.mayUseCookie),
		Publisher: back.publisher,
		History:   history,
		Console:   pages,
		Tracer:    cfg.tracer(),
		Version:   built,
		Services:  services(back.relay),
		Processes: processes(back.relay, back.alarms),
		Sockets:   f.sessions,
		Refused:   refused,
	}, cfg.gatewayOptions(f.secrets), log, reg)
	return f, err
}

// refusals returns what remembers refusals, if the operations port can show them.
func (c *Config) refusals() *refusals.Log {
	if c.Ops == nil {
		return nil
	}
	refused := refusals.New()
	c.Ops.Handle("GET /refusals", refused)
	return refused
}

// announce says that the edge listens.
func announce(ctx context.Context, cfg *Config, authorizer *access.Authorizer, s *server, log *slog.Logger) {
	addr := s.listener.Addr()
	log.InfoContext(ctx, "edge listens", "address", addr.String(), "history", cfg.History)
	authorizer.Announce(ctx, addr)
	cfg.warnOfFiles(ctx, log)
	if cfg.OnReady != nil {
		cfg.OnReady(addr)
	}
}

// version is what anyone may know of this binary.
func version() ([]byte, error) {
	return json.Marshal(struct {
		Code int `json:"code"`
		program.Build
	}{http.StatusOK, program.ReadBuild()})
}

// connected returns nil if there is a history service to work with.
func connected(client *relay.Client) error {
	if !client.Up() {
		return errors.New("no stream to a history service")
	}
	return nil
}

// figures are what the console shows to anyone.
func figures(rooms *room.Registry, client *relay.Client) console.Figures {
	f := console.Figures{Received: client.Taken(), Delivered: rooms.Deliveries()}
	for _, members := range rooms.Members() {
		f.Groups++
		f.Members += int(members)
	}
	return f
}

// drain waits until ctx ends, and then until the sessions have ended.
func drain(ctx context.Context, sessions *session.Server, cfg *Config) error {
	<-ctx.Done()
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.drainTimeout())
	defer cancel()
	return sessions.Drain(deadline, cfg.Drain)
}

// settleTime is how long a member that has to leave may wait for its acks. HTTP
// requests under way may take as long: a publish has its answer by then.
func (c *Config) settleTime() time.Duration { return c.Hooks.Wait() + c.PublishTimeout + time.Second }

// drainTimeout is when members that have not left are cut off: 4 s beyond the time in
// which all of them should have.
func (c *Config) drainTimeout() time.Duration { return c.Drain + c.settleTime() + 4*time.Second }

// stopTimeout is how long stopping may take altogether.
func (c *Config) stopTimeout() time.Duration {
	return c.settleTime() + c.drainTimeout() + 5*time.Second
}
