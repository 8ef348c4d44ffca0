package stream

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestARecallIsShownOnceToReceiversThatMayHaveTheMessage lets receivers share a
// stream, branch off, and learn of recalls in another way, in an order that a seed
// chooses. It compares what each is shown with what it has.
func TestARecallIsShownOnceToReceiversThatMayHaveTheMessage(t *testing.T) {
	for seed := range uint64(300) {
		w := &world{T: t, rand: rand.New(rand.NewPCG(seed, 3))}
		for range 300 {
			w.act()
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

type world struct {
	*testing.T
	rand      *rand.Rand
	shared    Changes
	receivers []*receiver
	messages  uint64
	// Messages whose recall has not come, and those whose recall has.
	standing, recalled []uint64
}

// receiver is what is known of one that takes events.
type receiver struct {
	mark uint64
	own  *Changes
	// Messages that it does not have: it got their tombstone.
	lacks map[uint64]bool
	// Messages of whose recall it knows.
	knows map[uint64]bool
}

func (w *world) act() {
	switch n := w.rand.IntN(10); {
	case n < 2:
		w.receivers = append(w.receivers, &receiver{
			mark: w.shared.Mark(), lacks: make(map[uint64]bool), knows: make(map[uint64]bool),
		})
	case n < 5:
		w.message()
	case n < 8 && len(w.standing) > 0:
		w.recall()
	case w.messages > 0 && len(w.receivers) > 0:
		w.learn(w.receivers[w.rand.IntN(len(w.receivers))])
	}
}

// message passes a message to all, or its tombstone: then its author, who may be among
// the receivers, has it nevertheless.
func (w *world) message() {
	w.messages++
	w.standing = append(w.standing, w.messages)
	e := &Event{Kind: Message, Seq: w.messages}
	var author *receiver
	if w.rand.IntN(2) == 0 {
		e.Kind = Tombstone
		if i := w.rand.IntN(len(w.receivers) + 1); i < len(w.receivers) {
			author = w.receivers[i]
			w.branch(author)
		}
	}
	shown := w.shared.Show(e)
	for _, r := range w.receivers {
		if r == author {
			r.lacks[e.Seq] = false
			continue
		}
		if got := w.show(r, e, shown); got != (e.Kind == Message) {
			w.Errorf("%+v is shown: %v", *e, got)
		}
		r.lacks[e.Seq] = e.Kind == Tombstone
	}
}

func (w *world) recall() {
	i := w.rand.IntN(len(w.standing))
	target := w.standing[i]
	w.standing = slices.Delete(w.standing, i, i+1)
	w.recalled = append(w.recalled, target)
	e := &Event{Kind: Recall, Target: target}
	shown := w.shared.Show(e)
	for i, r := range w.receivers {
		got := w.show(r, e, shown)
		lacks, passed := r.lacks[target]
		// One that began later may have the message from a page of history, or not.
		if want := !lacks && !r.knows[target]; got != want && passed {
			w.Errorf("receiver %d is shown the recall of %d: %v; it lacks the message: %v", i, target, got, lacks)
		}
		r.knows[target] = r.knows[target] || got
	}
}

// learn lets r send a message again that is recalled, which it may hear before the
// recall comes.
func (w *world) learn(r *receiver) {
	all := slices.Concat(w.recalled, w.standing)
	seq := all[w.rand.IntN(len(all))]
	w.branch(r)
	if news := r.own.Learn(seq); news == r.knows[seq] {
		w.Errorf("the recall of %d is news to a receiver: %v", seq, news)
	}
	r.knows[seq] = true
}

func (w *world) branch(r *receiver) {
	if r.own == nil {
		r.own = w.shared.Branch(r.mark)
	}
}

func (w *world) show(r *receiver, e *Event, shared bool) bool {
	if r.own == nil {
		return shared
	}
	return r.own.Show(e)
}

func TestBranchKnowsWhatWasShownSinceItsMark(t *testing.T) {
	var c Changes
	show := func(from, to uint64) {
		for seq := from; seq <= to; seq++ {
			if !c.Show(&Event{Kind: Recall, Target: seq}) {
				t.Fatalf("the recall of %d is not shown", seq)
			}
		}
	}
	show(1, 10)
	mark := c.Mark()
	show(11, 20)
	own := c.Branch(mark)
	for seq := uint64(1); seq <= 20; seq++ {
		if got, want := own.Learn(seq), seq <= 10; got != want {
			t.Errorf("recall of %d: news is %v, want %v", seq, got, want)
		}
	}
	// What is remembered is bounded, and the newest.
	show(21, 1000)
	own = c.Branch(mark)
	if len(c.shown) != maxShown || len(own.shown) != maxShown {
		t.Errorf("%d and %d recalls are remembered, want %d", len(c.shown), len(own.shown), maxShown)
	}
	for seq := uint64(1001 - maxShown); seq <= 1000; seq++ {
		if own.Learn(seq) {
			t.Fatalf("recall of %d is news, want it remembered", seq)
		}
	}
	if !own.Learn(1000 - maxShown) {
		t.Errorf("recall of %d is remembered, want it forgotten", 1000-maxShown)
	}
}

func TestTheRecallOfATombstoneIsHiddenOnce(t *testing.T) {
	var c Changes
	if c.Show(&Event{Kind: Tombstone, Seq: 9}) {
		t.Error("a tombstone is shown")
	}
	for i, tt := range []struct {
		target uint64
		want   bool
	}{{8, true}, {9, false}, {8, false}, {9, true}, {0, true}, {0, true}} {
		if got := c.Show(&Event{Kind: Recall, Target: tt.target}); got != tt.want {
			t.Errorf("%d: recall of %d: shown %v, want %v", i, tt.target, got, tt.want)
		}
	}
}
