package room

import (
	"slices"

	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Who sends a message again, because its ack was lost with a connection, may not
// know that it has been recalled meanwhile: the recall follows the ack then. It is
// told once, so both the room and the member remember who was told of what. The
// bounds are generous: beyond them somebody is told twice.
const (
	maxRecalls = 64
	maxTold    = 256
)

// recalls are the last ones that a room has told its members of.
type recalls struct {
	last []recall
	next int // of last, once it is full
}

// recall is the number of a recall, and which message it recalled.
type recall struct{ number, target uint64 }

func (r *recalls) add(e *stream.Event) {
	if e.Kind != stream.Recall || e.Silent {
		return
	}
	if len(r.last) < maxRecalls {
		r.last = append(r.last, recall{e.Recalls, e.Target})
		return
	}
	r.last[r.next] = recall{e.Recalls, e.Target}
	r.next = (r.next + 1) % maxRecalls
}

// knowsOfRecall says whether m was told that the message at seq was recalled. What
// the room has told its members does not hold for one that has resumed: it may
// have got the message in another way.
func (m *Member) knowsOfRecall(seq uint64) bool {
	return slices.Contains(m.told, seq) || !m.Resumes() && slices.ContainsFunc(m.room.recalls.last, func(r recall) bool {
		return r.target == seq && r.number > m.since
	})
}

// tell notes that m is told of the recall of the message at seq. 0 stands for any
// message that has no number.
func (m *Member) tell(seq uint64) {
	if seq == 0 {
		return
	}
	if len(m.told) == maxTold {
		m.told = slices.Delete(m.told, 0, 1)
	}
	m.told = append(m.told, seq)
}
