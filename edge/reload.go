package edge

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/gotapi/gotapi-ws/edge/internal/gateway"
	"github.com/gotapi/gotapi-ws/edge/internal/session"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
)

// web is how requests are treated.
func (c *Config) web(secret string) gateway.Options {
	return gateway.Options{
		MaxMessageBytes: int64(c.MaxMessageBytes),
		MaxRequests:     c.MaxRequests,
		PageCache:       c.PageCache,
		AdminSecret:     secret,
		AllowedOrigins:  c.origins(),
	}
}

// sockets is how WebSockets are treated.
func (c *Config) sockets() session.Options {
	return session.Options{
		Origin:         gateway.Origins(c.origins()),
		MaxMessage:     c.MaxMessageBytes,
		MaxConnections: c.MaxConnections,
		UpgradeRate:    c.UpgradeRate,
		Queue:          ws.Limits{Frames: memberQueueFrames, Bytes: c.MemberQueueBytes},
		SettleTime:     c.settleTime(),
		LogEnds:        c.LogConnections,
		Tracer:         c.tracer(),
		WriteError:     gateway.WriteError,
	}
}

// live is what can change while the edge runs.
type live struct {
	handler  *gateway.Handler
	sessions *session.Server
	secrets  secrets
	log      *slog.Logger
	// Says which origins may use a cookie.
	origins atomic.Pointer[func(origin string) bool]
}

// messageBytes is the size of the largest message.
func (l *live) messageBytes() int { return int(l.handler.MaxMessageBytes()) }

func (l *live) useOrigins(cfg *Config) {
	named := gateway.Origins(cfg.namedOrigins())
	l.origins.Store(&named)
}

func (l *live) named(origin string) bool { return (*l.origins.Load())(origin) }

// run uses what comes until ctx ends.
func (l *live) run(ctx context.Context, reloads <-chan *Config) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case cfg := <-reloads:
			l.use(ctx, cfg)
		}
	}
}

func (l *live) use(ctx context.Context, cfg *Config) {
	for _, f := range l.secrets.all() {
		_ = f.Reload() // is in the log
	}
	secret, err := cfg.secret()
	if err != nil { // it was good a moment ago
		l.log.ErrorContext(ctx, "the new settings of the edge cannot be used", "error", err)
		return
	}
	l.useOrigins(cfg)
	l.handler.Reconfigure(cfg.web(secret))
	l.sessions.Reconfigure(cfg.sockets())
}
