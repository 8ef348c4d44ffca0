// Package standalone runs an edge and a history service in one process, with
// an embedded store unless there is a Redis. The two talk as they do apart:
// calls go over gRPC and a pipe in memory, the relay's frames take a shortcut.
package standalone

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge"
	"github.com/gotapi/gotapi-ws/historysvc"
	"github.com/gotapi/gotapi-ws/services/run"
)

// pipeBytes is how much each direction of the pipe between the two services
// holds before the writer waits.
const pipeBytes = 1 << 20

// parts is what the two services are given by this package.
type parts struct {
	http, grpc net.Listener
	pipe       *bufconn.Listener
	shortcut   *shortcut
	redis      string
	announce   *announcement
	// The default token by which the two services know each other.
	serviceToken string
}

// Run serves until ctx ends: then the edge stops first, the store last.
func Run(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	p := parts{
		redis: cfg.History.Redis, pipe: bufconn.Listen(pipeBytes), shortcut: newShortcut(),
		announce: &announcement{cfg: cfg}, serviceToken: rand.Text(),
	}
	defer func() { _ = p.pipe.Close() }()
	var err error
	if p.http, err = listen(ctx, "-listen", cfg.Edge.Listen); err != nil {
		return err
	}
	defer p.http.Close()
	ln, err := listen(ctx, "-grpc-listen", cfg.History.Listen)
	if err != nil {
		return err
	}
	public := newDeparting(ln)
	defer func() { _ = public.Close() }()
	// The history service outlives the edge, which takes its time to stop.
	defer context.AfterFunc(ctx, public.leave)()
	p.grpc = public

	var all []run.Part
	if cfg.embedded() {
		store, err := startEmbedded()
		if err != nil {
			return fmt.Errorf("embedded store: %w", err)
		}
		p.redis = store.url
		all = append(all, run.Part{Name: "embedded store", Serve: store.serve})
	}
	history, face := cfg.history(p), cfg.edge(p)
	history.Tracing, face.Tracing = cfg.Tracing, cfg.Tracing
	toHistory, toFace := make(chan *historysvc.Config), make(chan *edge.Config)
	history.Ready, history.Reloads = cfg.Ready, toHistory
	face.Ready, face.Ops, face.Reloads = cfg.Ready, cfg.Ops, toFace
	all = append(all,
		run.Part{Name: "historysvc", Serve: func(ctx context.Context) error {
			return historysvc.Run(ctx, history, log.With("service", "historysvc"), reg)
		}},
		run.Part{Name: "edge", Serve: func(ctx context.Context) error {
			return edge.Run(ctx, face, log.With("service", "edge"), reg)
		}},
		run.Part{Name: "settings", Serve: func(ctx context.Context) error {
			return hand(ctx, cfg.Reloads, toFace, toHistory)
		}},
	)
	// No deadline here: each service has its own.
	return run.All(ctx, log, 0, all...)
}

func listen(ctx context.Context, flag, address string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return ln, nil
}

func (c *Config) embedded() bool { return c.History.Redis == "" }

// history is the history service's own configuration.
func (c *Config) history(p parts) historysvc.Config {
	h := c.History
	h.Redis, h.Embedded = p.redis, c.embedded()
	h.Access = p.access(h.Access)
	if p.pipe != nil {
		h.Listener, h.ExtraListeners = p.grpc, []net.Listener{p.pipe}
		h.OnReady, h.ServeRelay = p.announce.grpcReady, p.shortcut.serve
	}
	return h
}

// access returns the access settings of one of the services: if callers are checked,
// so is the edge.
func (p *parts) access(a access.Config) access.Config {
	if a.Checks() && !a.HasServiceToken() {
		a.ServiceToken = p.serviceToken
	}
	return a
}

// edge is the edge's own configuration.
func (c *Config) edge(p parts) edge.Config {
	e := c.Edge
	e.History = "passthrough:///historysvc"
	e.Access = p.access(e.Access)
	if p.pipe != nil {
		e.Listener = p.http
		e.DialOptions = []grpc.DialOption{
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				return p.pipe.DialContext(ctx)
			}),
			grpc.WithChainStreamInterceptor(p.shortcut.intercept),
		}
		e.OnReady = p.announce.httpReady
	}
	return e
}
