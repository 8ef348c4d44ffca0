package redisstore

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/bus"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/eventlog"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/inspection"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/presence"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/internal/fairshare"
)

// The parts of Options.
type (
	// Connection is the address of Redis and how to connect to it.
	Connection = redisconn.Options
	// Login is how the service authenticates to Redis, and Redis to the service.
	Login = redisconn.Login
	// Acks are the conditions on a write before its sender gets the ack.
	Acks = redisconn.Acks
	// Replicas is a number of replicas, or AllReplicas.
	Replicas = redisconn.Replicas
	// History configures what groups keep.
	History = eventlog.Options
	// GroupOptions are those of one group.
	GroupOptions = eventlog.GroupOptions
)

// Options configure a Store. Zero bounds mean their defaults.
type Options struct {
	Connection Connection
	History    History
}

// AllReplicas are those that Sentinels or the Cluster know.
const AllReplicas = redisconn.AllReplicas

// Defaults of Options. 250,000 entries of an index take about 25 MB of Redis.
const (
	DefaultCap         = 10000
	defaultDedupeLimit = 250000
)

// defaultWaiting bounds what waits to be stored.
var defaultWaiting = fairshare.Limits{
	Total: fairshare.Load{Items: 1 << 16, Bytes: 128 << 20},
	Group: fairshare.Load{Items: 1 << 13, Bytes: 8 << 20},
}

func (o *Options) setDefaults() error {
	conn, history := &o.Connection, &o.History
	defaultTo(&history.Cap, DefaultCap)
	defaultTo(&history.DedupeLimit, max(defaultDedupeLimit, history.Cap))
	defaultTo(&history.Waiting, defaultWaiting)
	if !conn.Acks.Wanted() {
		conn.Acks.Timeout = 0
	}
	if history.Now == nil {
		history.Now = time.Now
	}
	switch {
	case history.Cap < 1:
		return errors.New("the cap must be at least 1 message")
	case history.Retention != 0 && history.Retention < time.Millisecond:
		return errors.New("the retention must be at least 1 ms, or 0")
	case history.Archive < 0:
		return errors.New("the archive must not be negative")
	case conn.Acks.Replicas < 0 && conn.Acks.Replicas != AllReplicas:
		return errors.New("the number of replicas that acks wait for must not be negative")
	case conn.Acks.Timeout != 0 && conn.Acks.Timeout < time.Millisecond:
		return errors.New("the timeout of acks must be at least 1 ms")
	case conn.Embedded && conn.Acks.Wanted():
		return errors.New("the embedded store has no replicas or disk for acks to wait for")
	case history.DedupeLimit < history.Cap:
		return errors.New("the deduplication limit must not be below the cap")
	}
	return nil
}

func defaultTo[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Store keeps groups in Redis. Its methods are safe for concurrent use. Submit and
// the bus work while Run does.
type Store struct {
	*eventlog.Log
	*bus.Bus
	*presence.Presence
	*inspection.Inspector
	conn *redisconn.Conn
}

var (
	_ history.Log      = (*Store)(nil)
	_ history.Bus      = (*Store)(nil)
	_ history.Presence = (*Store)(nil)
	_ history.Census   = (*Store)(nil)
	_ history.Admin    = (*Store)(nil)
)

// CheckURL returns an error if the URL of Redis is invalid; it does no I/O.
func CheckURL(url string) error { return redisconn.CheckURL(url) }

// Open connects to Redis and checks that it can be used. Its errors are one
// line for the operator. Close ends what Open began.
func Open(ctx context.Context, o Options, log *slog.Logger, reg prometheus.Registerer) (*Store, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	conn, err := redisconn.Open(ctx, o.Connection, log, reg)
	if err != nil {
		return nil, err
	}
	if err := conn.RequireCommands(ctx, commands(conn, o.History.Archive > 0)); err != nil {
		_ = conn.Close() // err says more
		return nil, err
	}
	return &Store{
		Log:       eventlog.New(conn, o.History, log, reg),
		Bus:       bus.New(conn, log, reg),
		Presence:  presence.New(conn),
		Inspector: inspection.New(conn),
		conn:      conn,
	}, nil
}

// Run runs the store until ctx ends: it stores publications, and passes events of the bus
// to l unless that is nil. When ctx ends it refuses the publications that still wait.
func (s *Store) Run(ctx context.Context, l history.Listener) error {
	var parts sync.WaitGroup
	parts.Go(func() { s.conn.Run(ctx) })
	parts.Go(func() { s.Log.Run(ctx) })
	if l != nil {
		parts.Go(func() { s.Bus.Run(ctx, l) })
	}
	parts.Wait()
	return nil
}

// Close closes the connections. Run has returned before, or was never called.
func (s *Store) Close() error { return s.conn.Close() }

// Ping asks Redis for a sign of life; for readiness probes.
func (s *Store) Ping(ctx context.Context) error { return s.conn.Ping(ctx) }
