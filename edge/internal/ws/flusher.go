package ws

import (
	"runtime"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/internal/metric"
)

const (
	// The number of Outboxes that a worker takes at a time: about a tenth of a
	// millisecond of work, before it looks at others.
	workerChunk = 8
	// The number of waiting Outboxes for each worker.
	workerShare = 32
)

// Flusher writes for many Outboxes with few goroutines, the workers. An Outbox waits
// in line, and everything that has come for it until its turn leaves in one write: the more
// there is to do, the less each message costs. A worker never blocks: a peer that
// does not take all of it gets a goroutine of its own, as does one behind TLS.
//
// There are two lines with workers of their own, express, and bulk for members of
// large rooms: so a large room delays no other one. A line has at most one worker
// less than there are processors, but one at least: while the other line is empty, a
// processor stays free for those who read and relay. That is also cheaper, for two
// workers find less for each write than one. An Outbox waits at most once, so the
// number of connections bounds both lines.
type Flusher struct {
	running sync.WaitGroup

	mu            sync.Mutex
	express, bulk line
	sample        sample
}

// NewFlusher returns a Flusher. It has no goroutine while there is nothing to write.
func NewFlusher(reg prometheus.Registerer) *Flusher {
	in := metric.In(reg)
	f := &Flusher{sample: newSample(in)}
	in.GaugeFunc("gotapi_edge_write_queue_members", "Members whose frames wait for a writer.", func() float64 {
		f.mu.Lock()
		defer f.mu.Unlock()
		return float64(f.bulk.len() + f.express.len())
	})
	return f
}

// Wait blocks until nothing is being written. All connections must have ended.
func (f *Flusher) Wait() { f.running.Wait() }

// line is Outboxes that wait, and how many workers serve it.
type line struct {
	fifo
	workers int
}

// add puts o in line. It is called under o's lock.
func (f *Flusher) add(o *Outbox, bulk bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := &f.express
	if bulk {
		l = &f.bulk
	}
	l.push(o)
	f.sample.added(o)
	f.addWorker(l)
}

// addWorker starts a worker if l needs one. GOMAXPROCS costs a lock of the scheduler,
// so it is asked last.
func (f *Flusher) addWorker(l *line) {
	if l.workers > 0 && (l.len() <= l.workers*workerShare || l.workers >= runtime.GOMAXPROCS(0)-1) {
		return
	}
	l.workers++
	f.running.Add(1)
	go f.work(l)
}

// work serves l until nobody is in line.
func (f *Flusher) work(l *line) {
	defer f.running.Done()
	w := newWriter()
	defer w.release()
	bulk := l == &f.bulk
	var chunk [workerChunk]*Outbox
	for n := f.take(l, nil, chunk[:]); n > 0; n = f.take(l, chunk[:n], chunk[:]) {
		for _, o := range chunk[:n] {
			if w.serve(o) {
				f.add(o, bulk)
			}
		}
		if bulk {
			runtime.Gosched() // goroutines that answer members come first
		}
	}
}

// take takes the next Outboxes in l. The worker has served those in served. If take
// returns 0, the worker has to stop.
func (f *Flusher) take(l *line, served, chunk []*Outbox) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sample.served(served)
	if n = l.take(chunk); n == 0 {
		l.workers--
	} else if l.len() > 0 {
		f.addWorker(l)
	}
	return n
}

// fifo is a queue of Outboxes.
type fifo struct {
	items []*Outbox
	// Index of the first.
	first int
}

func (q *fifo) len() int { return len(q.items) - q.first }

func (q *fifo) push(o *Outbox) {
	if q.first > len(q.items)/2 && q.first > workerShare {
		n := copy(q.items, q.items[q.first:])
		clear(q.items[n:])
		q.items, q.first = q.items[:n], 0
	}
	q.items = append(q.items, o)
}

func (q *fifo) take(into []*Outbox) int {
	n := copy(into, q.items[q.first:])
	clear(q.items[q.first : q.first+n])
	q.first += n
	if q.first == len(q.items) {
		q.items, q.first = q.items[:0], 0
	}
	return n
}
