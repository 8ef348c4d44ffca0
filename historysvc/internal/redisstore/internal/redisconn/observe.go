package redisconn

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/internal/metric"
)

// CallKind is what Redis has to do: a value of the label kind.
type CallKind string

// The kinds of calls.
const (
	CallAppend  CallKind = "append"  // a pipeline that stores and broadcasts
	CallScript  CallKind = "script"  // a script: reading, recalling, settings
	CallCommand CallKind = "command" // anything else
)

// reason is why a round trip failed: a value of the label reason.
type reason string

// The reasons. Each but the last is an error code of Redis.
const (
	reasonMisconf    reason = "misconf"     // it cannot save its data, and refuses writes
	reasonOOM        reason = "oom"         // it is out of memory, and refuses writes
	reasonNoPerm     reason = "noperm"      // the user may not do that
	reasonWrongPass  reason = "wrongpass"   // the password is wrong
	reasonNoAuth     reason = "noauth"      // it requires a password
	reasonReadOnly   reason = "readonly"    // it is a replica
	reasonMaxClients reason = "max_clients" // it accepts no more connections
	reasonOther      reason = "other"       // there was no answer in time, or another one
)

// reasons are matched against the texts of errors, as codes are. Advice tells an operator
// what to do.
var reasons = []struct {
	text   string
	reason reason
	advice string
}{
	{"MISCONF ", reasonMisconf, "it cannot save its data, and refuses writes (MISCONF): free space on its disk; writes work again after a successful BGSAVE"},
	{"OOM ", reasonOOM, "it is at maxmemory, and refuses writes (OOM): raise maxmemory, or find large groups with gotapi groups --sort bytes and use gotapi ttl or gotapi purge"},
	{"NOPERM ", reasonNoPerm, adviceNoPerm},
	{"ACL failure in script", reasonNoPerm, adviceNoPerm},
	{"The user executing the script", reasonNoPerm, adviceNoPerm},
	{"WRONGPASS ", reasonWrongPass, "the password is wrong (WRONGPASS): correct the file of -redis-password-file; no restart is needed"},
	{"NOAUTH ", reasonNoAuth, "it requires a password (NOAUTH): write it into the file of -redis-password-file"},
	{"READONLY ", reasonReadOnly, "it is a replica (READONLY): point -redis to the master"},
	{maxClients, reasonMaxClients, "it accepts no more connections (max number of clients): raise maxclients, or find their owners with CLIENT LIST"},
}

const adviceNoPerm = "its user may not run a command that the service requires (NOPERM): ACL LOG names the command, docs/redis.md lists the rights"

func reasonOf(err error) reason {
	text := err.Error()
	for _, r := range reasons {
		if strings.Contains(text, r.text) {
			return r.reason
		}
	}
	return reasonOther
}

// metrics are about round trips, by kind of call.
type metrics struct {
	seconds map[CallKind]prometheus.Observer
	errors  map[CallKind]map[reason]prometheus.Counter
	// When each reason was last seen, Unix nanoseconds.
	seen map[reason]*atomic.Int64
}

func newMetrics(reg prometheus.Registerer) *metrics {
	in := metric.In(reg)
	seconds := in.Histograms("gotapi_history_redis_seconds", "Round trips to Redis, by kind: append (a pipeline that stores and broadcasts), script, command.",
		prometheus.ExponentialBuckets(0.0001, 2, 16), "kind")
	failed := in.Counters("gotapi_history_redis_errors_total", "Round trips to Redis without a usable answer, by kind, and by Redis's error code.", "kind", "reason")
	m := &metrics{make(map[CallKind]prometheus.Observer), make(map[CallKind]map[reason]prometheus.Counter), map[reason]*atomic.Int64{reasonOther: {}}}
	for _, r := range reasons {
		m.seen[r.reason] = new(atomic.Int64)
	}
	for _, k := range []CallKind{CallAppend, CallScript, CallCommand} {
		m.seconds[k] = seconds.WithLabelValues(string(k))
		m.errors[k] = map[reason]prometheus.Counter{reasonOther: failed.WithLabelValues(string(k), string(reasonOther))}
		for _, r := range reasons {
			m.errors[k][r.reason] = failed.WithLabelValues(string(k), string(r.reason))
		}
	}
	return m
}

// count counts a failure.
func (m *metrics) count(kind CallKind, err error) {
	r := reasonOf(err)
	m.errors[kind][r].Inc()
	m.seen[r].Store(time.Now().UnixNano())
}

// refusedLately is how long a refusal raises an alarm.
const refusedLately = time.Minute

// Refusals returns advice for operators on the refusals of Redis within the last minute, one
// line for each reason.
func (c *Conn) Refusals() (advice []string) {
	for _, r := range reasons {
		if time.Since(time.Unix(0, c.metrics.seen[r.reason].Load())) < refusedLately && !slices.Contains(advice, r.advice) {
			advice = append(advice, r.advice)
		}
	}
	return advice
}

// registerPool exports what the driver keeps.
func registerPool(client redis.UniversalClient, reg prometheus.Registerer) {
	in := metric.In(reg)
	in.GaugeFunc("gotapi_history_redis_connections", "Connections to Redis, except subscriptions.",
		func() float64 { return float64(client.PoolStats().TotalConns) })
	in.GaugeFunc("gotapi_history_redis_connections_idle", "Idle connections to Redis.",
		func() float64 { return float64(client.PoolStats().IdleConns) })
	in.CounterFunc("gotapi_history_redis_pool_timeouts_total", "Timeouts while waiting for a free connection to Redis.",
		func() float64 { return float64(client.PoolStats().Timeouts) })
}

// observer measures and traces round trips. It implements redis.Hook.
type observer struct {
	plainHook
	stats    *metrics
	failures *failureLog
	// nil: nothing is traced.
	tracer trace.Tracer
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

// kindOf tells what a round trip is for: a transaction with a script is for that
// script.
func kindOf(cmds ...redis.Cmder) CallKind {
	if first, ok := cmds[0].(Command); ok {
		return first.kind
	}
	for _, cmd := range cmds {
		switch cmd.Name() {
		case "evalsha", "eval":
			return CallScript
		}
	}
	return CallCommand
}

// watch measures and traces a round trip.
func (o observer) watch(ctx context.Context, kind CallKind, roundTrip func() error) error {
	end := o.follow(ctx, kind)
	began := time.Now()
	err := roundTrip()
	o.stats.seconds[kind].Observe(time.Since(began).Seconds())
	if err != nil && !endedByCaller(ctx) && unusable(err) {
		o.stats.count(kind, err)
		o.failures.report(ctx, kind, err)
	}
	end(err)
	return err
}

// follow makes a span of a call in a sampled trace.
func (o observer) follow(ctx context.Context, kind CallKind) (end func(error)) {
	if o.tracer == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return func(error) {}
	}
	_, span := o.tracer.Start(ctx, "redis "+string(kind), trace.WithSpanKind(trace.SpanKindClient))
	return func(err error) {
		if err != nil && OutcomeOf(err) != Done {
			span.SetStatus(otelcodes.Error, "redis call failed")
		}
		span.End()
	}
}

// unusable reports whether a round trip that failed with err was of no use. Some refusals
// are answers: that a key is not a list, or that something has changed.
func unusable(err error) bool {
	switch OutcomeOf(err) {
	case NotDone, Unknown, Refused, Broken:
		return true
	default:
		return false
	}
}

// errNoAnswer is the cause of contexts that end because Redis did not answer in time.
var errNoAnswer = errors.New("redis did not answer in time")

// Bound is context.WithTimeout for the time that Redis may take. Only contexts that end
// so count as failures of Redis: others end because their caller has.
func Bound(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout, errNoAnswer)
}

// endedByCaller reports whether ctx has ended otherwise than by Bound.
func endedByCaller(ctx context.Context) bool {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		<-ctx.Done() // the driver's deadline is the same, and it may have been faster
	}
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), errNoAnswer)
}

// reportEvery is the least time between two lines of a failureLog.
const reportEvery = 10 * time.Second

// failureLog reports failed round trips, some of them for all.
type failureLog struct {
	log *slog.Logger

	mu sync.Mutex
	// When the last line was written, and how many failures there were since.
	last  time.Time
	since int
}

func (f *failureLog) report(ctx context.Context, kind CallKind, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since++
	if now := time.Now(); now.Sub(f.last) >= reportEvery {
		f.log.WarnContext(ctx, "redis call failed", "kind", kind, "error", err, "failures", f.since)
		f.last, f.since = now, 0
	}
}
