package check

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newPlaced is the good story, told to readers with positions: bob comes back from his last
// one.
func newPlaced() *story {
	s := newStory()
	for _, c := range s.group.Conns {
		c.Reader = V2
		for i := range c.Events {
			place(&c.Events[i])
		}
	}
	s.back.After, s.back.Prev = "", s.bob
	return s
}

// place gives an event its number and position.
func place(e *Event) {
	e.Seq = uint64(e.UUID[1]-'0') + 1
	e.Pos = "p" + e.UUID
	if e.Kind == Recalled {
		e.Pos = "r" + e.UUID
	}
}

func placed(e Event) Event {
	place(&e)
	return e
}

func lostAt(at Time) Event { return Event{At: at, Kind: Gap} }

func TestAGoodRecordingOfPositionsBreaksNoRule(t *testing.T) {
	s := newPlaced()
	if rules := s.broken(); len(rules) > 0 {
		t.Errorf("broken: %q", rules)
	}
	for n := range len(s.back.Events) {
		s := newPlaced()
		cut(s.back, n, 1001)
		s.group.Conns = append(s.group.Conns, &Conn{
			Reader: LongPoll, Member: "bob", Prev: s.back, Dialed: sentAt(10), Opened: sentAt(10),
			Events: slices.Clone(newPlaced().back.Events[n:]),
		})
		if rules := s.broken(); len(rules) > 0 {
			t.Errorf("cut after %d events: %q", n, rules)
		}
	}
}

func TestBrokenRecordingsOfPositionsAreFound(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(s *story)
		want  []Rule
	}{
		"a resume leaves out its first":  {func(s *story) { s.back.Events = slices.Delete(s.back.Events, 0, 2) }, []Rule{ResumeIsExact}},
		"a resume gives a message again": {func(s *story) { s.back.Events = slices.Insert(s.back.Events, 0, placed(got(4))) }, []Rule{NoDuplicate}},
		"a resume leaves out a recall":   {func(s *story) { s.back.Events = slices.Delete(s.back.Events, 1, 2) }, []Rule{RecallIsDelivered}},
		"a resume gives a recall again": {func(s *story) {
			s.bob.Events = append(s.bob.Events, s.back.Events[:2]...)
			s.bob.ClosedAt = sentAt(6)
			s.back.Events = s.back.Events[1:]
		}, []Rule{RecallIsDelivered}},
		"a resume begins with what happens then": {func(s *story) { s.back.Events = s.back.Events[5:] }, []Rule{ResumeIsExact}},
		"a recall of a message before the join is never told": {func(s *story) {
			s.carl.Opened = recalledAt - second/2
		}, []Rule{RecallIsDelivered}},
		"a recall comes before another message": {func(s *story) { s.recallEarly(7, 1) }, []Rule{NoHole}},
		"a message has another number":          {func(s *story) { s.carl.Events[1].Seq++ }, []Rule{InOrder}},
		"a recall has another number":           {func(s *story) { s.back.Events[1].Seq++ }, []Rule{InOrder}},
		"a hole":                                {func(s *story) { s.back.Events = slices.Delete(s.back.Events, 3, 4) }, []Rule{NoHole}},
		"a message has two positions":           {func(s *story) { s.carl.Events[1].Pos = "x" }, []Rule{PositionsAgree}},
		"an ack has another position":           {func(s *story) { s.ann.Events[3].Pos = "x" }, []Rule{PositionsAgree}},
		"a recall has two positions":            {func(s *story) { s.back.Events[1].Pos = "x" }, []Rule{PositionsAgree}},
		"two messages have one position": {func(s *story) {
			for _, c := range s.group.Conns {
				for i := range c.Events {
					if e := &c.Events[i]; e.Kind != Recalled && e.UUID == uuid(7) {
						e.Pos = "pm8"
					}
				}
			}
		}, []Rule{PositionsAgree}},
		"an ack comes before its place": {func(s *story) { swap(s.ann, 7, 8) }, []Rule{AckInPlace}},
		"an ack without a position":     {func(s *story) { s.ann.Events[10].Pos = "" }, []Rule{AckInPlace, NoHole}},
		"the sender gets its message":   {func(s *story) { s.ann.Events[8] = placed(got(7)) }, []Rule{AckInPlace, EverySendAnswered}},
		"a duplicate is acked before the first copy": {func(s *story) {
			s.resend(8, 4)
		}, []Rule{AckInPlace}},
		"two acks for one duplicate": {func(s *story) {
			s.resend(6, 5)
			s.back.Events = append(s.back.Events, s.back.Events[5])
		}, []Rule{AckedOnce}},
		"a gap without reason": {func(s *story) { s.back.Events = slices.Insert(s.back.Events, 4, lostAt(sentAt(7))) }, []Rule{NoFalseAlarm}},
		"lost, and the stream goes on": {func(s *story) {
			s.lose9()
			s.carl.Events = s.carl.Events[:4]
		}, []Rule{LossIsReported}},
		"lost, and the resume has no gap": {func(s *story) {
			s.lose9()
			last := s.group.Conns[len(s.group.Conns)-1]
			last.Events = []Event{{At: sentAt(12), Kind: Low, Text: "low"}}
		}, []Rule{LossIsReported}},
		"lost, and the gap comes too late": {func(s *story) {
			s.lose9()
			s.carl.Events[4].At = sentAt(40)
		}, []Rule{LossIsReported}},
		"what is sent after a gap is missing": {func(s *story) {
			s.lose9()
			s.say(11)
			s.say(12)
			for _, c := range s.group.Conns {
				if !c.Closed {
					c.Events = append(c.Events, s.said(11), s.said(12))
				}
			}
			s.carl.Events = slices.Delete(s.carl.Events, 5, 6)
		}, []Rule{JoinIsPrompt}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newPlaced()
			tt.spoil(s)
			slices.Sort(tt.want)
			_, violations := Check(&Recording{Groups: []*Group{s.group}, End: 60 * second})
			if diff := cmp.Diff(tt.want, Rules(violations)); diff != "" {
				t.Errorf("broken rules (-want +got):\n%s%v", diff, violations)
			}
		})
	}
}

// resend has bob send message i of ann's again, which is acked before his event at.
func (s *story) resend(i, at int) {
	m := s.group.Messages[uuid(i)]
	m.Sends = append(m.Sends, Send{At: sentAt(i), Conn: s.back})
	e := Event{At: s.back.Events[at].At, Kind: Ack, UUID: uuid(i), Seq: uint64(i) + 1, Duplicate: true}
	s.back.Events = slices.Insert(s.back.Events, at, e)
}

func TestDuplicatesAreAckedWithoutAPlaceAfterTheFirstCopy(t *testing.T) {
	for at := 3; at < 6; at++ {
		s := newPlaced()
		s.resend(6, at)
		if rules := s.broken(); len(rules) > 0 {
			t.Errorf("acked before event %d: %q", at, rules)
		}
	}
}

// recallEarly recalls message i. Bob, who has not got it, hears of that at his event n.
func (s *story) recallEarly(i, n int) {
	s.group.Recalls[uuid(i)] = &Recall{UUID: uuid(i), Asked: sentAt(9), Done: sentAt(10)}
	s.group.Final[i].Text = ""
	s.group.Pages = nil
	e := placed(recalled(i))
	e.At = sentAt(10)
	s.back.Events = slices.DeleteFunc(s.back.Events, func(e Event) bool { return e.UUID == uuid(i) })
	s.back.Events = slices.Insert(s.back.Events, n, e)
	for _, c := range []*Conn{s.ann, s.carl} {
		c.Events = append(c.Events, e)
	}
}

// lose9 loses message 9 with its master. All who had it meet a gap: ann and carl at once, and
// bob when he comes back.
func (s *story) lose9() {
	s.masterDied(9)
	s.forget(9)
	s.group.Pages = nil
	s.ann.Events = append(s.ann.Events, lostAt(sentAt(11)))
	s.carl.Events = append(s.carl.Events, lostAt(sentAt(11)))
	s.back.Closed, s.back.ClosedAt = true, sentAt(10)
	s.group.Conns = append(s.group.Conns, &Conn{
		Reader: EventStream, Member: "bob", Prev: s.back, Dialed: sentAt(12), Opened: sentAt(12),
		Events: []Event{lostAt(sentAt(12))},
	})
}

// say stores a message of somebody else's.
func (s *story) say(i int) {
	m := &Message{UUID: uuid(i), Text: text(i), Sends: []Send{{At: sentAt(i + 5), Code: 200, Answered: sentAt(i + 6)}}}
	s.group.Messages[m.UUID] = m
	s.group.Final = append(s.group.Final, Entry{UUID: m.UUID, Text: m.Text})
}

func (s *story) said(i int) Event {
	at := slices.IndexFunc(s.group.Final, func(e Entry) bool { return e.UUID == uuid(i) })
	return Event{At: sentAt(i + 6), Kind: Got, UUID: uuid(i), Text: text(i), Seq: uint64(at) + 1, Pos: "p" + uuid(i)}
}

func TestAGapInALossIsNoViolation(t *testing.T) {
	s := newPlaced()
	s.lose9()
	s.say(11)
	for _, c := range s.group.Conns {
		if !c.Closed {
			c.Events = append(c.Events, s.said(11))
		}
	}
	summary, violations := Check(&Recording{Groups: []*Group{s.group}, End: 60 * second})
	for _, v := range violations {
		t.Errorf("%v", v)
	}
	if summary.Lost != 1 || summary.ResumesGone != 1 || summary.Gone != 2 {
		t.Errorf("lost %d, resumes with a gap %d, gaps %d; want 1, 1, 2", summary.Lost, summary.ResumesGone, summary.Gone)
	}
}
