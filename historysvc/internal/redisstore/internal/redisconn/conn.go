// Package redisconn is the connection to Redis: one node, Sentinel or Cluster.
// It knows URLs, TLS and permissions, runs scripts and pipelines, tells what
// became of a command that failed, and waits for replicas where acks want that.
// It knows no groups.
//
// Open needs a Redis that answers. After that, every outage is survived: calls
// are tried again a few times, then report history.ErrUnavailable or
// history.ErrUnknown.
package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/internal/backoff"
)

// Options say which Redis, and how to reach it.
type Options struct {
	// URL of Redis, see dial.
	URL   string
	Login Login
	// Embedded means that the server is an imitation in this process, which does not
	// report its version.
	Embedded bool
	// Wait is how long Open waits for a server that cannot be reached: one that is
	// started together with us may need a moment.
	Wait time.Duration
	Acks Acks
	// Tracer makes spans of calls that belong to a trace; nil: none.
	Tracer trace.Tracer
}

// openTimeout is how long the server may take to answer at each try of Open.
const openTimeout = 10 * time.Second

// Conn is a pool of connections. Its methods are safe for concurrent use.
type Conn struct {
	client  redis.UniversalClient
	cluster bool
	tls     bool
	// The server takes the shebang line of scripts.
	shebangs bool
	acks     *confirmation
	metrics  *metrics
	// How long a call may take, beside what it waits for.
	timeout time.Duration
	// nil for an imitation.
	lookout *lookout
	// nil for a Cluster and an imitation.
	watcher *watcher
}

var (
	// A retry may help: no Redis is at that address yet, it is loading its data, or its
	// Cluster is being formed.
	errUnreachable = errors.New("redis cannot be reached")
	errNoCluster   = errors.New("redis is not in cluster mode: use a URL with redis://")
)

// Open connects to Redis and checks that the service can use it. Its errors are one line
// for the operator.
func Open(ctx context.Context, o Options, log *slog.Logger, reg prometheus.Registerer) (*Conn, error) {
	quietenDriver(log)
	if skipsVerification(o.URL) {
		log.WarnContext(ctx, "TLS verification of redis is disabled")
	}
	c, err := await(ctx, &o, log)
	if err != nil {
		return nil, err
	}
	c.metrics = newMetrics(reg)
	c.client.AddHook(observer{stats: c.metrics, failures: &failureLog{log: log}, tracer: o.Tracer})
	registerPool(c.client, reg)
	if c.watcher != nil {
		c.watcher.export(reg)
	}
	if c.lookout != nil {
		c.lookout.export(reg)
	}
	return c, nil
}

// await connects, and tries again while the server cannot be reached.
func await(ctx context.Context, o *Options, log *slog.Logger) (*Conn, error) {
	deadline := time.Now().Add(o.Wait)
	for n := 1; ; n++ {
		c, err := connect(ctx, o, log)
		if !errors.Is(err, errUnreachable) || !time.Now().Before(deadline) {
			return c, err
		}
		if n == 1 {
			log.WarnContext(ctx, "waiting for redis", "error", err, "timeout", o.Wait)
		}
		if backoff.Sleep(ctx, Backoff.Delay(n)) != nil {
			return nil, err
		}
	}
}

// connect makes one attempt.
func connect(ctx context.Context, o *Options, log *slog.Logger) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	timeout := CallTimeout
	if o.Embedded {
		timeout = embeddedTimeout
	}
	settings := dialSettings{login: o.Login, timeout: timeout + o.Acks.timeout(), conns: newConnections()}
	client, cluster, err := dial(o.URL, settings)
	if err != nil {
		return nil, err
	}
	c := &Conn{client: client, cluster: cluster, tls: strings.HasPrefix(o.URL, "rediss"), acks: &confirmation{acks: o.Acks}, timeout: timeout}
	c.acks.confirm(client)
	nodesOf(client, func(node redis.UniversalClient) { node.AddHook(setupFailures{}) })
	if o.Embedded {
		err = c.Ping(ctx)
	} else {
		err = c.inspect(ctx, o, settings, log)
	}
	if err != nil {
		_ = c.Close() // err says more
		return nil, err
	}
	return c, nil
}

// inspect learns what the server is and can do.
func (c *Conn) inspect(ctx context.Context, o *Options, settings dialSettings, log *slog.Logger) (err error) {
	if c.lookout, err = newLookout(c.client, o, settings, log); err != nil {
		return err
	}
	masters, err := c.lookout.ask(ctx)
	if err != nil {
		return c.unusable(err)
	}
	for _, m := range masters {
		if err := c.check(&m); err != nil {
			return err
		}
	}
	if err := c.learn(ctx); err != nil {
		return err
	}
	if err := c.acks.settle(masters); err != nil {
		return err
	}
	c.lookout.see(ctx, masters, c.acks)
	if !c.cluster {
		c.watcher = newWatcher(settings.conns, masters[0].info, log)
	}
	return nil
}

// check returns an error if INFO shows that the service cannot use a server.
func (c *Conn) check(m *master) error {
	switch {
	case m.info["sentinel_masters"] != "":
		return errors.New("this is a Sentinel: use a URL such as redis+sentinel://HOST:26379/0?master_name=NAME")
	case c.cluster && m.info["cluster_enabled"] != "1":
		return errNoCluster
	case !c.cluster && m.info["cluster_enabled"] == "1":
		return errors.New("redis is in cluster mode: use a URL with redis+cluster://")
	case m.info["loading"] == "1":
		return fmt.Errorf("%w: it is loading its data", errUnreachable)
	}
	return nil
}

// learn finds out what the server can do by trying it. A product may claim to be another one
// for the sake of its clients.
func (c *Conn) learn(ctx context.Context) error {
	err := c.client.Eval(ctx, "#!lua flags=no-writes\nreturn 1", nil).Err()
	switch OutcomeOf(err) {
	case Done:
		c.shebangs = true
	case Broken: // it takes the line for a mistake
	default:
		return c.unusable(err)
	}
	if !c.cluster {
		return nil
	}
	known, err := c.client.Do(ctx, "command", "info", "spublish").Slice()
	if err != nil && !errors.Is(err, redis.Nil) {
		return c.unusable(err)
	}
	if len(known) == 0 || known[0] == nil {
		return errors.New("redis has no sharded pub/sub (SPUBLISH), which the service requires of a Cluster: use Redis 7.0 or later, or Valkey")
	}
	return nil
}

// Run keeps all connections at the server to which the address leads, and looks what
// it has become, until ctx ends.
func (c *Conn) Run(ctx context.Context) {
	if c.lookout == nil {
		return
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.look(ctx)
		}
	}
}

// look asks the masters once. That they do not answer is for others to report.
func (c *Conn) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	masters, err := c.lookout.ask(ctx)
	if err != nil {
		return
	}
	if c.watcher != nil {
		c.watcher.see(ctx, masters[0].info)
	}
	c.lookout.see(ctx, masters, c.acks)
}

// Client is the driver, for single commands and subscriptions. Pipelines are for
// Exec and its like.
func (c *Conn) Client() redis.UniversalClient { return c.client }

// Cluster reports whether the server is a Redis Cluster.
func (c *Conn) Cluster() bool { return c.cluster }

// Embedded reports whether the server is an imitation in this process.
func (c *Conn) Embedded() bool { return c.lookout == nil }

// Mode is how the server runs: single, sentinel or cluster; "" for an imitation.
func (c *Conn) Mode() string {
	if c.lookout == nil {
		return ""
	}
	return c.lookout.mode
}

// Awaited returns how many replicas of the master at addr acks wait for. Outside a
// Cluster, addr is "".
func (c *Conn) Awaited(addr string) int { return c.acks.replicas(addr) }

// Acks are what a write needs to be confirmed.
func (c *Conn) Acks() Acks { return c.acks.acks }

// PublishCommand is PUBLISH, or SPUBLISH in a Cluster, where PUBLISH costs every
// node.
func (c *Conn) PublishCommand() string {
	if c.cluster {
		return "spublish"
	}
	return "publish"
}

// Close closes all connections. Run has returned before, or was never called.
func (c *Conn) Close() error {
	if c.lookout != nil {
		c.lookout.close()
	}
	return c.client.Close()
}

// Ping asks Redis for a sign of life; for readiness probes. It reads, as most calls
// do: while Redis refuses writes, it refuses the command PING, too, and histories can
// be read. In a Cluster it asks any of the masters.
func (c *Conn) Ping(ctx context.Context) error {
	key := fmt.Sprintf("%s%d", aliveKey, rand.Uint32())
	return ReadError(c.client.Exists(ctx, key).Err())
}

// aliveKey begins the keys that Ping looks for. They never exist.
const aliveKey = "$$/alive/"

// unusable is the error of Open when a call to the server failed with err.
func (c *Conn) unusable(err error) error {
	var untrusted *tls.CertificateVerificationError
	switch o := OutcomeOf(err); {
	case o == Refused:
		return fmt.Errorf("redis refused access: %w", err)
	case o == Broken, errors.As(err, &untrusted): // an answer, which waiting would not change
		if strings.Contains(err.Error(), "cluster support disabled") {
			return errNoCluster
		}
		return fmt.Errorf("redis cannot be used: %w", err)
	default:
		return fmt.Errorf("%w: %w%s", errUnreachable, err, c.hint(err))
	}
}

// ParseInfo reads the answer to INFO.
func ParseInfo(text string) map[string]string {
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

// driverLog passes messages of go-redis on as debug lines: our callers report the
// failures that they are about.
type driverLog struct{ log *slog.Logger }

func (d driverLog) Printf(ctx context.Context, format string, v ...any) {
	if d.log.Enabled(ctx, slog.LevelDebug) {
		d.log.DebugContext(ctx, "redis driver", "text", fmt.Sprintf(format, v...))
	}
}

var driverOnce sync.Once

// quietenDriver keeps go-redis, whose logger is the process's, from writing to
// the standard error output. The first logger stays.
func quietenDriver(log *slog.Logger) {
	driverOnce.Do(func() { redis.SetLogger(driverLog{log}) })
}
