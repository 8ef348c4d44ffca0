// Package edge is the face of gotapi-ws: WebSockets and HTTP for clients, one
// stream to a history service behind. This file says what an edge is made of.
package edge

import (
	"context"
	"crypto/tls"
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
	"github.com/gotapi/gotapi-ws/edge/internal/hooked"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/session"
	"github.com/gotapi/gotapi-ws/hooks"
	"github.com/gotapi/gotapi-ws/services/program"
	"github.com/gotapi/gotapi-ws/services/run"
	"github.com/gotapi/gotapi-ws/services/tlsfiles"
)

// Run serves until ctx ends, then stops in order: HTTP takes nothing new,
// members are disconnected over the drain time with their acks, and the relay
// ends last. It does not wait for a history service: while there is none,
// upgrades and publishes are refused with 503.
func Run(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	secrets, err := cfg.openTLS(log, reg)
	if err != nil {
		return err
	}
	guard, err := access.New(cfg.Access, log)
	if err != nil {
		return err
	}
	hook, err := hooks.New(cfg.Hooks, "edge", log, reg)
	if err != nil {
		return err
	}
	conn, err := relay.Dial(cfg.History, slices.Concat(secrets.dialOptions(&cfg), showing(guard), cfg.tracedCalls())...)
	if err != nil {
		return err
	}
	defer conn.Close()

	client := relay.New(conn, relay.Options{
		PublishTimeout: cfg.PublishTimeout,
		MaxItems:       cfg.PublishQueue,
		MaxBytes:       cfg.PublishQueueBytes,
	}, log, reg)
	rooms := room.New(client, client.Edge(), log, reg)
	client.SetHandler(rooms)
	client.ReportMembers(rooms.Members)
	face, err := newFace(ctx, &cfg, guard, hook, conn, client, rooms, log, reg)
	if err != nil {
		return err
	}
	webs, err := listenAll(ctx, &cfg, secrets.face, face.handler, log)
	if err != nil {
		return err
	}

	log.InfoContext(ctx, "edge listens", "address", webs[0].listener.Addr().String(), "history", cfg.History)
	guard.Announce(ctx, webs[0].listener.Addr())
	if cfg.OnReady != nil {
		cfg.OnReady(webs[0].listener.Addr())
	}
	cfg.Ready.Add("relay", func(context.Context) error { return connected(client) })
	face.secrets = secrets
	parts := []run.Part{
		{Name: "tls files", Serve: secrets.run},
		{Name: "settings", Serve: func(ctx context.Context) error { return face.run(ctx, cfg.Reloads) }},
		{Name: "access", Serve: guard.Run},
		{Name: "hooks", Serve: hook.Run},
		{Name: "relay", Serve: client.Run},
		{Name: "rooms", Serve: rooms.Run},
		{Name: "keepalive", Serve: face.sessions.Run},
		{Name: "sessions", Serve: func(ctx context.Context) error { return drain(ctx, face.sessions, &cfg) }},
	}
	return run.All(ctx, log, cfg.stopTimeout(), append(parts, webParts(webs)...)...)
}

// newFace makes what answers clients: WebSockets, HTTP, pages.
func newFace(
	ctx context.Context, cfg *Config, guard *access.Guard, hook *hooks.Hooks, conn *grpc.ClientConn, client *relay.Client,
	rooms *room.Registry, log *slog.Logger, reg prometheus.Registerer,
) (*live, error) {
	secret, err := cfg.secret()
	if err != nil {
		return nil, err
	}
	if secret != "" && len(secret) < goodSecretBytes {
		log.WarnContext(ctx, "the admin secret is short: it can be guessed", "bytes", len(secret), "want", goodSecretBytes)
	}
	settings, err := cfg.Limits.settings()
	if err != nil {
		return nil, err
	}
	limits := limit.New(settings, reg)
	face := &live{log: log}
	face.useOrigins(cfg)
	history := gateway.NewForwarder(conn)
	var publisher session.Publisher = client
	if hook != nil {
		publisher = hooked.New(client.Publish, hook, face.messageBytes, log)
	}
	sockets := cfg.sockets()
	sockets.Limits = limits
	face.sessions = session.New(sockets, rooms, publisher, history, log, reg)
	pages, err := console.New(func() console.Figures { return figures(rooms, client) })
	if err != nil {
		return nil, err
	}
	built, err := version()
	if err != nil {
		return nil, err
	}
	face.handler, err = gateway.New(ctx, gateway.Backends{
		Limits:  limits,
		Callers: caller.New(guard, face.named),
		Publish: publisher.Publish,
		History: history,
		Console: pages,
		Tracer:  cfg.tracer(),
		Version: built,
		Upgrade: face.sessions.ServeHTTP,
	}, cfg.web(secret), log, reg)
	return face, err
}

// version is what everybody may know of this binary.
func version() ([]byte, error) {
	return json.Marshal(struct {
		Code int `json:"code"`
		program.Build
	}{http.StatusOK, program.ReadBuild()})
}

// connected says whether there is a history service to work with.
func connected(client *relay.Client) error {
	if !client.Up() {
		return errors.New("no stream to a history service")
	}
	return nil
}

func webParts(webs []*web) (parts []run.Part) {
	for _, w := range webs {
		parts = append(parts, run.Part{Name: w.name, Serve: w.serve})
	}
	return parts
}

// figures are what the console shows everybody.
func figures(rooms *room.Registry, client *relay.Client) console.Figures {
	f := console.Figures{Received: client.Taken(), Delivered: rooms.Deliveries()}
	for _, members := range rooms.Members() {
		f.Groups++
		f.Members += int(members)
	}
	return f
}

// goodSecretBytes is the length of an admin secret that is not complained about:
// 128 bits in base64 have 22.
const goodSecretBytes = 20

// memberQueueFrames bounds what waits for one member in frames, beside bytes:
// small frames have a price, too.
const memberQueueFrames = 4096

// drain waits until ctx ends, and then until the sessions have ended.
func drain(ctx context.Context, sessions *session.Server, cfg *Config) error {
	<-ctx.Done()
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.drainTimeout())
	defer cancel()
	return sessions.Drain(deadline, cfg.Drain)
}

// settleTime is how long a member that is told to go may wait for its acks.
func (c *Config) settleTime() time.Duration { return c.Hooks.Wait() + c.PublishTimeout + time.Second }

// drainTimeout is when members that have not ended are cut off: 4 s beyond the
// time in which all of them should have.
func (c *Config) drainTimeout() time.Duration { return c.Drain + c.settleTime() + 4*time.Second }

// stopTimeout is how long stopping may take altogether.
func (c *Config) stopTimeout() time.Duration { return c.webDrain() + c.drainTimeout() + 5*time.Second }

// webDrain is how long HTTP requests under way may take: a publish has its
// answer by then.
func (c *Config) webDrain() time.Duration { return c.settleTime() }

// listenAll opens the listeners: first that of the handler, then that of the
// redirect, if there is one. On an error none is open.
func listenAll(ctx context.Context, cfg *Config, files *tlsfiles.Files, h *gateway.Handler, log *slog.Logger) ([]*web, error) {
	ln := cfg.Listener
	if ln == nil {
		var err error
		if ln, err = listen(ctx, "-listen", cfg.Listen); err != nil {
			return nil, err
		}
	}
	ln, err := cfg.Limits.behindProxies(ln)
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	var secure *tls.Config
	if files != nil {
		// WebSockets are HTTP/1.1; their clients do not offer h2.
		secure = files.Server("h2", "http/1.1")
	}
	face := newWeb("http", insisting(h, cfg.HSTS), ln, secure, cfg.webDrain(), log)
	if cfg.RedirectHTTP == "" {
		return []*web{face}, nil
	}
	plain, err := listen(ctx, "-redirect-http", cfg.RedirectHTTP)
	if err == nil {
		plain, err = cfg.Limits.behindProxies(plain)
	}
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	return []*web{face, newWeb("redirect", redirect(ln.Addr()), plain, nil, time.Second, log)}, nil
}
