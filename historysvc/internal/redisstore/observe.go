package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// callKind is what was asked of Redis: a value of the label kind.
type callKind string

// The kinds.
const (
	callAppend  callKind = "append"  // a pipeline that stores and broadcasts
	callScript  callKind = "script"  // a script: reading, recalling, settings
	callCommand callKind = "command" // anything else
)

var callKinds = []callKind{callAppend, callScript, callCommand}

func (m *metrics) registerCalls(reg prometheus.Registerer) error {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "gotapi_history_redis_seconds",
		Help:    "Round trips to Redis, by kind: append (a pipeline that stores and broadcasts), script, command.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
	}, []string{"kind"})
	failed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gotapi_history_redis_errors_total",
		Help: "Round trips to Redis without a usable answer, by kind.",
	}, []string{"kind"})
	m.seconds = make(map[callKind]prometheus.Observer)
	m.errors = make(map[callKind]prometheus.Counter)
	for _, k := range callKinds {
		m.seconds[k], m.errors[k] = seconds.WithLabelValues(string(k)), failed.WithLabelValues(string(k))
	}
	return errors.Join(reg.Register(seconds), reg.Register(failed))
}

// observer measures what the driver does. It implements redis.Hook.
type observer struct {
	stats *metrics
	// nil: nothing is traced.
	tracer trace.Tracer
}

// DialHook implements redis.Hook.
func (observer) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook implements redis.Hook.
func (o observer) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return o.watch(ctx, kindOf(cmd), func() error { return next(ctx, cmd) })
	}
}

// ProcessPipelineHook implements redis.Hook.
func (o observer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return o.watch(ctx, kindOf(cmds...), func() error { return next(ctx, cmds) })
	}
}

// kindOf says what a round trip is for: a transaction with a script is for that
// script.
func kindOf(cmds ...redis.Cmder) callKind {
	switch first := cmds[0].(type) {
	case once:
		return callAppend
	case confirmed:
		return first.kind
	}
	for _, cmd := range cmds {
		switch cmd.Name() {
		case "evalsha", "eval", "evalsha_ro", "eval_ro", "script":
			return callScript
		}
	}
	return callCommand
}

// watch counts and follows a round trip.
func (o observer) watch(ctx context.Context, kind callKind, roundTrip func() error) error {
	end := o.follow(ctx, kind)
	began := time.Now()
	err := roundTrip()
	o.stats.observe(kind, began, err)
	end(err)
	return err
}

// follow makes a span of a call that is part of a sampled trace.
func (o observer) follow(ctx context.Context, kind callKind) (end func(error)) {
	if o.tracer == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return func(error) {}
	}
	_, span := o.tracer.Start(ctx, "redis "+string(kind), trace.WithSpanKind(trace.SpanKindClient))
	return func(err error) {
		if err != nil && fateOf(err) != done {
			span.SetStatus(otelcodes.Error, "redis gave no usable answer")
		}
		span.End()
	}
}

// observe counts a round trip. What Redis says is an answer, even if it says
// no; only of some answers there is no use.
func (m *metrics) observe(kind callKind, began time.Time, err error) {
	m.seconds[kind].Observe(time.Since(began).Seconds())
	switch fateOf(err) {
	case notDone, unknown:
		m.errors[kind].Inc()
	default:
	}
}

// registerState exports what waits in the store and what the driver keeps.
func (s *Store) registerState(reg prometheus.Registerer) error {
	gauge := func(name, help string, value func() float64) error {
		return reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "gotapi", Subsystem: "history", Name: name, Help: help,
		}, value))
	}
	err := errors.Join(
		gauge("append_waiting", "Publications that wait for Redis; the bound is -publish-queue.", func() float64 {
			items, _ := s.waiting()
			return float64(items)
		}),
		gauge("append_waiting_bytes", "What those publications occupy; the bound is -publish-queue-bytes.", func() float64 {
			_, bytes := s.waiting()
			return float64(bytes)
		}),
		gauge("redis_connections", "Connections to Redis, subscriptions apart.", func() float64 {
			return float64(s.client.PoolStats().TotalConns)
		}),
		gauge("redis_connections_idle", "Connections to Redis that are not in use.", func() float64 {
			return float64(s.client.PoolStats().IdleConns)
		}),
		reg.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gotapi_history_redis_pool_timeouts_total",
			Help: "Times that no connection to Redis became free in time.",
		}, func() float64 { return float64(s.client.PoolStats().Timeouts) })),
	)
	if err != nil {
		return fmt.Errorf("metrics of the store: %w", err)
	}
	return nil
}

// waiting is what has no answer yet, in all lanes.
func (s *Store) waiting() (items, bytes int) {
	for _, l := range s.lanes {
		l.mu.Lock()
		items, bytes = items+l.count, bytes+l.bytes
		l.mu.Unlock()
	}
	return items, bytes
}
