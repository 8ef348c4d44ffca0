package room

import "slices"

// remembered is how many publications of a member are remembered. A session has
// fewer unanswered ones, unless broadcasts overtake a message by that many.
const remembered = 256

// placed remembers, by number, which of a member's newest publications were
// acked in their message's place. When the relay sends a publication again, its
// receipt says "duplicate" although the message is its own: the ack in place is
// then the only one. The zero placed is ready to use.
type placed struct {
	newest uint32
	// Bit n%remembered is for number n.
	bits [remembered / 64]uint64
}

func (p *placed) add(number uint32) {
	if number > p.newest {
		for n := max(p.newest+1, number-min(number, remembered-1)); n < number; n++ {
			p.bits[n%remembered/64] &^= 1 << (n % 64)
		}
		p.newest = number
	}
	if p.newest-number < remembered {
		p.bits[number%remembered/64] |= 1 << (number % 64)
	}
}

func (p *placed) has(number uint32) bool {
	return number <= p.newest && p.newest-number < remembered && p.bits[number%remembered/64]&(1<<(number%64)) != 0
}

// ackedInPlace notes that the ack of a publication was queued where its message
// stands. No other one is due for it.
func (m *Member) ackedInPlace(number uint32) {
	m.placed.add(number)
	if len(m.owed) > 0 {
		m.owed = slices.DeleteFunc(m.owed, func(o owed) bool { return o.number == number })
	}
}
