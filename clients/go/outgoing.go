package gotapi

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// outgoing is one packet on its way to the server.
type outgoing struct {
	uuid   string // "": the server will not answer
	data   []byte
	binary bool
	done   chan error // takes one, when the outcome is known

	// What follows is guarded by the outbox.
	sentOn   int       // number of the connection that has it; 0: none
	onceOn   int       // the only connection that had it, once; or manyTimes
	refusals int       // temporary refusals in a row
	notUntil time.Time // earliest time to send it again
}

// outbox holds what the server has not answered, in the order of Publish. Its
// length is bounded by the member, which counts its calls.
type outbox struct {
	mu      sync.Mutex
	waiting []*outgoing
	// The newest connection, and the size of the largest packet that was sent on it.
	newest  int
	largest int
	// wake has one token when there may be something to send.
	wake chan struct{}
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

func (b *outbox) add(o *outgoing) {
	b.mu.Lock()
	b.waiting = append(b.waiting, o)
	b.mu.Unlock()
	b.poke()
}

func (b *outbox) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// drop forgets a packet whose caller has stopped waiting.
func (b *outbox) drop(o *outgoing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = slices.DeleteFunc(b.waiting, func(w *outgoing) bool { return w == o })
}

// next takes the first packet that this connection has to send, or returns how long to
// wait for one; 0: until poked.
func (b *outbox) next(connection int, now time.Time) (o *outgoing, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.waiting {
		if w.sentOn == connection {
			continue
		}
		if until := w.notUntil.Sub(now); until > 0 {
			if wait == 0 || until < wait {
				wait = until
			}
			continue
		}
		b.sending(w, connection)
		return w, 0
	}
	return nil, wait
}

// sending notes on which connection a packet leaves. The caller locks.
func (b *outbox) sending(o *outgoing, connection int) {
	o.sentOn = connection
	if o.onceOn == 0 {
		o.onceOn = connection
	} else {
		o.onceOn = manyTimes
	}
	if b.newest != connection {
		b.newest, b.largest = connection, 0
	}
	b.largest = max(b.largest, len(o.data))
}

// tooLarge handles a connection that the server closed because of a packet's size. The
// server does not tell which packet it was, but the largest one is certainly too large.
// Sent again, it would end every connection.
func (b *outbox) tooLarge(connection int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.waiting, func(o *outgoing) bool { return o.sentOn == connection && len(o.data) == b.largest })
	if b.newest != connection || i < 0 {
		return // its caller has stopped waiting
	}
	o := b.waiting[i]
	b.waiting = slices.Delete(b.waiting, i, i+1)
	o.done <- &Error{Code: http.StatusRequestEntityTooLarge, Msg: "the packet is too large"}
}

// manyTimes replaces the connection number of a packet that was sent more than
// once: its ack may come after its message's position.
const manyTimes = -1

// settle ends the wait for a uuid. sentOn is the connection that the packet was
// sent on, or manyTimes; 0: no caller waits for this uuid.
func (b *outbox) settle(uuid string, outcome error) (sentOn int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.find(uuid)
	if i < 0 {
		return 0
	}
	o := b.waiting[i]
	b.waiting = slices.Delete(b.waiting, i, i+1)
	o.done <- outcome
	return o.onceOn
}

// putOff sends a packet again later; delay computes when from the number of refusals in a
// row.
func (b *outbox) putOff(uuid string, delay func(refusals int) time.Duration, now time.Time) {
	b.mu.Lock()
	if i := b.find(uuid); i >= 0 {
		o := b.waiting[i]
		o.refusals++
		o.sentOn, o.notUntil = 0, now.Add(delay(o.refusals))
	}
	b.mu.Unlock()
	b.poke()
}

// written completes a packet that the server will not answer.
func (b *outbox) written(o *outgoing) {
	if o.uuid == "" {
		b.drop(o)
		o.done <- nil
	}
}

func (b *outbox) find(uuid string) int {
	return slices.IndexFunc(b.waiting, func(o *outgoing) bool { return o.uuid == uuid && uuid != "" })
}
