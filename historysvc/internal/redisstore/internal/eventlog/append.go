package eventlog

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/adoption"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/groupcommit"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/internal/metric"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// defaultDeadline is that of publications without one.
const defaultDeadline = 5 * time.Second

// Submit implements history.Log.
func (l *Log) Submit(p *history.Publication) {
	if p.Deadline.IsZero() {
		p.Deadline = time.Now().Add(defaultDeadline)
	}
	i := groupcommit.Item{Publication: p, Kind: p.Kind}
	if i.Stored() && l.opts.of(p.Group).Transient {
		if p.Again {
			p.From.Settle(history.Receipt{Err: history.ErrUnknown})
			return
		}
		i.Kind = stream.Text
	}
	if i.Stored() {
		i.Digest = layout.Identity(p)
	}
	l.queue.Submit(i)
}

// writer carries batches out: one call of append.lua for each with messages, one
// PUBLISH for each with broadcasts only. It implements groupcommit.Writer.
type writer struct {
	conn      *redisconn.Conn
	opts      Options
	scripts   *appendScripts
	adopter   *adoption.Adopter
	announcer *announcer

	appended, calls, forgotEarly prometheus.Counter
}

func newWriter(conn *redisconn.Conn, o Options, adopter *adoption.Adopter, announcer *announcer, reg prometheus.Registerer) *writer {
	in := metric.In(reg)
	return &writer{
		conn: conn, opts: o, adopter: adopter, announcer: announcer,
		scripts:  newAppendScripts(conn, &o),
		appended: in.Counter("gotapi_history_appended_total", "Messages stored."),
		calls:    in.Counter("gotapi_history_append_calls_total", "Script calls that stored messages; messages per call show the gain of group commit."),
		forgotEarly: in.Counter("gotapi_history_dedupe_cut_total",
			"Times that a flood of messages made a group forget uuids less than 10 minutes old."),
	}
}

// appendSettings are the settings of append.lua. They are constants in front of the
// script and not arguments, since a call pays for each argument.
func appendSettings(g GroupOptions, o *Options, publish string) string {
	return fmt.Sprintf("local cap, default_ttl, cap_adopted, ttl_adopted, index_limit, publish, archive_size = %d, '%d', %v, %v, %d, '%s', %d\n",
		g.Cap, g.Retention.Milliseconds(), g.CapExplicit, g.RetentionExplicit, max(o.DedupeLimit, g.Cap), publish, o.Archive)
}

// appendScripts are append.lua with the settings of groups: one script for all groups
// with the same settings. There are as many as different settings were ever in use.
type appendScripts struct {
	conn *redisconn.Conn
	opts *Options

	mu  sync.RWMutex
	all map[GroupOptions]*redisconn.Script
}

func newAppendScripts(conn *redisconn.Conn, o *Options) *appendScripts {
	return &appendScripts{conn: conn, opts: o, all: make(map[GroupOptions]*redisconn.Script)}
}

// of returns the script for groups with these options.
func (s *appendScripts) of(options GroupOptions) *redisconn.Script {
	options.Transient, options.Nameless = false, false // these do not concern the script
	s.mu.RLock()
	script := s.all[options]
	s.mu.RUnlock()
	if script != nil {
		return script
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[options] == nil {
		settings := appendSettings(options, s.opts, s.conn.PublishCommand()) + countersSource
		s.all[options] = s.conn.Script(withPreamble(appendSource, settings), redisconn.Writes|redisconn.Confirmed)
	}
	return s.all[options]
}

// withPreamble puts lines in front of a script, behind its shebang line.
func withPreamble(source, lines string) string {
	shebang, script, _ := strings.Cut(source, "\n")
	return shebang + "\n" + lines + script
}

// Adopt implements groupcommit.Writer.
func (w *writer) Adopt(ctx context.Context, g group.Name) error { return w.adopter.Adopt(ctx, g) }

// Write implements groupcommit.Writer: in one pipeline, and in a second one where
// Redis has forgotten the script.
func (w *writer) Write(ctx context.Context, batches []*groupcommit.Batch) {
	pending := make(map[group.Name]int64)
	w.pipeline(ctx, batches, true, pending)
	var again []*groupcommit.Batch
	for _, b := range batches {
		if b.Outcome == redisconn.NoScript {
			again = append(again, b)
		}
	}
	if len(again) > 0 {
		w.pipeline(ctx, again, false, pending)
	}
	w.announcer.announce(ctx, pending)
}

// pipeline makes one attempt. It adds to pending which payloads are confirmed now.
func (w *writer) pipeline(ctx context.Context, batches []*groupcommit.Batch, known bool, pending map[group.Name]int64) {
	cmds := make([]redisconn.Command, len(batches))
	now := w.opts.Now().UnixMilli()
	w.conn.ExecEach(ctx, func(pipe redis.Pipeliner) {
		for i, b := range batches {
			if b.Stores() {
				cmds[i] = w.appendCommand(ctx, b, now, known)
			} else {
				cmds[i] = w.broadcastCommand(ctx, b)
			}
			_ = pipe.Process(ctx, cmds[i]) // only queues
		}
	})
	for i, b := range batches {
		reply, err := cmds[i].Result()
		b.Outcome, b.Err = redisconn.OutcomeOf(err), err
		if b.Outcome != redisconn.Done {
			continue
		}
		b.Receipts = make([]history.Receipt, len(b.Items))
		if !b.Stores() {
			continue
		}
		if err := w.readReceipts(b, now, redisconn.NewReply(reply), pending); err != nil {
			// It was executed, and what it did cannot be known.
			b.Outcome, b.Err = redisconn.Broken, err
		}
	}
}

// broadcastCommand publishes packets that are not stored.
func (w *writer) broadcastCommand(ctx context.Context, b *groupcommit.Batch) redisconn.Command {
	size := len(layout.BroadcastHead)
	for i := range b.Items {
		size += layout.MaxPacketHeadSize + len(b.Items[i].Payload)
	}
	options := w.opts.of(b.Group)
	payload := append(make([]byte, 0, size), layout.BroadcastHead...)
	for i := range b.Items {
		p := &b.Items[i]
		e := entry(&options, p, 0)
		payload = layout.AppendPacketHead(payload, p.Kind, "", &e, len(p.Payload))
		payload = append(payload, p.Payload...)
	}
	return redisconn.NewCommand(ctx, redisconn.CallAppend, 1, w.conn.PublishCommand(), b.Keys.Channel, payload)
}

// usualHeadSize is the size of a packet's head on the bus without a long name.
const usualHeadSize = 64

// appendCommand is a call of append.lua. Each attempt draws new links: had the
// one before been lost in a failover, its link must not come back.
func (w *writer) appendCommand(ctx context.Context, b *groupcommit.Batch, now int64, known bool) redisconn.Command {
	keys := b.Keys.All()
	if w.conn.Acks().Wanted() {
		keys = append(keys, b.Keys.Pending)
	}
	if w.opts.Archive > 0 {
		keys = append(keys, layout.ArchiveKey(b.Group, w.conn.Cluster()))
	}
	options, link := w.opts.of(b.Group), layout.NewLink()
	script := w.scripts.of(options)
	args := script.Args(known, keys, 4+3*len(b.Items))
	args = append(args, link, layout.NewEpoch(), layout.NewLink(), now)
	heads := make([]byte, 0, usualHeadSize*len(b.Items))
	for n := range b.Items {
		i := &b.Items[n]
		from := len(heads)
		e := entry(&options, i, now)
		heads = layout.AppendPacketHead(heads, i.Kind, link, &e, len(i.Payload))
		args = append(args, i.Digest[:], heads[from:], i.Payload)
	}
	return w.conn.EvalCommand(ctx, redisconn.CallAppend, script, args)
}

// entry is what is kept of a packet beside it. Packets that are not stored have an entry
// on the bus only.
func entry(g *GroupOptions, i *groupcommit.Item, at int64) layout.Entry {
	e := layout.Entry{Origin: i.Origin, By: g.nameKept(i.By)}
	if !i.Stored() {
		return e
	}
	e.At = at
	if i.Author != nil {
		e.Author = *i.Author
	}
	return e
}

// readReceipts reads the reply of append.lua, which was called at a time.
func (w *writer) readReceipts(b *groupcommit.Batch, now int64, r *redisconn.Reply, pending map[group.Name]int64) error {
	epoch, err := layout.ParseEpoch(r.Text())
	if err != nil {
		return err
	}
	seq, forgotEarly := uint64(r.Int()), r.Int()
	if w.conn.Acks().Wanted() {
		pending[b.Group] = r.Int()
	}
	for r.Len() > 0 && r.Err == nil {
		i, known, entry := r.Int(), r.Int(), r.Text()
		if i < 0 || i >= int64(len(b.Items)) {
			return fmt.Errorf("append.lua: duplicate at %d of %d", i, len(b.Items))
		}
		b.Receipts[i] = history.Receipt{
			Duplicate: true, Seq: uint64(max(known, -known)), Recalled: known < 0, At: layout.ParseEntry(entry).At,
		}
	}
	if r.Err != nil {
		return r.Err
	}
	stored := 0
	for i := range b.Items {
		if !b.Items[i].Stored() {
			continue
		}
		b.Receipts[i].Epoch = epoch
		if !b.Receipts[i].Duplicate {
			b.Receipts[i].Seq, b.Receipts[i].At = seq, now
			seq++
			stored++
		}
	}
	w.appended.Add(float64(stored))
	w.calls.Inc()
	w.forgotEarly.Add(float64(forgotEarly))
	return nil
}
