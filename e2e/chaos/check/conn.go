package check

import "slices"

// walk follows one connection's events along the history.
type walk struct {
	*checker
	conn *Conn
	// The place of the last event of the stream, and whether it is known. The
	// place of a resume is known from the start.
	at    int
	known bool
	// The first event of the stream; -1: none yet.
	first int
	// What the connection has got in its place, and when.
	have map[string]Time
	// Recalls that it has got, by message.
	recallsGot map[string]bool
	lows       map[string]bool
	acks       map[string]int
	// The first event that does not follow: Redis lost something, or the
	// server broke a promise. What comes after it is not compared.
	fork   *Event
	forked []violationAt
	// 410 came, before which there were goneN events; and, on a resume, the one
	// that says that it cannot be had.
	gone bool
	// When the stream began: with the first of the connections that it goes through without a
	// gap, or after the last gap. And whether this connection had one.
	begun  Time
	gapped bool
	// How many of its events are of the stream.
	items       int
	goneN       int
	startedOver *Event
}

type violationAt struct {
	at Time
	v  Violation
}

// conn checks one connection.
func (c *checker) conn(conn *Conn) {
	w := &walk{
		checker: c, conn: conn, first: -1,
		have: make(map[string]Time), recallsGot: make(map[string]bool), lows: make(map[string]bool), acks: make(map[string]int),
	}
	w.begun = conn.Opened
	c.walks[conn] = w
	switch {
	case conn.After != "":
		c.summary.Resumes++
		w.resume()
	case conn.Prev != nil:
		c.summary.Resumes++
		w.goesOn(c.walks[conn.Prev])
	}
	for i := range conn.Events {
		w.event(i, &conn.Events[i])
	}
	w.finish()
}

// resume begins after the message that the member named.
func (w *walk) resume() {
	at, ok := w.place[w.conn.After]
	first := w.conn.firstOfStream()
	switch {
	case first != nil && first.Kind == Refused:
		w.summary.ResumesGone++
		w.at, w.known, w.startedOver = -1, true, first
	case ok:
		w.at, w.known = at, true
	case first != nil:
		w.forks(first, LossIsReported, "resumed after %s, which is not in the history, without 410", w.conn.After)
	}
}

// goesOn begins where another connection has ended: both are one stream.
func (w *walk) goesOn(prev *walk) {
	first := w.conn.firstOfStream()
	switch {
	case first == nil || first.Kind == Gap:
	case prev.fork != nil:
		w.forks(first, LossIsReported, "went on after %s, which does not follow, without a gap", prev.fork.UUID)
	}
	if prev.fork != nil && w.fork == nil {
		w.fork = prev.fork // until there is a gap
	}
	w.at, w.known, w.first, w.begun = prev.at, prev.known, prev.first, prev.begun
	w.have, w.recallsGot = prev.have, prev.recallsGot
}

// gap begins a new stream: what was lost is known to be lost.
func (w *walk) gap(i int, e *Event) {
	if !w.lossyBefore(e.At) {
		w.violate(NoFalseAlarm, w.conn, "got a gap at %.3f s", e.At.Seconds())
	}
	if i == 0 && w.conn.Prev != nil {
		w.summary.ResumesGone++
	} else {
		w.summary.Gone++
	}
	w.explain(e.At, true)
	w.fork, w.forked, w.known, w.first, w.at = nil, nil, false, -1, 0
	w.have, w.recallsGot = make(map[string]Time), make(map[string]bool)
	w.begun, w.gapped = e.At, true
}

// firstOfStream is the first event but for refusals of what was sent.
func (c *Conn) firstOfStream() *Event {
	for i := range c.Events {
		if e := &c.Events[i]; e.Kind != Refused || e.UUID == "" {
			return e
		}
	}
	return nil
}

func (w *walk) event(i int, e *Event) {
	if e.Pos != "" {
		w.position(e)
	}
	switch e.Kind {
	case Got, Ack:
		w.summary.Deliveries++
		w.item(i, e)
	case Gap:
		w.gap(i, e)
	case Recalled:
		w.summary.RecallsDelivered++
		w.recalled(e)
	case Refused:
		w.refusal(i, e)
	case Low:
		w.low(e)
	case Foreign:
		w.violate(NothingForeign, w.conn, "got %.200q", e.Text)
	}
}

// position checks that all readers have an event at the same place.
func (w *walk) position(e *Event) {
	if e.Kind == Gap || w.lossy(e.At) {
		return // what is lost may be stored again elsewhere
	}
	key := eventKey{e.UUID, e.Kind == Recalled}
	if was, ok := w.events[e.Pos]; ok && was != key {
		w.violate(PositionsAgree, w.conn, "%s is after %+v and after %+v", e.Pos, was, key)
	}
	if was, ok := w.positions[key]; ok && was != e.Pos {
		w.violate(PositionsAgree, w.conn, "%+v has the positions %s and %s", key, was, e.Pos)
	}
	w.events[e.Pos], w.positions[key] = key, e.Pos
}

// item checks a message, or the ack that takes its place.
func (w *walk) item(i int, e *Event) {
	m := w.Messages[e.UUID]
	if m == nil {
		w.violate(NothingForeign, w.conn, "got %s, which was never sent here: %.200q", e.UUID, e.Text)
		return
	}
	if e.Kind == Got && e.Text != m.Text {
		w.violate(NothingForeign, w.conn, "%s was changed: sent %.200q, got %.200q", e.UUID, m.Text, e.Text)
	}
	if r := w.Recalls[e.UUID]; e.Kind == Got && (w.recallsGot[e.UUID] || r != nil && r.Done > 0 && r.Done < w.conn.Dialed && !w.lossy(r.Done) && !w.recallFollows(i, e.UUID)) {
		w.violate(RecallErases, w.conn, "got %s at %.3f s, which had been recalled", e.UUID, e.At.Seconds())
	}
	sends := w.sendsHere(m)
	if e.Kind == Got && sends == len(m.Sends) && sends > 0 && !w.mayComeBack(m) {
		w.violate(AckInPlace, w.conn, "the sender of %s got it back", e.UUID)
	}
	if e.Kind == Ack {
		w.acks[e.UUID]++
		if w.acks[e.UUID] > sends {
			w.violate(AckedOnce, w.conn, "%s was sent %d times here and acked %d times", e.UUID, sends, w.acks[e.UUID])
		}
		switch {
		case !w.conn.Reader.Positions:
			if w.acksAgain(e, m, sends) {
				return
			}
		case e.Pos == "":
			w.placeless(e)
			return
		}
	}
	w.move(e)
}

// recallFollows reports whether a message is shown as it was before its recall, and the
// recall in its place: an edge that lags behind does so, where a stream begins or goes on.
// With ?after= it never does: that reads the store.
func (w *walk) recallFollows(i int, uuid string) bool {
	return (w.conn.Reader.Positions || w.conn.After == "") && slices.ContainsFunc(w.conn.Events[i+1:], func(e Event) bool {
		return e.Kind == Recalled && e.UUID == uuid
	})
}

// mayComeBack reports whether the connection may get its own message: with Positions, one
// whose answer was that the outcome is unknown, or which a gap has passed.
func (w *walk) mayComeBack(m *Message) bool {
	return w.conn.Reader.Positions && (w.gapped || w.answers[answerKey{w.conn, m.UUID}][unknown] > 0)
}

// placeless checks an ack without a position: of a duplicate, after the first copy; or of
// what was sent before a gap, or after the membership's end.
func (w *walk) placeless(e *Event) {
	if w.gapped || w.conn.Closed && e.At >= w.conn.ClosedAt {
		return
	}
	at, isStored := w.place[e.UUID]
	switch {
	case !e.Duplicate && !w.lossy(e.At):
		w.violate(AckInPlace, w.conn, "the ack of %s at %.3f s has no position, and is no duplicate's", e.UUID, e.At.Seconds())
	case w.known && w.fork == nil && isStored && w.missing(w.at, at+1, e.At) >= 0 && !w.lossy(e.At):
		w.violate(AckInPlace, w.conn, "the duplicate %s (place %d) was acked at %.3f s; the last place was %d", e.UUID, at, e.At.Seconds(), w.at)
	}
}

// acksAgain reports whether this is the ack of a message that was stored before it
// was sent here again. Such an ack comes anywhere after the message.
func (w *walk) acksAgain(e *Event, m *Message, sends int) bool {
	if _, ok := w.have[e.UUID]; ok {
		return true
	}
	if sends == len(m.Sends) {
		return false
	}
	at, stored := w.place[e.UUID]
	if !w.known {
		return true // whether it is the first event is not to be known
	}
	return stored && at <= w.at
}

func (w *walk) sendsHere(m *Message) int {
	n := 0
	for _, s := range m.Sends {
		if s.Conn == w.conn {
			n++
		}
	}
	return n
}

// move goes on to the place of e.
func (w *walk) move(e *Event) {
	w.items++
	_, twice := w.have[e.UUID]
	if !twice {
		w.have[e.UUID] = e.At
	}
	if w.fork != nil {
		if twice {
			w.forks(e, NoDuplicate, "%s came twice", e.UUID)
		}
		return
	}
	at, stored := w.place[e.UUID]
	switch {
	case twice:
		w.forks(e, NoDuplicate, "%s came twice, the second time at %.3f s", e.UUID, e.At.Seconds())
	case !stored:
		w.forks(e, LossIsReported, "got %s at %.3f s, which is not in the history", e.UUID, e.At.Seconds())
	case e.Seq != 0 && e.Seq != uint64(at)+1:
		w.forks(e, InOrder, "%s has the number %d, and is at place %d", e.UUID, e.Seq, at)
	case !w.known:
		w.at, w.known, w.first = at, true, at
		w.began(e, at)
	case at <= w.at:
		w.forks(e, InOrder, "%s (place %d) came after place %d", e.UUID, at, w.at)
	default:
		w.skip(e, at)
		if w.fork == nil {
			w.at = at
		}
	}
}

// skip checks the places between the last event and this one: only messages that were
// recalled before it could be delivered.
func (w *walk) skip(e *Event, to int) {
	i := w.missing(w.at, to, e.At)
	if i < 0 {
		return
	}
	rule := NoHole
	switch {
	case (w.conn.After != "" || w.conn.Prev != nil && !w.gapped) && w.items <= 1:
		rule = ResumeIsExact
	case e.Kind == Ack:
		rule = AckInPlace
	}
	w.forks(e, rule, "%s (place %d) came at %.3f s without %s (place %d); the last place was %d",
		e.UUID, to, e.At.Seconds(), w.Final[i].UUID, i, w.at)
}

// missing returns the first place between two that was not recalled before a time; -1: none.
func (w *walk) missing(from, to int, before Time) int {
	for i := from + 1; i < to; i++ {
		r := w.Recalls[w.Final[i].UUID]
		if w.Final[i].Text != "" || r == nil || r.Asked >= before {
			return i
		}
	}
	return -1
}

// forks notes an event that does not follow. If Redis may have lost something
// then, and the connection ends soon, that is as promised.
func (w *walk) forks(e *Event, rule Rule, format string, args ...any) {
	if w.fork == nil {
		w.fork = e
	}
	n := len(w.violations)
	w.violate(rule, w.conn, format, args...)
	w.forked = append(w.forked, violationAt{e.At, w.violations[n]})
	w.violations = w.violations[:n]
}

// began checks where a stream without ?after= begins: somewhere before everything that
// was sent after the join. On an edge that lags behind, that may be a while before.
func (w *walk) began(e *Event, at int) {
	for i := at - 1; i >= 0; i-- {
		before := w.Final[i]
		if sent, ok := w.firstSent(before.UUID); ok && before.Text != "" && sent > w.begun && !w.lossy(sent) {
			w.violate(JoinIsPrompt, w.conn, "the first event is %s (place %d); %s (place %d) was sent at %.3f s, after the join", e.UUID, at, before.UUID, i, sent.Seconds())
			return
		}
	}
}

// refusal takes the refusal of a send, or 410: messages of the stream were lost.
func (w *walk) refusal(i int, e *Event) {
	if e.UUID != "" {
		w.checker.refused(w.conn, e.UUID, e.Code, refusals[e.Code])
		return
	}
	if e.Code != 410 {
		w.violate(NothingForeign, w.conn, "got an error %d without a uuid", e.Code)
		return
	}
	if !w.lossyBefore(e.At) {
		w.violate(NoFalseAlarm, w.conn, "got 410 at %.3f s", e.At.Seconds())
	}
	if e == w.startedOver {
		return
	}
	w.summary.Gone++
	w.gone, w.goneN = true, i+1
}

// lossyBefore reports whether Redis may have lost something up to that time.
func (w *walk) lossyBefore(at Time) bool {
	for _, s := range w.Lossy {
		if s.From <= at {
			return true
		}
	}
	return false
}

// low checks a packet that is not stored. When a partition between the nodes of a
// Cluster heals, their bus may bring once more what was published in the midst of
// it; such a packet has no place by which it could be known.
func (w *walk) low(e *Event) {
	if w.lows[e.Text] && !w.lossy(e.At) {
		w.violate(NoDuplicate, w.conn, "low-level packet twice: %.200q", e.Text)
	}
	w.lows[e.Text] = true
}

func (w *walk) recalled(e *Event) {
	r := w.Recalls[e.UUID]
	if r == nil || r.Asked > e.At {
		w.violate(NothingForeign, w.conn, "got a recall of %s at %.3f s, which had not been asked for", e.UUID, e.At.Seconds())
		return
	}
	if w.recallsGot[e.UUID] {
		w.violate(RecallIsDelivered, w.conn, "got the recall of %s twice", e.UUID)
	}
	w.recallsGot[e.UUID] = true
	_, have := w.have[e.UUID]
	at, stored := w.place[e.UUID]
	if w.conn.Reader.Positions {
		w.recallInPlace(e)
	}
	if w.fork != nil || have || !stored || w.conn.Reader.AllRecalls {
		return
	}
	if begin, ok := w.begin(); ok && at > begin {
		w.violate(RecallIsDelivered, w.conn, "got the recall of %s (place %d) at %.3f s without the message; the stream is at %d", e.UUID, at, e.At.Seconds(), w.at)
	}
}

// recallInPlace checks that a recall comes after its message, or after where that was.
func (w *walk) recallInPlace(e *Event) {
	w.items++
	at, isStored := w.place[e.UUID]
	switch {
	case w.fork != nil || !isStored:
	case e.Seq != uint64(at)+1:
		w.forks(e, InOrder, "the recall of %s has the number %d, and that is at place %d", e.UUID, e.Seq, at)
	case w.known && at > w.at:
		w.skip(e, at)
		if w.fork == nil {
			w.at = at
		}
	}
}

// begin is the place before the first event of the stream.
func (w *walk) begin() (int, bool) {
	switch {
	case w.first >= 0:
		return w.first - 1, true
	case w.conn.After != "" && w.known:
		if at, ok := w.place[w.conn.After]; ok {
			return at, true
		}
	}
	return 0, false
}

// finish checks the connection as a whole.
func (w *walk) finish() {
	if n := len(w.conn.Events); n > 0 {
		w.explain(w.conn.Events[n-1].At, w.conn.Closed)
	}
	if w.gone {
		w.end410()
	}
	if w.fork != nil || w.gone {
		return
	}
	if !w.conn.Closed {
		w.reachedTheEnd()
	}
	w.recallsDelivered()
}

// explain drops what was noted where the stream forked, if Redis may have lost
// something and the stream ended in time: its last event came at that time.
func (w *walk) explain(last Time, ended bool) {
	if len(w.forked) == 0 {
		return
	}
	for _, s := range w.Lossy {
		if s.holds(w.fork.At) && s.holds(last) && ended && !w.replicated {
			return
		}
	}
	for _, f := range w.forked {
		w.violations = append(w.violations, f.v)
	}
}

// end410 checks that nothing of the stream follows 410, and how the connection
// ended.
func (w *walk) end410() {
	for _, e := range w.conn.Events[w.goneN:] {
		if e.Kind == Got || e.Kind == Recalled {
			w.violate(LossIsReported, w.conn, "got %s after 410", e.UUID)
			return
		}
	}
	if want := w.conn.Reader.LossCode; w.conn.Code != 0 && w.conn.Code != want || !w.conn.Closed {
		w.violate(LossIsReported, w.conn, "closed with %d after 410, want %d", w.conn.Code, want)
	}
}

// reachedTheEnd checks a connection that was open when all had been said.
func (w *walk) reachedTheEnd() {
	last := len(w.Final) - 1
	for last >= 0 && w.Final[last].Text == "" {
		last--
	}
	if last < 0 {
		return
	}
	if !w.known {
		if sent, ok := w.firstSent(w.Final[last].UUID); ok && sent > w.begun {
			w.violate(NoHole, w.conn, "got nothing, not even the last message %s", w.Final[last].UUID)
		}
		return
	}
	if w.at < last {
		w.violate(NoHole, w.conn, "stopped at place %d; the last message %s is at %d", w.at, w.Final[last].UUID, last)
	}
}

// recallsDelivered checks that the connection heard of every recall that concerns it.
func (w *walk) recallsDelivered() {
	for uuid, r := range w.Recalls {
		if w.recallsGot[uuid] || r.Done == 0 || w.lossy(r.Done) {
			continue
		}
		at, stored := w.place[uuid]
		got, have := w.have[uuid]
		switch {
		case !stored:
		case w.conn.Reader.Positions && r.Asked > w.begun:
			w.mustHaveRecall(r)
		case have && got < r.Done:
			w.mustHaveRecall(r)
		case have:
			// It came after the recall was answered, which happens to a slow
			// stream; the recall still follows.
			w.mustHaveRecall(r)
		case w.conn.After != "" && w.known:
			after, ok := w.place[w.conn.After]
			if acked, was := w.acked[w.conn.After]; ok && was && at <= after && r.Asked > acked {
				w.mustHaveRecall(r)
			}
		}
	}
}

// mustHaveRecall reports a recall that the connection should have heard of: it
// lived to the end, or got something that was sent after the recall.
func (w *walk) mustHaveRecall(r *Recall) {
	if !w.conn.Closed {
		w.violate(RecallIsDelivered, w.conn, "never got the recall of %s at %.3f s", r.UUID, r.Done.Seconds())
		return
	}
	for i := range w.conn.Events {
		e := &w.conn.Events[i]
		if e.Kind != Got && e.Kind != Ack || w.have[e.UUID] != e.At {
			continue
		}
		if sent, ok := w.firstSent(e.UUID); ok && sent > r.Done {
			w.violate(RecallIsDelivered, w.conn, "did not get the recall of %s at %.3f s, but got %s, which was sent at %.3f s", r.UUID, r.Done.Seconds(), e.UUID, sent.Seconds())
			return
		}
	}
}
