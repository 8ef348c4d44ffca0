package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Rule is a promise that can be broken.
type Rule string

// The rules.
const (
	AckedIsStored      Rule = "every acked message is in the history"
	StoredOnce         Rule = "no message is in the history twice"
	NothingForeign     Rule = "only what was sent to a group is stored and delivered there"
	RefusedIsNotStored Rule = "what is refused with 503 is not stored"
	InOrder            Rule = "a stream follows the order of the history"
	NoHole             Rule = "a stream has no holes"
	NoDuplicate        Rule = "a stream has nothing twice"
	AckInPlace         Rule = "an ack takes its message's place in the stream"
	AckedOnce          Rule = "one send has one ack"
	EverySendAnswered  Rule = "every send is acked or refused"
	JoinIsPrompt       Rule = "what is sent after the join is received"
	ResumeIsExact      Rule = "a resume goes on exactly where it says"
	LossIsReported     Rule = "a loss is reported: 410, then the end of the connection"
	NoFalseAlarm       Rule = "410 only if Redis may have lost something"
	RecallIsDelivered  Rule = "every member that has a message gets its recall, once, and after it"
	RecallErases       Rule = "a recalled message is in no later page or stream"
	PositionsAgree     Rule = "a position is of one event, an event has one position"
	PagesAreHistory    Rule = "a page is a part of the history, and up to date"
)

// Violation is a broken promise.
type Violation struct {
	Rule  Rule
	Group string
	// The connection that showed it; nil if none did.
	Conn   *Conn
	Detail string
}

func (v Violation) String() string {
	where := ""
	if c := v.Conn; c != nil {
		where = fmt.Sprintf(" [%s on %s, opened at %.3f s]", c.Member, c.Edge, c.Opened.Seconds())
	}
	return fmt.Sprintf("%s: %s%s: %s", v.Rule, v.Group, where, v.Detail)
}

// Summary counts what a recording held.
type Summary struct {
	// Messages that were sent; of those, acked ones; sends; refusals.
	Messages, Acked, Sends, Refusals int
	// Connections, of those resumes, and resumes that were refused with 410.
	Conns, Resumes, ResumesGone int
	// Connections closed with 410.
	Gone int
	// Data packets and acks that members received, and recalls.
	Deliveries, RecallsDelivered int
	Recalls, Pages               int
	// Acked messages that Redis lost, as it may, and whose loss was reported.
	Lost int
}

// Add adds up two recordings.
func (s *Summary) Add(o Summary) {
	s.Messages += o.Messages
	s.Acked += o.Acked
	s.Sends += o.Sends
	s.Refusals += o.Refusals
	s.Conns += o.Conns
	s.Resumes += o.Resumes
	s.ResumesGone += o.ResumesGone
	s.Gone += o.Gone
	s.Deliveries += o.Deliveries
	s.RecallsDelivered += o.RecallsDelivered
	s.Recalls += o.Recalls
	s.Pages += o.Pages
	s.Lost += o.Lost
}

// Check returns what was recorded, and every promise that was broken.
func Check(r *Recording) (Summary, []Violation) {
	var total Summary
	var all []Violation
	for _, g := range r.Groups {
		c := newChecker(g, r)
		c.run()
		total.Add(c.summary)
		all = append(all, c.violations...)
	}
	return total, all
}

// Rules names the rules that were broken, each once.
func Rules(violations []Violation) []Rule {
	seen := make(map[Rule]bool)
	for _, v := range violations {
		seen[v.Rule] = true
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b Rule) int { return strings.Compare(string(a), string(b)) })
}
