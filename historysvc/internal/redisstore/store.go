package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// Options configure a Store. Zero bounds mean their defaults.
type Options struct {
	// URL of Redis, see dial.
	URL   string
	Login Login
	// Cap is how many messages a group keeps; CapExplicit says that the
	// operator chose it, so that it holds for adopted lists, too.
	Cap         int
	CapExplicit bool
	// Retention is how long a group's history outlives its last message unless
	// SetTTL said otherwise; 0 is for ever. RetentionExplicit is as CapExplicit.
	Retention         time.Duration
	RetentionExplicit bool
	// Tracer makes spans of scripts that belong to a trace; nil: none.
	Tracer trace.Tracer
	// Embedded says that the server is an imitation in this very process,
	// which cannot tell its version.
	Embedded bool
	// Wait is how long Open waits for a server that cannot be reached: whoever starts
	// everything at once starts Redis at this time, too.
	Wait time.Duration

	// What acks, and members, wait for.
	Acks Acks

	// Archive is about how many stored messages and recalls the archive keeps, of
	// each slot in a Cluster; 0: there is none. See archiveKey.
	Archive int

	// DedupeLimit bounds each of the two generations of a group's index, entries.
	// A flood that reaches it within 10 minutes is remembered for less long.
	DedupeLimit int
	// What may wait, in all and of one group; beyond it Submit answers history.ErrBusy.
	WaitingItems, WaitingBytes           int
	WaitingGroupItems, WaitingGroupBytes int
}

// Defaults of Options. 250,000 entries of an index take about 25 MB of Redis.
const (
	DefaultCap          = 10000
	defaultDedupeLimit  = 250000
	defaultWaitingItems = 1 << 16
	defaultWaitingBytes = 128 << 20
	defaultGroupItems   = 1 << 13
	defaultGroupBytes   = 8 << 20
)

func (o *Options) setDefaults() error {
	defaultTo(&o.Cap, DefaultCap)
	defaultTo(&o.DedupeLimit, max(defaultDedupeLimit, o.Cap))
	defaultTo(&o.WaitingItems, defaultWaitingItems)
	defaultTo(&o.WaitingBytes, defaultWaitingBytes)
	defaultTo(&o.WaitingGroupItems, defaultGroupItems)
	defaultTo(&o.WaitingGroupBytes, defaultGroupBytes)
	defaultTo(&o.Acks.Timeout, DefaultAckTimeout)
	if !o.Acks.wanted() {
		o.Acks.Timeout = 0
	}
	switch {
	case o.Cap < 1:
		return errors.New("the cap must be at least 1 message")
	case o.Retention != 0 && o.Retention < time.Millisecond:
		return errors.New("the retention must be at least 1 ms, or 0")
	case o.Archive < 0:
		return errors.New("the archive cannot keep less than 0 entries")
	case o.Acks.Replicas < 0:
		return errors.New("acks cannot wait for less than 0 replicas")
	case o.Acks.wanted() && o.Acks.Timeout < time.Millisecond:
		return errors.New("acks must have at least 1 ms to wait")
	case o.Embedded && o.Acks.wanted():
		return errors.New("the embedded store has no replicas and no disk that acks could wait for")
	case o.DedupeLimit < o.Cap:
		return errors.New("the deduplication limit must not be below the cap")
	}
	return nil
}

const (
	// How many lists are adopted at once.
	adoptions = 4
	// How long the server may take to answer when a Store begins, at each try.
	connectTimeout = 10 * time.Second
)

// Store keeps groups in Redis. Its methods may be called at once from many
// goroutines; Submit and the bus work while Run does.
type Store struct {
	opts    Options
	client  redis.UniversalClient
	cluster bool
	tls     bool
	// PUBLISH, or SPUBLISH in a Cluster, where PUBLISH costs every node.
	publish string
	scripts scripts
	log     *slog.Logger
	stats   *metrics
	now     func() time.Time
	// How long a script may take, and what it waits for.
	timeout time.Duration
	lanes   []*lane
	bus     *bus
	// Holds a token per adoption under way.
	adopting chan struct{}
}

var (
	_ history.Log      = (*Store)(nil)
	_ history.Bus      = (*Store)(nil)
	_ history.Presence = (*Store)(nil)
)

var (
	// Trying again may help: there is no Redis at that address yet, it loads its data,
	// or its Cluster is being formed.
	errUnreachable = errors.New("redis cannot be reached")
	errNoCluster   = errors.New("redis is not in cluster mode: want redis://... as the URL")
)

// Open connects to Redis and checks that it can be used. Its errors are one
// line for the operator. Close ends what Open began.
func Open(ctx context.Context, opts Options, log *slog.Logger, reg prometheus.Registerer) (*Store, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	quietenDriver(log)
	if skipsVerification(opts.URL) {
		log.Warn("redis's certificate is not verified: anybody may pass for it")
	}
	s, err := await(ctx, &opts, log)
	if err != nil {
		return nil, err
	}
	if s.stats, err = newMetrics(reg); err != nil {
		s.client.Close()
		return nil, err
	}
	lanes := nodeLanes
	if s.cluster {
		s.publish, lanes = "spublish", clusterLanes
	}
	for range lanes {
		l := newLane(limits{
			items: opts.WaitingItems / lanes, bytes: opts.WaitingBytes / lanes,
			groupItems: opts.WaitingGroupItems, groupBytes: opts.WaitingGroupBytes,
		}, log, s.stats)
		l.execute, l.adopt, l.timeout = s.execute, s.adopt, callTimeout+opts.Acks.Timeout
		l.pure = opts.Acks.wanted()
		s.lanes = append(s.lanes, l)
	}
	s.bus = newBus(s.client, s.cluster, log, s.stats)
	s.client.AddHook(observer{s.stats, opts.Tracer})
	if err := s.registerState(reg); err != nil {
		s.client.Close()
		return nil, err
	}
	return s, nil
}

// await connects, and tries again while the server cannot be reached.
func await(ctx context.Context, opts *Options, log *slog.Logger) (*Store, error) {
	deadline := time.Now().Add(opts.Wait)
	for n := 1; ; n++ {
		s, err := connect(ctx, opts, log)
		if !errors.Is(err, errUnreachable) || !time.Now().Before(deadline) {
			return s, err
		}
		if n == 1 {
			log.WarnContext(ctx, "waiting for redis", "error", err, "timeout", opts.Wait)
		}
		if pause(ctx, backoff(n)) != nil {
			return nil, err
		}
	}
}

// connect begins a Store, and checks that its server can be used.
func connect(ctx context.Context, opts *Options, log *slog.Logger) (*Store, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	timeout := callTimeout
	if opts.Embedded {
		timeout = embeddedTimeout
	}
	timeout += opts.Acks.Timeout
	client, cluster, err := dial(opts.URL, &opts.Login, timeout)
	if err != nil {
		return nil, err
	}
	s := &Store{
		opts: *opts, client: client, cluster: cluster, tls: strings.HasPrefix(opts.URL, "rediss"), publish: "publish", timeout: timeout,
		log: log, now: time.Now, adopting: make(chan struct{}, adoptions),
	}
	opts.Acks.confirm(client)
	if err := s.prepare(ctx); err != nil {
		client.Close()
		return nil, err
	}
	return s, nil
}

// Run works until ctx ends: it stores what is submitted, and l, which may be
// nil, hears the bus. Publications that wait when ctx ends are refused.
func (s *Store) Run(ctx context.Context, l history.Listener) error {
	var parts sync.WaitGroup
	for _, lane := range s.lanes {
		parts.Go(func() { lane.run(ctx) })
	}
	if l != nil {
		parts.Go(func() { s.bus.run(ctx, l) })
	}
	parts.Wait()
	return nil
}

// Close gives the connections up. Run has returned before, or was never called.
func (s *Store) Close() error { return s.client.Close() }

// Ping asks Redis for a sign of life; for readiness probes.
func (s *Store) Ping(ctx context.Context) error {
	err := s.client.Ping(ctx).Err()
	return domainError(fateOf(err), err)
}

// prepare finds out whether and how the server can be used.
func (s *Store) prepare(ctx context.Context) error {
	seven, err := s.check(ctx)
	if err != nil {
		return err
	}
	s.scripts = newScripts(seven)
	if seven {
		return s.checkPermissions(ctx)
	}
	return nil
}

// check asks the server who it is. seven says whether it is Redis 7 or later.
func (s *Store) check(ctx context.Context) (seven bool, err error) {
	if s.opts.Embedded {
		return false, s.Ping(ctx)
	}
	text, err := s.client.Info(ctx).Result()
	if err != nil {
		return false, s.noAnswer(err)
	}
	info := parseInfo(text)
	major, err := strconv.Atoi(strings.SplitN(info["redis_version"], ".", 2)[0])
	switch {
	case err != nil:
		return false, errors.New("redis does not tell its version")
	case major < 6:
		return false, fmt.Errorf("redis %s is too old: want 6.0 or later", info["redis_version"])
	case s.cluster && major < 7:
		return false, fmt.Errorf("redis %s is too old for Cluster: want 7.0 or later", info["redis_version"])
	case s.cluster && info["redis_mode"] != "cluster":
		return false, errNoCluster
	case !s.cluster && info["redis_mode"] == "cluster":
		return false, errors.New("redis is in cluster mode: want redis+cluster://... as the URL")
	case info["redis_mode"] == "sentinel":
		return false, errors.New("this is a Sentinel: want redis+sentinel://...?master_name=NAME as the URL")
	case info["loading"] == "1":
		return false, fmt.Errorf("%w: it loads its data", errUnreachable)
	}
	warning, err := s.opts.Acks.check(info)
	if err != nil {
		return false, err
	}
	if warning != "" {
		s.log.Warn("acks will wait", "reason", warning)
	}
	if policy := info["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		s.log.Warn("redis may evict histories: set maxmemory-policy to noeviction", "policy", policy)
	}
	return major >= 7, nil
}

// noAnswer is why the server cannot be used, when a question of the start failed.
func (s *Store) noAnswer(err error) error {
	var untrusted *tls.CertificateVerificationError
	switch fate := fateOf(err); {
	case fate == refused:
		return fmt.Errorf("redis refuses us: %w", err)
	case fate == broken, errors.As(err, &untrusted): // an answer, which waiting would not change
		if strings.Contains(err.Error(), "cluster support disabled") {
			return errNoCluster
		}
		return fmt.Errorf("redis cannot be used: %w", err)
	default:
		return fmt.Errorf("%w: %w%s", errUnreachable, err, s.hint(err))
	}
}

func parseInfo(text string) map[string]string {
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

// driverLog hands the messages of go-redis on as debug lines: what they tell
// of failures, our callers report.
type driverLog struct{ log *slog.Logger }

func (d driverLog) Printf(ctx context.Context, format string, v ...any) {
	if d.log.Enabled(ctx, slog.LevelDebug) {
		d.log.DebugContext(ctx, "redis driver", "text", fmt.Sprintf(format, v...))
	}
}

var driverOnce sync.Once

// quietenDriver keeps go-redis, whose logger is the process's, from writing to
// the standard error output. The first store's logger stays.
func quietenDriver(log *slog.Logger) {
	driverOnce.Do(func() { redis.SetLogger(driverLog{log}) })
}

// tries of a call that failed, the first one included.
const tries = 3

// script is a script with what a failure of it means.
type script struct {
	*redis.Script
	// It changes something, so that no answer means an unknown outcome.
	writes bool
	// Its answer counts when what it did, or read, is confirmed (Acks).
	confirmed bool
	// Is told in which state of the group it reads; may be nil.
	witness *witness
}

// eval runs a script that may run twice. It adopts the group's list where the
// script asks for that. Errors are those of the history package.
func (s *Store) eval(ctx context.Context, g group.Name, c script, keys []string, args ...any) ([]any, int64, error) {
	maybe := false
	for n := 1; ; n++ {
		reply, err := s.evalOnce(ctx, c, keys, args)
		f := fateOf(err)
		maybe = maybe || f == unknown && c.writes
		switch {
		case f == done:
			number, _ := reply.(int64)
			return asSlice(reply), number, nil
		case f == mustAdopt && n < tries:
			if err := s.adopt(ctx, g); err != nil {
				return nil, 0, err
			}
			continue
		case n < tries && (f == notDone || f == unknown) && pause(ctx, backoff(n)) == nil:
			continue
		case maybe:
			f = unknown
		case f == unknown:
			f = notDone
		}
		return nil, 0, domainError(f, err)
	}
}

func (s *Store) evalOnce(ctx context.Context, c script, keys []string, args []any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if c.confirmed && s.opts.Acks.wanted() {
		return s.evalConfirmed(ctx, c.Script, keys, args)
	}
	if c.witness != nil {
		return s.evalSeen(ctx, c, keys, args)
	}
	return c.Run(ctx, s.client, keys, args...).Result()
}

// withScript makes an attempt that calls c by its hash, and a second one if Redis
// did not know c.
func (s *Store) withScript(ctx context.Context, c *redis.Script, attempt func() (any, error)) (any, error) {
	reply, err := attempt()
	if fateOf(err) != noScript {
		return reply, err
	}
	if err := c.Load(ctx, s.client).Err(); err != nil {
		return nil, err
	}
	return attempt()
}

// command runs f, which must only read, again while it fails.
func command[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	for n := 1; ; n++ {
		attempt, cancel := context.WithTimeout(ctx, callTimeout)
		v, err := f(attempt)
		cancel()
		switch fate := fateOf(err); {
		case fate == done:
			return v, nil
		case n < tries && (fate == notDone || fate == unknown) && pause(ctx, backoff(n)) == nil:
		case fate == unknown:
			return v, domainError(notDone, err)
		default:
			return v, domainError(fate, err)
		}
	}
}
