// Package eventlog keeps the events of groups, messages and changes, in Redis.
//
// Everything that touches a group is one Lua script in the group's hash slot: an
// append with its deduplication, numbering, trimming and announcement; a recall as
// compare-and-set of the exact texts that were read. Long searches run outside of
// scripts, in chunks.
package eventlog

import (
	"context"
	_ "embed" // the scripts
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/adoption"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/groupcommit"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/internal/fairshare"
	"github.com/gotapi/gotapi-ws/internal/metric"
	"github.com/gotapi/gotapi-ws/internal/semaphore"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// The scripts. Their head comments say what they take and return.
var (
	//go:embed append.lua
	appendSource string
	//go:embed announce.lua
	announceSource string
	//go:embed counters.lua
	countersSource string
	//go:embed find.lua
	findSource string
	//go:embed purge.lua
	purgeSource string
	//go:embed range.lua
	rangeSource string
	//go:embed read.lua
	readSource string
	//go:embed recall.lua
	recallSource string
	//go:embed ttl.lua
	ttlSource string
)

// GroupOptions are what a Log keeps of one group: as in Options, which are those of all
// groups.
type GroupOptions struct {
	Cap               int
	CapExplicit       bool
	Retention         time.Duration
	RetentionExplicit bool
	// Transient groups store no messages: these are broadcast, and acked.
	Transient bool
	// Nameless groups keep and show no names of authors.
	Nameless bool
}

// Options configure a Log.
type Options struct {
	// Cap is how many messages a group keeps. If the operator chose it (CapExplicit), it
	// applies to adopted lists, too.
	Cap         int
	CapExplicit bool
	// Retention is how long a group's history outlives its last message unless
	// SetTTL said otherwise; 0: forever. RetentionExplicit is as CapExplicit.
	Retention         time.Duration
	RetentionExplicit bool
	// Of changes what is different for one group; nil: nothing is. What it does may
	// change while the Log runs.
	Of func(group.Name, *GroupOptions)
	// Archive is about how many messages and recalls the archive keeps, of each slot
	// in a Cluster; 0: there is none. See layout.ArchiveKey.
	Archive int
	// DedupeLimit bounds each of the two generations of a group's index, entries.
	// A flood that reaches it within 10 minutes is remembered for less long.
	DedupeLimit int
	// Waiting bounds what waits to be stored.
	Waiting fairshare.Limits
	// Now is the clock.
	Now func() time.Time
}

// of returns the options of a group.
func (o *Options) of(g group.Name) GroupOptions {
	options := GroupOptions{Cap: o.Cap, CapExplicit: o.CapExplicit, Retention: o.Retention, RetentionExplicit: o.RetentionExplicit}
	if o.Of != nil {
		o.Of(g, &options)
	}
	return options
}

// nameKept returns the name that a group keeps of an author. This is the one place that
// decides it, for messages, packets that are not stored, and changes.
func (g *GroupOptions) nameKept(by stream.Author) stream.Author {
	if g.Nameless || !by.Valid() {
		return stream.Author{}
	}
	return by
}

// How many lanes there are. One node is busy with two: one pipeline on its way
// while the next is made. In a Cluster each lane has a range of slots, so that
// a master that is down stalls its own groups and few others.
const (
	nodeLanes    = 2
	clusterLanes = 16
)

// readLanes is how many lanes reads have. A node needs one.
func readLanes(conn *redisconn.Conn) int {
	if conn.Cluster() {
		return clusterLanes
	}
	return 1
}

// Log implements history.Log, and Heads of history.Bus. Its methods are safe for
// concurrent use. Submit works while Run does.
type Log struct {
	conn      *redisconn.Conn
	opts      Options
	adopter   *adoption.Adopter
	announcer *announcer
	queue     *groupcommit.Queue
	recalled  prometheus.Counter

	// Bound the reads of lists, by lane.
	reads []*semaphore.Fair

	old *unindexed

	find, purge, readRange, read, recall, ttl *redisconn.Script
}

// New makes a Log.
func New(conn *redisconn.Conn, o Options, log *slog.Logger, reg prometheus.Registerer) *Log {
	adopter := adoption.New(conn, log, reg)
	announcer := newAnnouncer(conn)
	queue := groupcommit.Options{Lanes: nodeLanes, Timeout: redisconn.CallTimeout + conn.Acks().Timeout, Limits: o.Waiting}
	if conn.Cluster() {
		queue.Lanes = clusterLanes
	}
	queue.Separate = conn.Acks().Wanted() // see announcer
	reads := newReadSemaphores(readLanes(conn), reg)
	return &Log{
		conn: conn, opts: o, adopter: adopter, announcer: announcer, reads: reads, old: newUnindexed(maxUnindexed),
		queue:     groupcommit.New(newWriter(conn, o, adopter, announcer, reg), queue, log, reg),
		recalled:  metric.In(reg).Counter("gotapi_history_recalled_total", "Messages recalled."),
		find:      conn.Script(findSource, 0),
		purge:     conn.Script(withPreamble(purgeSource, countersSource), redisconn.Writes|redisconn.Confirmed),
		readRange: conn.Script(rangeSource, 0),
		read:      conn.Script(readSource, redisconn.Confirmed),
		recall:    conn.Script(withPreamble(recallSource, countersSource), redisconn.Writes|redisconn.Confirmed),
		ttl:       conn.Script(ttlSource, redisconn.Writes),
	}
}

// Run stores publications until ctx ends, and then refuses those that still wait.
func (l *Log) Run(ctx context.Context) { l.queue.Run(ctx) }

// adoptionTries bounds how often a call adopts the list that it finds.
const adoptionTries = 3

// eval runs a script, and adopts the group's list if the script asks for that.
func (l *Log) eval(ctx context.Context, g group.Name, s *redisconn.Script, keys []string, args ...any) (*redisconn.Reply, error) {
	for n := 1; ; n++ {
		reply, err := l.conn.Eval(ctx, s, keys, args...)
		if redisconn.OutcomeOf(err) != redisconn.MustAdopt || n == adoptionTries {
			return reply, err
		}
		if err := l.adopter.Adopt(ctx, g); err != nil {
			return nil, err
		}
	}
}

// maxTTL is the longest ttl: 100 years.
const maxTTL = 100 * 365 * 24 * time.Hour

// SetTTL implements history.Log. It counts from now for stored messages, and from
// each later message on. For a group without messages it is kept as long as ttl and
// 20 minutes.
func (l *Log) SetTTL(ctx context.Context, g group.Name, ttl time.Duration) error {
	ttl = max(time.Millisecond, min(ttl, maxTTL))
	k := layout.KeysOf(g)
	_, err := l.eval(ctx, g, l.ttl, k.All(), l.opts.Now().UnixMilli(), layout.NewEpoch(), layout.NewLink(), ttl.Milliseconds())
	return err
}

// Purge implements history.Admin.
func (l *Log) Purge(ctx context.Context, g group.Name) (messages int, err error) {
	k := layout.KeysOf(g)
	r, err := l.conn.Eval(ctx, l.purge, append(k.All(), k.Pending), layout.NewEpoch(), layout.NewLink(), (2 * slack).Milliseconds())
	if err != nil {
		return 0, err
	}
	messages = int(r.Int())
	return messages, r.Err
}
