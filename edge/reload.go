package edge

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/eventstream"
	"github.com/gotapi/gotapi-ws/edge/internal/gateway"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/session"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/hooks"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
)

// gatewayOptions is how requests are treated.
func (c *Config) gatewayOptions(secrets [][]byte) gateway.Options {
	return gateway.Options{
		MaxMessageBytes: int64(c.MaxMessageBytes),
		PublishTimeout:  c.PublishTimeout,
		MaxRequests:     c.MaxRequests,
		MaxStreams:      c.MaxStreams,
		PageCache:       c.PageCache,
		AdminSecrets:    secrets,
		AllowedOrigins:  c.origins(),
		LogRefusals:     c.LogConnections,
	}
}

// memberQueueFrames bounds what waits for one member in frames, beside bytes:
// small frames have a price, too.
const memberQueueFrames = 4096

// sessionOptions is how WebSockets are treated.
func (c *Config) sessionOptions(limits *limit.Limits, budget *limit.Budget) session.Options {
	return session.Options{
		Origin:         gateway.Origins(c.origins()),
		MaxMessage:     c.MaxMessageBytes,
		MaxConnections: c.maxConnections(),
		UpgradeRate:    c.UpgradeRate,
		Limits:         limits,
		Budget:         budget,
		Queue:          ws.Limits{Frames: memberQueueFrames, Bytes: c.MemberQueueBytes},
		MaxGroups:      c.ConnectionGroups,
		SettleTime:     c.settleTime(),
		LogEnds:        c.LogConnections,
		Tracer:         c.tracer(),
	}
}

// streamOptions is how event streams and long polls are treated.
func (c *Config) streamOptions(limits *limit.Limits) eventstream.Options {
	return eventstream.Options{
		Queue:     ws.Limits{Frames: memberQueueFrames, Bytes: c.MemberQueueBytes},
		MaxGroups: c.ConnectionGroups,
		Limits:    limits,
	}
}

// reloadable has the settings of now, for parts that ask each time.
type reloadable struct {
	maxMessage    atomic.Int64
	cookieOrigins atomic.Pointer[func(origin string) bool]
}

func newReloadable(cfg *Config) *reloadable {
	r := new(reloadable)
	r.use(cfg)
	return r
}

func (r *reloadable) use(cfg *Config) {
	r.maxMessage.Store(int64(cfg.MaxMessageBytes))
	named := gateway.Origins(cfg.namedOrigins())
	r.cookieOrigins.Store(&named)
}

// maxMessageBytes is the size of the largest message.
func (r *reloadable) maxMessageBytes() int { return int(r.maxMessage.Load()) }

// mayUseCookie reports whether pages of another origin may use the cookie.
func (r *reloadable) mayUseCookie(origin string) bool { return (*r.cookieOrigins.Load())(origin) }

// secretEvery is how soon a changed file with the admin secret is noticed.
const secretEvery = 5 * time.Second

// reloader uses new settings while the edge runs.
type reloader struct {
	// The settings in use, and the admin secrets.
	cfg      *Config
	secrets  [][]byte
	hook     *hooks.Hooks
	groups   *groupsettings.File
	current  *reloadable
	frontend frontend
	certs    certificates
	log      *slog.Logger
}

// run uses what comes until ctx ends.
func (r *reloader) run(ctx context.Context, reloads <-chan *Config) error {
	tick := time.NewTicker(secretEvery)
	defer tick.Stop()
	for well := true; ; {
		select {
		case <-ctx.Done():
			return nil
		case cfg := <-reloads:
			r.reload(cfg)
		case <-tick.C:
		}
		err := r.useSecrets(ctx)
		if err != nil && well {
			r.log.ErrorContext(ctx, "reload the admin secret: keep the previous one", "error", err)
		}
		well = err == nil
	}
}

// reload uses new settings.
func (r *reloader) reload(cfg *Config) {
	for _, f := range r.certs.files() {
		_ = f.Reload() // logs its error
	}
	r.hook.Reload()
	r.cfg = cfg
	r.current.use(cfg)
	r.groups.Reload()
	r.frontend.sessions.Reconfigure(cfg.sessionOptions(nil, nil))
	r.frontend.streams.Reconfigure(cfg.streamOptions(nil))
	r.frontend.handler.Reconfigure(cfg.gatewayOptions(r.secrets))
}

// useSecrets uses the admin secrets of now.
func (r *reloader) useSecrets(ctx context.Context) error {
	secrets, err := r.cfg.secrets()
	if err == nil && !slices.EqualFunc(secrets, r.secrets, bytes.Equal) {
		r.secrets = secrets
		r.frontend.handler.Reconfigure(r.cfg.gatewayOptions(secrets))
		r.cfg.warn(ctx, r.log)
	}
	return err
}
