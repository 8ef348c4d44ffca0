package ws

import (
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// A worker takes so many Outboxes at a time: about a tenth of a millisecond
	// of work, after which others are looked at.
	flushChunk = 8
	// There is one worker for so many Outboxes that wait.
	flushShare = 32
	// One in so many turns is measured.
	measured = 64
)

// Flusher writes for many Outboxes with few goroutines, at most one for each
// processor. An Outbox waits for its turn, and all that has come for it until
// then leaves in one write: the more there is to do, the less each message
// costs. A turn never blocks: a peer that does not take all of it gets a
// goroutine of its own, as does one behind TLS.
//
// There are two queues. Members of large rooms wait in bulk, which one
// processor at least does not serve: it stays free for everything else, so that
// a large room delays nobody. An Outbox waits at most once, so the number of
// connections bounds both.
type Flusher struct {
	running sync.WaitGroup

	mu sync.Mutex
	// Those with frames of large rooms, and the others.
	bulk, express fifo
	// How many work, and how many of them on bulk.
	workers, bulkWorkers int
	// One turn in measured is: looking at the clock each time would show in what
	// a delivery costs.
	turns   uint
	sampled *Outbox
	began   time.Time

	seconds prometheus.Histogram
}

// NewFlusher returns a Flusher. It has no goroutine while there is nothing to write.
func NewFlusher(reg prometheus.Registerer) *Flusher {
	f := &Flusher{seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "gotapi_edge_write_seconds",
		Help:    "From queueing a frame for an idle connection to having written it to the socket; one in 64 is measured.",
		Buckets: prometheus.ExponentialBuckets(0.00002, 4, 10),
	})}
	reg.MustRegister(f.seconds, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gotapi_edge_write_queue_members",
		Help: "Members with frames to be sent that wait for their turn; at most all of them.",
	}, func() float64 {
		f.mu.Lock()
		defer f.mu.Unlock()
		return float64(f.bulk.len() + f.express.len())
	}))
	return f
}

// Wait blocks until nothing is being written. All connections must have ended.
func (f *Flusher) Wait() { f.running.Wait() }

// add gives o a turn. It is called under o's lock.
func (f *Flusher) add(o *Outbox, bulk bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if bulk {
		f.bulk.push(o)
	} else {
		f.express.push(o)
	}
	if f.turns++; f.turns%measured == 0 && f.sampled == nil {
		f.sampled, f.began = o, time.Now()
	}
	f.hire()
}

// measure looks whether the sampled one is among those that had their turn.
func (f *Flusher) measure(had []*Outbox) {
	for _, o := range had {
		if o == f.sampled && o != nil {
			f.seconds.Observe(time.Since(f.began).Seconds())
			f.sampled = nil
		}
	}
}

// hire starts a worker if there is need for one. GOMAXPROCS costs a lock of the
// scheduler, so it is asked last.
func (f *Flusher) hire() {
	waiting := f.express.len() + f.bulk.len()
	if f.workers > 0 && (waiting <= f.workers*flushShare || f.workers >= runtime.GOMAXPROCS(0)) {
		return
	}
	f.workers++
	f.running.Add(1)
	go f.work()
}

// work gives turns until none is due.
func (f *Flusher) work() {
	defer f.running.Done()
	p := newPen()
	defer p.release()
	var chunk [flushChunk]*Outbox
	n, bulk := 0, false
	for {
		if n, bulk = f.next(chunk[:n], chunk[:], bulk); n == 0 {
			return
		}
		for _, o := range chunk[:n] {
			if o.turn(p) {
				f.add(o, bulk)
			}
		}
		if bulk {
			runtime.Gosched() // whoever answers members comes first
		}
	}
}

// next takes what is due next. had are those that the worker gave a turn before,
// and wasBulk says from which queue.
func (f *Flusher) next(had, chunk []*Outbox, wasBulk bool) (n int, bulk bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.measure(had)
	if wasBulk {
		f.bulkWorkers--
	}
	switch {
	case f.express.len() > 0:
		n = f.express.take(chunk)
	case f.bulk.len() > 0 && (f.bulkWorkers == 0 || f.bulkWorkers < runtime.GOMAXPROCS(0)-1):
		n, bulk = f.bulk.take(chunk), true
		f.bulkWorkers++
	default:
		f.workers--
		return 0, false
	}
	if f.express.len()+f.bulk.len() > 0 {
		f.hire()
	}
	return n, bulk
}

// fifo is a queue of Outboxes.
type fifo struct {
	items []*Outbox
	at    int
}

func (q *fifo) len() int { return len(q.items) - q.at }

func (q *fifo) push(o *Outbox) {
	if q.at > len(q.items)/2 && q.at > flushShare {
		n := copy(q.items, q.items[q.at:])
		clear(q.items[n:])
		q.items, q.at = q.items[:n], 0
	}
	q.items = append(q.items, o)
}

func (q *fifo) take(into []*Outbox) int {
	n := copy(into, q.items[q.at:])
	clear(q.items[q.at : q.at+n])
	q.at += n
	if q.at == len(q.items) {
		q.items, q.at = q.items[:0], 0
	}
	return n
}

// pen is what a worker of a Flusher writes with.
type pen struct {
	buf    *[maxGather]byte
	frames []Frame // spare
	// Of the present attempt; fd is attempt, made once because it would be
	// allocated each time.
	fd  func(uintptr) bool
	b   []byte
	n   int
	err error
}

var pens = sync.Pool{New: func() any {
	p := &pen{buf: new([maxGather]byte)}
	p.fd = p.attempt
	return p
}}

func newPen() *pen {
	p, _ := pens.Get().(*pen)
	return p
}

func (p *pen) release() {
	clear(p.frames)
	pens.Put(p)
}

// write writes as much of b as the connection takes at once.
func (p *pen) write(raw syscall.RawConn, b []byte) (n int, err error) {
	p.b, p.n, p.err = b, 0, nil
	if err := raw.Write(p.fd); err != nil {
		return 0, err
	}
	p.b = nil
	return p.n, p.err
}

// turn writes what waits, and says whether more has come meanwhile. Where the
// connection would block, a goroutine goes on.
func (o *Outbox) turn(p *pen) (again bool) {
	frames := o.take(p.frames)
	p.frames = nil
	if frames == nil {
		o.writer.Done()
		return false
	}
	if o.raw == nil {
		go o.write(frames, 0)
		return false
	}
	left, done, err := o.flush(frames, 0, p.buf[:0], func(b []byte) (int, error) { return p.write(o.raw, b) })
	switch {
	case err != nil:
		o.fail(err)
		o.writer.Done()
		return false
	case len(left) > 0:
		go o.write(left, done)
		return false
	}
	p.frames = frames
	if o.pause() {
		return true
	}
	o.writer.Done()
	return false
}
