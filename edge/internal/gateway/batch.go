package gateway

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/internal/refusals"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// defaultPublishTimeout is that of the relay.
const defaultPublishTimeout = 5 * time.Second

// itemCost is what a publish of a batch holds beside its line: the publication, its place in
// the relay, and its result.
const itemCost = 1 << 10

// item is one publish of a batch. It is its own relay.Sender.
type item struct {
	relay.Publication
	// Why it is not published; nil: it is, or has no result yet.
	refusal *refusal
	result  relay.Result
	queue   *queue
	round   *round
}

// Result implements relay.Sender.
func (i *item) Result(_ *relay.Publication, r relay.Result) {
	i.round.mu.Lock()
	defer i.round.mu.Unlock()
	if !i.round.over {
		i.result = r
	}
	if i.round.waiting--; i.round.waiting == 0 {
		close(i.round.settled)
	}
}

// round is what a batch has under way at one time.
type round struct {
	mu sync.Mutex
	// How many have no result yet, and whether results are too late.
	waiting int
	over    bool
	settled chan struct{}
}

// end makes what has no result unknown.
func (r *round) end(items []*item) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for _, i := range items {
		if i.result.Outcome == 0 {
			i.result = relay.Result{Outcome: relay.Unknown}
		}
	}
}

// queue is what a batch publishes to one group, in order.
type queue struct {
	// Not published yet; both are the same.
	items        []*item
	publications []*relay.Publication
	// Something was refused that may pass: what follows must not overtake it.
	barred bool
}

// keptBack is why an item is refused that would overtake another one.
var keptBack = refusal{code: http.StatusServiceUnavailable, msg: "a packet before it in this group was refused; nothing was done, try again"}

// tooLate is why an item is refused whose turn did not come within the publish timeout.
var tooLate = refusal{code: http.StatusServiceUnavailable, msg: "its turn did not come in time; nothing was done, try again"}

// batch is the work on one request with several publishes.
type batch struct {
	handler *Handler
	from    publisher
	// In the order of the body.
	items []item
	// In the order of their first items.
	queues []*queue
}

// publishBatch publishes the lines of the body. One publish is a batch of one: each line
// needs the same rights and counts for the same limits, and has the same result.
func (h *Handler) publishBatch(w http.ResponseWriter, r *http.Request) {
	id, err := h.backends.Callers.Identify(r, false)
	if err == nil {
		err = id.PublishesAny()
	}
	if err != nil {
		writeDenied(w, err)
		return
	}
	b := &batch{handler: h, from: h.publisherOf(r, id)}
	if err := b.read(w, r); err != nil {
		writeBatchError(w, err)
		return
	}
	if !b.publish(r) {
		w.WriteHeader(clientGone)
		return
	}
	b.noteRefusals(r)
	httpjson.Write(w, http.StatusOK, b.answer())
}

// errTooMuch means that clients hold too much already.
var errTooMuch = errors.New("too much is waiting")

// read makes the items of the body of r. Until the end of r they hold a part of the budget.
func (b *batch) read(w http.ResponseWriter, r *http.Request) error {
	size := r.ContentLength
	if size < 0 {
		size = maxBatchBytes
	}
	keepBody(r, max(size, 1))
	body, err := readBody(w, r, maxBatchBytes)
	if err != nil {
		return err
	}
	lines, err := parseLines(body)
	if err != nil {
		return err
	}
	n := 0
	for i := range lines {
		n += lines[i].publishes()
	}
	if !keepInstead(r, int64(2*len(body)+n*itemCost)) { // packets are decoded
		return errTooMuch
	}
	b.items = make([]item, 0, n)
	queues := make(map[group.Name]*queue)
	for i := range lines {
		l := &lines[i]
		if len(l.groups) == 0 {
			b.items = append(b.items, item{refusal: &refusal{code: http.StatusBadRequest, msg: l.wrong}})
		}
		for _, name := range l.groups {
			b.add(l, name, queues)
		}
	}
	return nil
}

func writeBatchError(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errTooMany):
		httpjson.WriteError(w, http.StatusRequestEntityTooLarge, err.Error())
	case errors.Is(err, errTooMuch):
		httpjson.WriteError(w, http.StatusTooManyRequests, err.Error())
	case errors.Is(err, errNoLines):
		httpjson.WriteError(w, http.StatusBadRequest, err.Error())
	default:
		writeBodyError(w, err)
	}
}

// add makes the item of a line for one of its groups.
func (b *batch) add(l *line, name string, queues map[group.Name]*queue) {
	b.items = append(b.items, item{})
	i := &b.items[len(b.items)-1]
	g, err := group.Parse(name)
	if err != nil {
		i.refusal = &refusal{code: http.StatusBadRequest, msg: cmp.Or(l.wrong, "group: "+err.Error())}
		return
	}
	i.Group = g
	q := queues[g]
	if q == nil {
		q = new(queue)
		queues[g] = q
		b.queues = append(b.queues, q)
	}
	if i.refusal = b.check(i, l, q); i.refusal != nil {
		q.barred = q.barred || i.refusal.code == http.StatusTooManyRequests
		return
	}
	i.queue = q
	q.items, q.publications = append(q.items, i), append(q.publications, &i.Publication)
}

// check returns why an item is not published, or makes it a publication.
func (b *batch) check(i *item, l *line, q *queue) *refusal {
	if l.wrong != "" {
		return &refusal{code: http.StatusBadRequest, msg: l.wrong}
	}
	if f := reserved(i.Group); f != nil {
		return f
	}
	if q.barred {
		return &keptBack
	}
	if f := b.handler.mayPublish(i.Group, b.from); f != nil {
		return f
	}
	switch {
	case len(l.packet) == 0:
		return &refusal{code: http.StatusBadRequest, msg: "the packet is empty"}
	case len(l.packet) > b.handler.maxBytes(i.Group):
		return &refusal{code: http.StatusRequestEntityTooLarge, msg: "the packet is too large"}
	}
	if why := b.handler.classify(&i.Publication, i.Group, l.packet, b.from); why != "" {
		return &refusal{code: http.StatusBadRequest, msg: why}
	}
	return nil
}

// publish publishes the items, of each group a run at a time, and waits for their results.
// It reports false if the client leaves.
func (b *batch) publish(r *http.Request) (ok bool) {
	for _, q := range b.queues {
		q.barred = false // the items that are left come before what was refused
	}
	timeout := cmp.Or(b.handler.reloadable.Load().PublishTimeout, defaultPublishTimeout)
	var end *time.Timer
	var last time.Time
	for {
		items, publications := b.next()
		if len(items) == 0 {
			return true
		}
		if end != nil && time.Now().After(last) {
			for _, i := range items {
				i.refusal = &tooLate
			}
			continue
		}
		current := &round{waiting: len(items), settled: make(chan struct{})}
		for _, i := range items {
			i.From, i.round = i, current
			i.Follow(r.Context(), b.handler.backends.Tracer)
		}
		b.handler.backends.Publisher.Publish(publications...)
		if end == nil {
			// The relay gives up first: it knows what was not sent.
			end, last = time.NewTimer(timeout+timeout/10), time.Now().Add(timeout)
			defer end.Stop()
		}
		select {
		case <-current.settled:
		case <-end.C:
		case <-r.Context().Done():
			return false
		}
		current.end(items)
		b.settle(items)
	}
}

// next takes the next run of each group.
func (b *batch) next() (items []*item, publications []*relay.Publication) {
	for _, q := range b.queues {
		if q.barred {
			for _, i := range q.items {
				i.refusal = &keptBack
			}
			q.items, q.publications = nil, nil
		}
		n := relay.RunLength(q.publications)
		items, q.items = append(items, q.items[:n]...), q.items[n:]
		publications, q.publications = append(publications, q.publications[:n]...), q.publications[n:]
	}
	return items, publications
}

// settle takes the results of a round.
func (b *batch) settle(items []*item) {
	for _, i := range items {
		if i.queue.barred && i.result.Outcome == relay.Unavailable {
			i.refusal = &keptBack
			continue
		}
		i.refusal = refusalOf(i.result)
		i.queue.barred = i.queue.barred || i.result.Outcome.MayPass()
	}
}

// noteRefusals remembers what was refused for its own sake.
func (b *batch) noteRefusals(r *http.Request) {
	log := b.handler.backends.Refused
	if log == nil {
		return
	}
	address := b.handler.backends.Limits.Address(r)
	for n := range b.items {
		if i := &b.items[n]; i.refusal != nil && i.refusal != &keptBack {
			log.Add(refusals.Refusal{
				What: "http " + r.Method + " " + r.URL.Path, Code: i.refusal.code, Reason: i.refusal.msg,
				Group: string(i.Group), User: b.from.Name(), Address: address,
			})
		}
	}
}

// answer returns the results, in the order of the body.
func (b *batch) answer() []byte {
	out := make([]byte, 0, 32+128*len(b.items))
	out = append(out, `{"code":200,"results":[`...)
	for n := range b.items {
		if n > 0 {
			out = append(out, ',')
		}
		out = append(b.items[n].append(out), '}')
	}
	return append(out, `]}`...)
}

// append appends the result of i, but for the end of the object.
func (i *item) append(b []byte) []byte {
	if i.refusal != nil {
		return i.refusal.append(b, i.Group)
	}
	b = appendPublished(b, &i.Publication, i.result)
	if isStored(&i.Publication, i.result) {
		b = append(b, `,"seq":`...)
		b = strconv.AppendUint(b, i.result.Seq, 10)
		b = append(b, `,"at":`...)
		b = strconv.AppendInt(b, i.result.At, 10)
	}
	return b
}

func (f *refusal) append(b []byte, g group.Name) []byte {
	b = append(b, `{"code":`...)
	b = strconv.AppendInt(b, int64(f.code), 10)
	if g != "" {
		b = append(b, `,"group":`...)
		b = httpjson.AppendString(b, string(g))
	}
	b = append(b, `,"msg":`...)
	b = httpjson.AppendString(b, f.msg)
	if f.again > 0 {
		b = append(b, `,"retryAfter":`...)
		b = strconv.AppendInt(b, max(1, f.again.Milliseconds()), 10)
	}
	return b
}
