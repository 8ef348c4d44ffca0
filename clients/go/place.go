package gotapi

// maxTold bounds what a place remembers; beyond, a resume may repeat recalls.
const maxTold = 10_000

// place is where a member stands in its group's stream, so that the next
// connection can go on exactly there. It is the reader's alone.
//
// The server resumes after a message: `?after=U` brings all that is stored after
// U, and the recalls made since U was stored. What came after U without moving the place
// is remembered here and left out when it comes a second time: recalls, messages
// without a uuid, own messages whose ack stood elsewhere.
type place struct {
	after string
	// beginning: the group was empty when the member came, so that the whole
	// history is what it has missed.
	beginning bool

	told      map[string]struct{} // recalled since after
	own       map[string]struct{} // acked out of their place since after
	anonymous int                 // without uuid, since after
	skip      int                 // of these, still to come again on this connection
}

// moveTo is for a message delivered, or acked in its place.
func (p *place) moveTo(uuid string) {
	p.after, p.beginning = uuid, false
	p.anonymous, p.skip = 0, 0
	clear(p.told)
	clear(p.own)
}

// known says whether there is a place to resume from.
func (p *place) known() bool { return p.after != "" || p.beginning }

// resumed is for a new connection that goes on from here.
func (p *place) resumed() { p.skip = p.anonymous }

// lost is for code 410: the whole history follows.
func (p *place) lost() { *p = place{after: p.after, told: p.told, own: p.own} }

// message says whether a message is new to the member.
func (p *place) message(uuid string) bool {
	if uuid == "" {
		if p.skip > 0 {
			p.skip--
			return false
		}
		p.anonymous++
		return true
	}
	_, mine := p.own[uuid]
	return !mine
}

// recalled says whether a recall is new to the member.
func (p *place) recalled(uuid string) bool {
	if _, known := p.told[uuid]; known {
		return false
	}
	p.told = remember(p.told, uuid)
	return true
}

// ackedElsewhere is for the ack of a message that was sent more than once: it
// may stand after the message's place.
func (p *place) ackedElsewhere(uuid string) { p.own = remember(p.own, uuid) }

func remember(set map[string]struct{}, uuid string) map[string]struct{} {
	if set == nil {
		set = make(map[string]struct{})
	}
	if len(set) >= maxTold {
		clear(set)
	}
	set[uuid] = struct{}{}
	return set
}
