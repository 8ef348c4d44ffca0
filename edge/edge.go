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
	"github.com/gotapi/gotapi-ws/edge/internal/eventstream"
	"github.com/gotapi/gotapi-ws/edge/internal/gateway"
	"github.com/gotapi/gotapi-ws/edge/internal/historyconn"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/newgroups"
	"github.com/gotapi/gotapi-ws/edge/internal/publishhooks"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/session"
	"github.com/gotapi/gotapi-ws/hooks"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	"github.com/gotapi/gotapi-ws/internal/quota"
	"github.com/gotapi/gotapi-ws/internal/refusals"
	"github.com/gotapi/gotapi-ws/services/program"
	"github.com/gotapi/gotapi-ws/services/run"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// Run serves until ctx ends, then stops in order: HTTP takes nothing new,
// members are disconnected over the drain time with their acks, as are streams, and the
// relay ends last. It does not wait for a history service: while there is none,
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

	current := newReloadable(&cfg)
	groups, err := groupsettings.Open(cfg.GroupsFile, current.maxMessageBytes, "edge", log, reg)
	if err != nil {
		return err
	}
	bound, err := newBounds(&cfg, log, reg)
	if err != nil {
		return err
	}
	budget := limit.NewBudget(quota.MemoryLimit(), reg)
	own := &alarms{host: program.Host(cfg.Listen), bounds: bound, certs: certs, budget: budget, groups: groups}
	client := relay.New(conn, cfg.relayOptions(own, publishhooks.Tell(hook, groups)), log, reg)
	rooms := room.New(client, client.Edge(), budget, log, reg)
	rooms.LimitGroups(cfg.MaxGroups)

	back := backend{
		authorizer: authorizer, conn: conn, relay: client, rooms: rooms, publisher: client, publishWaits: rooms.HoldsBack, alarms: own, groups: groups,
	}
	back.addHooks(hook, current)
	back.publisher = room.NewThrottle(back.publisher, rooms)
	front, err := newFrontend(ctx, &cfg, current, back, log, reg)
	if err != nil {
		return err
	}
	servers, err := newServers(ctx, &cfg, certs.server, front.handler, bound, log)
	if err != nil {
		return err
	}
	reload := reloader{cfg: &cfg, secrets: front.secrets, hook: hook, groups: groups, current: current, frontend: front, certs: certs, log: log}

	stopping := servers[0].stopping(ctx) // it waits for streams

	announce(ctx, &cfg, authorizer, servers[0], log)
	cfg.Ready.Add("relay", func(context.Context) error { return connected(client) })
	parts := []run.Part{
		{Name: "tls files", Serve: certs.run},
		{Name: "settings", Serve: func(ctx context.Context) error { return reload.run(ctx, cfg.Reloads) }},
		{Name: "settings of groups", Serve: groups.Run},
		{Name: "access", Serve: authorizer.Run},
		{Name: "hooks", Serve: hook.Run},
		{Name: "relay", Serve: func(ctx context.Context) error { return client.Run(ctx, rooms) }},
		{Name: "rooms", Serve: rooms.Run},
		{Name: "keepalive", Serve: front.sessions.Run},
		{Name: "sessions", Serve: func(ctx context.Context) error { return front.drainSessions(until(ctx, stopping), &cfg) }},
		{Name: "streams", Serve: func(ctx context.Context) error { return front.drainStreams(until(ctx, stopping), &cfg) }},
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
	groups       *groupsettings.File
}

// addHooks has the hook asked before packets are published, if there is one.
func (b *backend) addHooks(hook *hooks.Hooks, current *reloadable) {
	if hook == nil {
		return
	}
	b.publisher = publishhooks.New(b.relay, hook.Before, b.groups, current.maxMessageBytes)
	if hook.Before != nil {
		b.publishWaits = always
	}
}

// always is a backend's publishWaits if each packet is checked by asking others.
func always(group.Name) bool { return true }

// relayOptions are those of a relay that says what is wrong with this edge.
func (c *Config) relayOptions(own *alarms, accepted func(*relay.Publication, relay.Result)) relay.Options {
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
	streams  *eventstream.Server
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
	bounds := cfg.Limits.Settings
	bounds.Groups = back.groups
	limits := limit.New(bounds, proxies, reg)
	history := gateway.NewForwarder(back.conn)
	if limited := limits.NewGroups(); limited != nil {
		back.publisher = newgroups.New(back.publisher, limited, history)
		back.publishWaits = always
	}
	refused := cfg.refusals()
	sessions := cfg.sessionOptions(limits, back.alarms.budget)
	sessions.Refused, sessions.Groups = refused, back.groups
	sessions.Identify, sessions.PublishWaits = back.authorizer.Identify, back.publishWaits
	f.sessions = session.New(sessions, back.rooms, back.publisher, history, log, reg)
	streams := cfg.streamOptions(limits)
	streams.Refused = refused
	f.streams = eventstream.New(streams, back.rooms, f.sessions, log, reg)
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
		Groups:    back.groups,
		Config:    cfg.explain(back.groups, back.alarms.host, current.maxMessageBytes),
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
		Streams:   f.streams,
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

// until waits until one of two contexts ends, and returns one that does not end with them.
func until(ctx, other context.Context) context.Context {
	select {
	case <-ctx.Done():
	case <-other.Done():
	}
	return context.WithoutCancel(ctx)
}

// drainSessions waits until the sessions have ended.
func (f *frontend) drainSessions(ctx context.Context, cfg *Config) error {
	deadline, cancel := context.WithTimeout(ctx, cfg.drainTimeout())
	defer cancel()
	return f.sessions.Drain(deadline, cfg.Drain)
}

// drainStreams waits until the streams have ended.
func (f *frontend) drainStreams(ctx context.Context, cfg *Config) error {
	deadline, cancel := context.WithTimeout(ctx, cfg.drainTimeout())
	defer cancel()
	f.streams.Drain(deadline, cfg.Drain)
	return nil
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
