package check

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// story is a recording of one group in which all is as promised: ten messages
// of ann's, of which bob has got the first five on one connection and the rest on
// another, with a recall in between; carl joins late, dora published over HTTP.
//
// Times are whole seconds: message i is sent at 10+i and acked half a second later.
type story struct {
	group          *Group
	ann, bob, back *Conn
	carl           *Conn
}

const (
	second = Time(1e9)
	told   = 30 * second // when the recall was answered
)

func uuid(i int) string { return fmt.Sprintf("m%d", i) }

func text(i int) string { return fmt.Sprintf(`{"type":2,"uuid":"m%d","body":{"data":"%d"}}`, i, i) }

func sentAt(i int) Time { return Time(10+i) * second }

func got(i int) Event {
	return Event{At: sentAt(i) + second/2, Kind: Got, UUID: uuid(i), Text: text(i)}
}

func ack(i int) Event { return Event{At: sentAt(i) + second/2, Kind: Ack, UUID: uuid(i)} }

// At 15 s message 2 is recalled, after message 5 was stored.
const recalledAt = 15*second + 700*second/1000

func recalled(i int) Event { return Event{At: recalledAt, Kind: Recalled, UUID: uuid(i)} }

func gone(at Time) Event { return Event{At: at, Kind: Refused, Code: 410} }

func newStory() *story {
	s := &story{
		ann:  &Conn{Reader: WebSocket, Member: "ann", Opened: second},
		bob:  &Conn{Reader: WebSocket, Member: "bob", Opened: second, Closed: true, ClosedAt: sentAt(5)},
		back: &Conn{Reader: WebSocket, Member: "bob", After: uuid(4), Dialed: sentAt(5), Opened: sentAt(5)},
		carl: &Conn{Reader: WebSocket, Member: "carl", Dialed: sentAt(6) - second/5, Opened: sentAt(6) - second/10},
	}
	s.group = &Group{
		Name: "/g", Messages: make(map[string]*Message),
		Recalls: map[string]*Recall{uuid(2): {UUID: uuid(2), Asked: recalledAt - second/10, Done: recalledAt}},
		Conns:   []*Conn{s.ann, s.bob, s.back, s.carl},
	}
	for i := range 10 {
		m := &Message{UUID: uuid(i), Text: text(i), Sends: []Send{{At: sentAt(i), Conn: s.ann}}}
		s.group.Messages[m.UUID] = m
		s.group.Final = append(s.group.Final, Entry{UUID: m.UUID, Text: m.Text})
		s.ann.Events = append(s.ann.Events, ack(i))
		if i < 5 {
			s.bob.Events = append(s.bob.Events, got(i))
		} else {
			s.back.Events = append(s.back.Events, got(i))
		}
		if i > 5 {
			s.carl.Events = append(s.carl.Events, got(i))
		}
		if i == 5 {
			s.ann.Events = append(s.ann.Events, recalled(2))
			s.back.Events = append(s.back.Events, recalled(2))
		}
	}
	s.group.Final[2].Text = ""
	s.group.Pages = []*Page{
		{Asked: sentAt(4) - second/10, Answered: sentAt(4), Size: 3, Texts: []string{text(3), text(2), text(1)}},
		{Asked: sentAt(9) + second, Answered: sentAt(9) + second, Size: 9, Texts: texts(9, 8, 7, 6, 5, 4, 3, 1)},
		{Asked: sentAt(9) + second, Answered: sentAt(9) + second, Position: -3, Size: 9, Texts: texts(1, 0)},
	}
	return s
}

func texts(is ...int) []string {
	var all []string
	for _, i := range is {
		all = append(all, text(i))
	}
	return all
}

// masterDied says that Redis may have lost something from message i on.
func (s *story) masterDied(i int) { s.group.Lossy = []Span{{From: sentAt(i), To: sentAt(i + 5)}} }

// forget takes message i out of the history.
func (s *story) forget(i int) {
	s.group.Final = slices.DeleteFunc(s.group.Final, func(e Entry) bool { return e.UUID == uuid(i) })
}

// cut ends a connection before its event n.
func cut(c *Conn, n int, code int) {
	c.ClosedAt = c.Events[n].At
	c.Events = slices.Clone(c.Events[:n])
	c.Closed, c.Code = true, code
}

func (s *story) broken() []Rule {
	_, violations := Check(&Recording{Groups: []*Group{s.group}, End: 60 * second})
	return Rules(violations)
}

func TestAGoodRecordingBreaksNoRule(t *testing.T) {
	s := newStory()
	summary, violations := Check(&Recording{Groups: []*Group{s.group}, End: 60 * second})
	for _, v := range violations {
		t.Errorf("%v", v)
	}
	want := Summary{
		Messages: 10, Acked: 10, Sends: 10, Conns: 4, Resumes: 1, Deliveries: 24, RecallsDelivered: 2, Recalls: 1, Pages: 3,
	}
	if diff := cmp.Diff(want, summary); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}

func TestBrokenRecordingsAreFound(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(s *story)
		want  []Rule
	}{
		"an acked message is not in the history": {func(s *story) {
			s.forget(7)
			for _, c := range []*Conn{s.back, s.carl} {
				c.Events = slices.DeleteFunc(c.Events, func(e Event) bool { return e.UUID == uuid(7) })
			}
			s.ann.Events = slices.DeleteFunc(s.ann.Events, func(e Event) bool { return e.UUID == uuid(7) })
			s.group.Messages[uuid(7)].Sends = []Send{{At: sentAt(7), Code: 200, Answered: sentAt(7) + second/2}}
			s.group.Pages = nil
		}, []Rule{AckedIsStored}},
		"a message is stored twice": {func(s *story) {
			s.group.Final = append(s.group.Final, s.group.Final[9])
		}, []Rule{StoredOnce, NoHole, PagesAreHistory}},
		"a stored text was changed": {func(s *story) { s.group.Final[3].Text += " " }, []Rule{NothingForeign}},
		"a stored text is nobody's": {func(s *story) {
			s.group.Final = slices.Insert(s.group.Final, 0, Entry{UUID: "x", Text: "x"})
		}, []Rule{NothingForeign}},
		"an erased text was not recalled": {func(s *story) { s.group.Final[0].Text = "" }, []Rule{NothingForeign}},
		"a delivered text was changed":    {func(s *story) { s.bob.Events[3].Text += " " }, []Rule{NothingForeign}},
		"a foreign text was delivered": {func(s *story) {
			s.bob.Events = slices.Insert(s.bob.Events, 3, Event{At: sentAt(3), Kind: Got, UUID: "x", Text: "x"})
		}, []Rule{NothingForeign}},
		"a packet that is no packet was delivered": {func(s *story) {
			s.bob.Events = slices.Insert(s.bob.Events, 3, Event{At: sentAt(3), Kind: Foreign, Text: "x"})
		}, []Rule{NothingForeign}},
		"what was refused with 503 is stored": {func(s *story) {
			s.ann.Events[8] = Event{At: sentAt(7) + second/2, Kind: Refused, UUID: uuid(7), Code: 503}
		}, []Rule{RefusedIsNotStored, AckInPlace}},
		"a hole":                        {func(s *story) { s.back.Events = slices.Delete(s.back.Events, 3, 4) }, []Rule{NoHole}},
		"a hole at the end":             {func(s *story) { s.back.Events = s.back.Events[:5] }, []Rule{NoHole}},
		"a duplicate":                   {func(s *story) { s.bob.Events = slices.Insert(s.bob.Events, 4, got(3)) }, []Rule{NoDuplicate}},
		"a duplicate after a while":     {func(s *story) { s.back.Events = append(s.back.Events, got(6)) }, []Rule{NoDuplicate}},
		"an old message comes late":     {func(s *story) { s.back.Events = append(s.back.Events, got(3)) }, []Rule{InOrder}},
		"two messages change places":    {func(s *story) { swap(s.carl, 1, 2) }, []Rule{NoHole}},
		"an ack comes before its place": {func(s *story) { swap(s.ann, 7, 8) }, []Rule{AckInPlace}},
		"the sender gets its message":   {func(s *story) { s.ann.Events[8] = got(7) }, []Rule{AckInPlace, EverySendAnswered}},
		"two acks for one send": {func(s *story) {
			s.ann.Events = append(s.ann.Events, ack(8))
		}, []Rule{AckedOnce}},
		"no answer to a send": {func(s *story) {
			s.group.Messages["late"] = &Message{UUID: "late", Text: "late", Sends: []Send{{At: sentAt(9), Conn: s.ann}}}
		}, []Rule{EverySendAnswered}},
		"a refusal without a code": {func(s *story) {
			s.ann.Events = append(s.ann.Events, Event{At: sentAt(9) + second, Kind: Refused, UUID: uuid(9)})
		}, []Rule{EverySendAnswered}},
		"a refusal that says 200": {func(s *story) {
			s.ann.Events = append(s.ann.Events, Event{At: sentAt(9) + second, Kind: Refused, UUID: uuid(9), Code: 200})
		}, []Rule{EverySendAnswered}},
		"a 500 over HTTP": {func(s *story) {
			s.group.Messages["late"] = &Message{UUID: "late", Text: "late", Sends: []Send{{At: sentAt(9), Code: 500}}}
		}, []Rule{EverySendAnswered}},
		"what was sent after the join is missing": {func(s *story) { s.carl.Events = s.carl.Events[1:] }, []Rule{JoinIsPrompt}},
		"nothing comes after the join":            {func(s *story) { s.carl.Events = nil }, []Rule{NoHole}},
		"a resume leaves out its first":           {func(s *story) { s.back.Events = s.back.Events[2:] }, []Rule{ResumeIsExact}},
		"a resume gives a message again":          {func(s *story) { s.back.Events = slices.Insert(s.back.Events, 0, got(4)) }, []Rule{InOrder}},
		"a resume leaves out a recall":            {func(s *story) { s.back.Events = slices.Delete(s.back.Events, 1, 2) }, []Rule{RecallIsDelivered}},
		"a recall is never told":                  {func(s *story) { s.ann.Events = slices.Delete(s.ann.Events, 6, 7) }, []Rule{RecallIsDelivered}},
		"a recall is not told to one who left":    {func(s *story) { s.ann.Events = slices.Delete(s.ann.Events, 6, 7); cut(s.ann, 8, 0) }, []Rule{RecallIsDelivered}},
		"a recall comes twice":                    {func(s *story) { s.ann.Events = slices.Insert(s.ann.Events, 7, recalled(2)) }, []Rule{RecallIsDelivered}},
		"a recall that nobody asked for":          {func(s *story) { s.ann.Events = slices.Insert(s.ann.Events, 7, recalled(3)) }, []Rule{NothingForeign}},
		"a recall before its message":             {func(s *story) { recallBefore(s) }, []Rule{RecallIsDelivered}},
		"a recalled text is still in the history": {func(s *story) { s.group.Final[2].Text = text(2) }, []Rule{RecallErases}},
		"a recalled text is in a later page":      {func(s *story) { s.group.Pages[2].Texts = texts(2, 1, 0) }, []Rule{RecallErases}},
		"a recalled text is delivered":            {func(s *story) { recalledEarly(s) }, []Rule{RecallErases}},
		"410 without reason": {func(s *story) {
			s.ann.Events = append(s.ann.Events, gone(sentAt(10)))
			s.ann.Closed, s.ann.Code = true, 1012
		}, []Rule{NoFalseAlarm}},
		"a page leaves one out":                      {func(s *story) { s.group.Pages[1].Texts = texts(9, 8, 6) }, []Rule{PagesAreHistory}},
		"a page in another order":                    {func(s *story) { s.group.Pages[1].Texts = texts(9, 7, 8) }, []Rule{PagesAreHistory}},
		"a page lags behind":                         {func(s *story) { s.group.Pages[1].Texts = texts(8, 7) }, []Rule{PagesAreHistory}},
		"a page has a changed text":                  {func(s *story) { s.group.Pages[1].Texts[0] += " " }, []Rule{NothingForeign}},
		"lost, and the stream goes on":               {func(s *story) { s.masterDied(8); s.forget(8); s.group.Pages = nil }, []Rule{LossIsReported}},
		"lost, and the connection ends too late":     {func(s *story) { lateLoss(s) }, []Rule{LossIsReported}},
		"lost, and the stream goes on after 410":     {func(s *story) { onAfterGone(s) }, []Rule{LossIsReported}},
		"lost, closed with another code":             {func(s *story) { reportedLoss(s, 1000) }, []Rule{LossIsReported}},
		"lost, and the resume does not say so":       {func(s *story) { silentResume(s) }, []Rule{LossIsReported}},
		"a low-level packet twice":                   {func(s *story) { low := Event{Kind: Low, Text: "low"}; s.bob.Events = append(s.bob.Events, low, low) }, []Rule{NoDuplicate}},
		"lost in a master's death, but not that day": {func(s *story) { reportedLoss(s, 1012); s.group.Lossy[0].From, s.group.Lossy[0].To = 0, second }, []Rule{AckedIsStored, LossIsReported}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			tt.spoil(s)
			slices.Sort(tt.want)
			if diff := cmp.Diff(tt.want, s.broken()); diff != "" {
				t.Errorf("broken rules (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAWatchGetsTheRecallsOfMessagesThatItDoesNotHave(t *testing.T) {
	s := newStory()
	recallBefore(s)
	if len(s.broken()) == 0 {
		t.Fatal("a member gets such a recall, and no rule is broken")
	}
	for _, c := range s.group.Conns {
		c.Reader = Watch
	}
	if broken := s.broken(); len(broken) > 0 {
		t.Errorf("broken rules: %v", broken)
	}
}

func swap(c *Conn, i, j int) { c.Events[i], c.Events[j] = c.Events[j], c.Events[i] }

// recallBefore lets bob hear of a recall before he has the message.
func recallBefore(s *story) {
	s.group.Recalls[uuid(7)] = &Recall{UUID: uuid(7), Asked: sentAt(6), Done: sentAt(6)}
	s.group.Final[7].Text = ""
	s.group.Pages = nil
	tell := Event{At: sentAt(6), Kind: Recalled, UUID: uuid(7)}
	s.back.Events = slices.Insert(s.back.Events, 2, tell)
	s.ann.Events = append(s.ann.Events, tell)
	s.carl.Events = append(s.carl.Events, tell)
	s.carl.Events = s.carl.Events[:0]
	s.carl.Closed = true
	i := slices.IndexFunc(s.back.Events, func(e Event) bool { return e.Kind == Got && e.UUID == uuid(7) })
	s.back.Events = slices.Delete(s.back.Events, i, i+1)
}

// recalledEarly delivers to bob, who comes back, what was recalled before.
func recalledEarly(s *story) {
	s.group.Recalls[uuid(6)] = &Recall{UUID: uuid(6), Asked: sentAt(4), Done: sentAt(4) + second/2}
	s.group.Final[6].Text = ""
	s.group.Pages = nil
	s.ann.Events = append(s.ann.Events, Event{At: told, Kind: Recalled, UUID: uuid(6)})
	s.back.Events = append(s.back.Events, Event{At: told, Kind: Recalled, UUID: uuid(6)})
	s.carl.Closed, s.carl.Events = true, nil
}

// reportedLoss loses message 9 with its master, and ends those who had it.
func reportedLoss(s *story, code int) {
	s.masterDied(9)
	s.forget(9)
	s.group.Pages = nil
	for _, c := range []*Conn{s.ann, s.back, s.carl} {
		c.Events = append(c.Events, gone(sentAt(11)))
		c.Closed, c.ClosedAt, c.Code = true, sentAt(11), code
	}
	s.group.Conns = append(s.group.Conns, &Conn{
		Reader: WebSocket, Member: "bob", After: uuid(9), Dialed: sentAt(12), Opened: sentAt(12),
		Events: append([]Event{gone(sentAt(12))}, s.whole()...),
	})
}

// whole is the whole history, as a resume that cannot be had begins.
func (s *story) whole() []Event {
	var all []Event
	for _, e := range s.group.Final {
		if e.Text != "" {
			all = append(all, Event{At: sentAt(12), Kind: Got, UUID: e.UUID, Text: e.Text})
		}
	}
	return all
}

// TestAcksOfReplicasAllowNoLoss has the loss that is otherwise allowed: of an
// acked message, of one that members have got, and of a recall.
func TestAcksOfReplicasAllowNoLoss(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(s *story)
		want  []Rule
	}{
		"an acked message": {func(s *story) { reportedLoss(s, 1012) }, []Rule{AckedIsStored, LossIsReported}},
		"nothing":          {func(s *story) { s.masterDied(9) }, nil},
		"a low-level packet twice while a partition heals": {func(s *story) {
			s.masterDied(0)
			low := Event{At: sentAt(3), Kind: Low, Text: "low"}
			s.bob.Events = append(s.bob.Events, low, low)
		}, nil},
		"a recall that was answered": {func(s *story) {
			s.masterDied(4)
			s.group.Final[2].Text = text(2)
		}, []Rule{RecallErases}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			tt.spoil(s)
			slices.Sort(tt.want)
			_, violations := Check(&Recording{Groups: []*Group{s.group}, End: 60 * second, Replicated: true})
			if diff := cmp.Diff(tt.want, Rules(violations)); diff != "" {
				t.Errorf("broken rules (-want +got):\n%s", diff)
			}
		})
	}
}

func lateLoss(s *story) {
	reportedLoss(s, 1012)
	for _, c := range s.group.Conns[:4] {
		if n := len(c.Events) - 1; c.Events[n].Code == 410 {
			c.Events[n].At = sentAt(40)
		}
	}
}

func onAfterGone(s *story) {
	reportedLoss(s, 1012)
	s.carl.Events = append(s.carl.Events, Event{At: sentAt(12), Kind: Got, UUID: uuid(4), Text: text(4)})
}

func silentResume(s *story) {
	reportedLoss(s, 1012)
	last := s.group.Conns[4]
	last.Events = last.Events[1:]
}

// TestAPageMayHoldNothingButRecalledMessages asks for the newest message when that
// had been recalled.
func TestAPageMayHoldNothingButRecalledMessages(t *testing.T) {
	for size, want := range map[int][]Rule{1: nil, 2: {PagesAreHistory}} {
		s := newStory()
		s.group.Recalls[uuid(9)] = &Recall{UUID: uuid(9), Asked: sentAt(10), Done: sentAt(10)}
		s.group.Final[9].Text = ""
		for _, c := range []*Conn{s.ann, s.back, s.carl} {
			c.Events = append(c.Events, Event{At: sentAt(10), Kind: Recalled, UUID: uuid(9)})
		}
		s.group.Pages = []*Page{{Asked: sentAt(11), Answered: sentAt(11), Size: size}}
		if diff := cmp.Diff(want, s.broken()); diff != "" {
			t.Errorf("an empty page of %d (-want +got):\n%s", size, diff)
		}
	}
}

func TestALossThatIsReportedIsNoViolation(t *testing.T) {
	s := newStory()
	reportedLoss(s, 1012)
	summary, violations := Check(&Recording{Groups: []*Group{s.group}, End: 60 * second})
	for _, v := range violations {
		t.Errorf("%v", v)
	}
	if summary.Lost != 1 || summary.ResumesGone != 1 || summary.Gone != 3 {
		t.Errorf("lost %d, resumes told %d, closed with 410 %d; want 1, 1, 3", summary.Lost, summary.ResumesGone, summary.Gone)
	}
}

// Redis may lose a recall, too: then the message is back.
func TestALostRecallIsNoViolation(t *testing.T) {
	s := newStory()
	s.group.Final[2].Text = text(2)
	s.group.Pages[2].Texts = texts(2, 1, 0)
	s.group.Pages[1].Texts = texts(9, 8, 7, 6, 5, 4, 3, 2, 1)
	s.group.Lossy = []Span{{From: recalledAt - second, To: sentAt(7)}}
	for _, c := range []*Conn{s.ann, s.back, s.carl} {
		i := slices.IndexFunc(c.Events, func(e Event) bool { return e.At > sentAt(6) })
		cut(c, i, 1012)
		c.Events = append(c.Events, gone(sentAt(6)))
	}
	if rules := s.broken(); len(rules) > 0 {
		t.Errorf("broken: %q", rules)
	}
}

func TestAConnectionMayEndAnywhere(t *testing.T) {
	for n := range 6 {
		s := newStory()
		cut(s.back, n, 1001)
		cut(s.carl, min(n, 3), 0)
		if rules := s.broken(); len(rules) > 0 {
			t.Errorf("ended after %d events: %q", n, rules)
		}
	}
}

func TestAJoinMayBeginBeforeIt(t *testing.T) {
	s := newStory()
	s.carl.Events = slices.Insert(s.carl.Events, 0, got(4), got(5), recalled(2))
	if rules := s.broken(); len(rules) > 0 {
		t.Errorf("broken: %q", rules)
	}
}

// A join on an edge that lags may begin before a recall that was answered before the join.
func TestAJoinMayBeginBeforeARecall(t *testing.T) {
	lagging := func(recalledToo bool) *story {
		s := newStory()
		var before []Event
		for j := 2; j < 6; j++ {
			before = append(before, Event{At: sentAt(6), Kind: Got, UUID: uuid(j), Text: text(j)})
		}
		if recalledToo {
			before = append(before, Event{At: sentAt(6), Kind: Recalled, UUID: uuid(2)})
		}
		s.carl.Events = append(before, s.carl.Events...)
		return s
	}
	if got := lagging(true).broken(); len(got) > 0 {
		t.Errorf("with the recall: broken rules %q", got)
	}
	if got := lagging(false).broken(); !slices.Contains(got, RecallErases) {
		t.Errorf("without the recall: broken rules %q, want %q", got, RecallErases)
	}
}

func TestResendsAreAckedAgainAnywhereAfterTheMessage(t *testing.T) {
	s := newStory()
	s.ann.Closed, s.ann.ClosedAt = true, sentAt(10)
	m := s.group.Messages[uuid(3)]
	m.Sends = append(m.Sends, Send{At: sentAt(8), Conn: s.back})
	s.back.Events = slices.Insert(s.back.Events, 5, Event{At: sentAt(8), Kind: Ack, UUID: uuid(3)})
	if rules := s.broken(); len(rules) > 0 {
		t.Errorf("broken: %q", rules)
	}
}
