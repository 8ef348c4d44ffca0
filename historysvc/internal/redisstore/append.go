package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// defaultDeadline is that of publications that have none.
const defaultDeadline = 5 * time.Second

// Submit implements history.Log.
func (s *Store) Submit(p *history.Publication) {
	if p.Deadline.IsZero() {
		p.Deadline = time.Now().Add(defaultDeadline)
	}
	w := waiting{Publication: p}
	if p.Kind == stream.Message {
		w.id = identity(p)
	}
	s.laneOf(p.Group).submit(w)
}

// once is a command that go-redis does not send a second time after a failure
// whose outcome is unknown. Redirections in a Cluster are followed.
type once struct{ *redis.Cmd }

// NoRetry overrides that of redis.Cmd.
func (once) NoRetry() bool { return true }

// execute carries batches out in one pipeline; in a second one with the source
// of the script where Redis has forgotten it.
func (s *Store) execute(ctx context.Context, batches []*batch) {
	s.pipeline(ctx, batches, "evalsha", s.scripts.append.Hash())
	var again []*batch
	for _, b := range batches {
		if b.fate == noScript {
			again = append(again, b)
		}
	}
	if len(again) > 0 {
		s.pipeline(ctx, again, "eval", s.scripts.appendSource)
	}
	if s.opts.Acks.wanted() {
		s.announceBatches(ctx, batches)
	}
}

func (s *Store) pipeline(ctx context.Context, batches []*batch, verb, script string) {
	pipe := s.client.Pipeline()
	cmds := make([]*redis.Cmd, len(batches))
	settings := s.appendSettings()
	for i, b := range batches {
		if !stores(b.items) {
			cmds[i] = s.looseCommand(ctx, b)
			_ = pipe.Process(ctx, once{cmds[i]}) // only queues
			continue
		}
		cmds[i] = s.appendCommand(ctx, b, verb, script, settings)
		if s.opts.Acks.wanted() {
			_ = pipe.Process(ctx, confirmed{once{cmds[i]}, callAppend})
		} else {
			_ = pipe.Process(ctx, once{cmds[i]})
		}
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, b := range batches {
		s.conclude(b, cmds[i])
	}
}

func stores(items []waiting) bool {
	for i := range items {
		if items[i].Kind == stream.Message {
			return true
		}
	}
	return false
}

// looseCommand publishes packets that are not stored.
func (s *Store) looseCommand(ctx context.Context, b *batch) *redis.Cmd {
	payload := append(make([]byte, 0, len(looseHead)+payloadBytes(b.items)), looseHead...)
	for i := range b.items {
		w := &b.items[i]
		payload = appendPacketHead(payload, "", w.Kind, w.Origin, len(w.Payload))
		payload = append(payload, w.Payload...)
	}
	cmd := redis.NewCmd(ctx, s.publish, b.from.keys.channel, payload)
	cmd.SetFirstKeyPos(1)
	return cmd
}

func payloadBytes(items []waiting) int {
	n := 0
	for i := range items {
		n += packetSize + len(items[i].Payload)
	}
	return n
}

// appendSettings are arguments of append.lua that are the same for all batches of
// a pipeline.
type appendSettings struct {
	cap, ttl, options string
	// Of argument 6 what follows epoch and link.
	rare []byte
}

func (s *Store) appendSettings() appendSettings {
	set := appendSettings{cap: strconv.Itoa(s.opts.Cap), ttl: strconv.FormatInt(s.opts.Retention.Milliseconds(), 10)}
	for _, o := range []struct {
		on     bool
		letter string
	}{{s.opts.CapExplicit, "c"}, {s.opts.RetentionExplicit, "t"}, {s.opts.Archive > 0, "a"}} {
		if o.on {
			set.options += o.letter
		}
	}
	set.rare = fmt.Appendf(nil, "%0*d%0*d%0*d", numberWidth, s.now().UnixMilli(), numberWidth, s.opts.DedupeLimit, numberWidth, s.opts.Archive)
	return set
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// appendCommand is a call of append.lua. Each attempt draws new links: had the
// one before been lost in a failover, its link must not come back.
func (s *Store) appendCommand(ctx context.Context, b *batch, verb, script string, set appendSettings) *redis.Cmd {
	k := &b.from.keys
	link := newLink()
	args := make([]any, 0, 3+8+6+3*len(b.items))
	args = append(args, verb, script, 6, k.list, k.meta, k.links, k.index0, k.index1, k.recalls)
	if s.opts.Acks.wanted() {
		args = append(args, k.pending)
	}
	if s.opts.Archive > 0 {
		args = append(args, s.archiveKey(b.from.name))
	}
	args[2] = len(args) - 3
	rare := append(append(append(make([]byte, 0, 20+len(set.rare)), newEpoch()...), newLink()...), set.rare...)
	args = append(args, set.cap, set.ttl, link, s.publish, set.options, rare)
	heads := make([]byte, 0, (packetSize+authorSize)*len(b.items))
	for i := range b.items {
		w := &b.items[i]
		from := len(heads)
		heads = appendPacketHead(heads, link, w.Kind, w.Origin, len(w.Payload))
		heads = s.appendAuthor(heads, w)
		args = append(args, w.id[:], heads[from:], w.Payload)
	}
	cmd := redis.NewCmd(ctx, args...)
	cmd.SetFirstKeyPos(3)
	return cmd
}

// authorSize is that of what the list of links keeps of an author, beside the
// link and the origin: history.Author, and the time in Unix seconds.
const authorSize = 8 + 4

// appendAuthor appends who stored a message, and when, if that is kept.
func (s *Store) appendAuthor(dst []byte, w *waiting) []byte {
	if w.Author == nil || !w.message() {
		return dst
	}
	return binary.BigEndian.AppendUint32(append(dst, w.Author[:]...), uint32(s.now().Unix()))
}

// conclude fills in what became of b.
func (s *Store) conclude(b *batch, cmd *redis.Cmd) {
	b.err = cmd.Err()
	b.fate = fateOf(b.err)
	if b.fate != done {
		return
	}
	b.receipts = make([]history.Receipt, len(b.items))
	if !stores(b.items) {
		return
	}
	if err := s.readReceipts(b, cmd.Val()); err != nil {
		// It was executed; what it did is not to be known.
		b.fate, b.err = broken, err
	}
}

func (s *Store) readReceipts(b *batch, reply any) error {
	r := replyReader{reply: asSlice(reply)}
	epoch, err := parseEpoch(r.text())
	if err != nil {
		return err
	}
	seq, cut := uint64(r.int()), r.int()
	if s.opts.Acks.wanted() {
		b.pending = r.int()
	}
	for len(r.reply) > 0 && r.err == nil {
		at, known := r.int(), r.int()
		if at < 0 || at >= int64(len(b.items)) {
			return fmt.Errorf("append.lua: duplicate at %d of %d", at, len(b.items))
		}
		b.receipts[at] = history.Receipt{Duplicate: true, Seq: uint64(max(known, -known)), Recalled: known < 0}
	}
	if r.err != nil {
		return r.err
	}
	stored := 0
	for i := range b.items {
		if b.items[i].Kind != stream.Message {
			continue
		}
		b.receipts[i].Epoch = epoch
		if !b.receipts[i].Duplicate {
			b.receipts[i].Seq = seq
			seq++
			stored++
		}
	}
	s.stats.appended.Add(float64(stored))
	s.stats.calls.Inc()
	if cut == 1 {
		s.stats.dedupeCut.Inc()
	}
	return nil
}

var errReply = errors.New("a script replied with something else than its contract says")

// replyReader takes a script's reply apart.
type replyReader struct {
	reply []any
	err   error
}

func asSlice(v any) []any {
	s, _ := v.([]any)
	return s
}

func (r *replyReader) next() any {
	if len(r.reply) == 0 {
		if r.err == nil {
			r.err = errReply
		}
		return nil
	}
	v := r.reply[0]
	r.reply = r.reply[1:]
	return v
}

func (r *replyReader) text() string {
	s, ok := r.next().(string)
	if !ok && r.err == nil {
		r.err = errReply
	}
	return s
}

// int reads a number, which a hash field brings as a string.
func (r *replyReader) int() int64 {
	switch v := r.next().(type) {
	case int64:
		return v
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil && r.err == nil {
			r.err = fmt.Errorf("script reply: want a number: %w", err)
		}
		return n
	}
	if r.err == nil {
		r.err = errReply
	}
	return 0
}

// texts reads a list of strings.
func (r *replyReader) texts() []string {
	v := asSlice(r.next())
	texts := make([]string, 0, len(v))
	for _, e := range v {
		s, _ := e.(string)
		texts = append(texts, s)
	}
	return texts
}

// rest reads all that is left, as strings.
func (r *replyReader) rest() []string {
	left := replyReader{reply: []any{r.reply}}
	r.reply = nil
	return left.texts()
}
