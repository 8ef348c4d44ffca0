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
	// Where all processors of the machine are in use, a worker of bulk rests when it
	// has worked for longer than spell, and others have been served meanwhile. One that
	// never did would keep its processor, and what is to be done for these others, in
	// other processes too, would wait until the system takes it away. What waits in
	// bulk leaves in fewer writes then.
	spell = 5 * time.Millisecond
	rest  = 3 * time.Millisecond
)

// Flusher writes for many Outboxes with few goroutines. An Outbox waits for its
// turn, and all that has come for it until then leaves in one write: the more there
// is to do, the less each message costs. A turn never blocks: a peer that does not
// take all of it gets a goroutine of its own, as does one behind TLS.
//
// There are two lines. Members of large rooms wait in bulk, so that a large room
// delays nobody. A line has at most one writer less than there are processors, but one
// at least: while the other line is empty, a processor stays free for those who read
// and relay. That is also cheaper, for two writers find less for each write than one.
// An Outbox waits at most once, so the number of connections bounds both lines.
type Flusher struct {
	running sync.WaitGroup

	mu            sync.Mutex
	express, bulk line
	// Turns that express has had.
	served uint
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

// line is Outboxes that wait, and how many workers serve it.
type line struct {
	fifo
	workers int
}

// add gives o a turn. It is called under o's lock.
func (f *Flusher) add(o *Outbox, bulk bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := &f.express
	if bulk {
		l = &f.bulk
	}
	l.push(o)
	if f.turns++; f.turns%measured == 0 && f.sampled == nil {
		f.sampled, f.began = o, time.Now()
	}
	f.hire(l)
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

// hire starts a worker if l needs one. GOMAXPROCS costs a lock of the scheduler, so
// it is asked last.
func (f *Flusher) hire(l *line) {
	if l.workers > 0 && (l.len() <= l.workers*flushShare || l.workers >= runtime.GOMAXPROCS(0)-1) {
		return
	}
	l.workers++
	f.running.Add(1)
	go f.work(l)
}

// work gives turns until none is due in l.
func (f *Flusher) work(l *line) {
	defer f.running.Done()
	p := newPen()
	defer p.release()
	bulk := l == &f.bulk
	var chunk [flushChunk]*Outbox
	n, served := f.next(l, nil, chunk[:])
	since := shift{served, time.Now()}
	for n > 0 {
		if bulk && since.over(served, time.Now()) && runtime.GOMAXPROCS(0) >= runtime.NumCPU() {
			time.Sleep(rest)
			since = shift{served, time.Now()}
		}
		for _, o := range chunk[:n] {
			if o.turn(p) {
				f.add(o, bulk)
			}
		}
		if bulk {
			runtime.Gosched() // whoever answers members comes first
		}
		n, served = f.next(l, chunk[:n], chunk[:])
	}
}

// shift is when a worker of bulk last began, or rested, and how often express had
// been served by then.
type shift struct {
	served uint
	began  time.Time
}

// over says whether it is time to rest.
func (s shift) over(served uint, now time.Time) bool {
	return served != s.served && now.Sub(s.began) > spell
}

// next takes what is due next in l. had are those that the worker gave a turn before.
// served is how often express was served so far.
func (f *Flusher) next(l *line, had, chunk []*Outbox) (n int, served uint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.measure(had)
	if n = l.take(chunk); n == 0 {
		l.workers--
	} else if l.len() > 0 {
		f.hire(l)
	}
	if l == &f.express {
		f.served += uint(n)
	}
	return n, f.served
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
