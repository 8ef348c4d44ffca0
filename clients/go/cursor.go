package gotapi

// maxRemembered bounds each set of a cursor; beyond it, a resume may repeat recalls.
const maxRemembered = 10_000

// cursor is a member's position in its group's stream, from which the next
// connection resumes. Only the reader uses it.
//
// The server resumes after a message: `?after=U` brings all messages stored after U,
// and the recalls made since U was stored. The cursor remembers what the member has
// seen since U that did not move it, and leaves that out when it comes again: recalls,
// messages without a uuid, and own messages that were acked out of order.
type cursor struct {
	after string
	// The group was empty when the member joined: it resumes from the beginning.
	beginning bool

	recalled  map[string]struct{} // since after
	own       map[string]struct{} // acked out of order since after
	anonymous int                 // messages without a uuid since after
	skip      int                 // how many of these come again on this connection
}

// isSet reports whether there is a position to resume from.
func (c *cursor) isSet() bool { return c.after != "" || c.beginning }

// advance moves c to a message that was delivered, or acked in order.
func (c *cursor) advance(uuid string) {
	c.after, c.beginning = uuid, false
	c.anonymous, c.skip = 0, 0
	clear(c.recalled)
	clear(c.own)
}

// resume prepares c for a connection that resumes from it.
func (c *cursor) resume() { c.skip = c.anonymous }

// reset prepares c for the whole history, which follows code 410.
func (c *cursor) reset() { *c = cursor{after: c.after, recalled: c.recalled, own: c.own} }

// isNewMessage reports whether the member has not seen a message yet.
func (c *cursor) isNewMessage(uuid string) bool {
	if uuid == "" {
		if c.skip > 0 {
			c.skip--
			return false
		}
		c.anonymous++
		return true
	}
	_, mine := c.own[uuid]
	return !mine
}

// isNewRecall reports whether the member has not seen a recall yet.
func (c *cursor) isNewRecall(uuid string) bool {
	if _, known := c.recalled[uuid]; known {
		return false
	}
	c.recalled = remember(c.recalled, uuid)
	return true
}

// skipOwn leaves out an own message that was sent more than once: its ack may
// come after the message's position.
func (c *cursor) skipOwn(uuid string) { c.own = remember(c.own, uuid) }

func remember(set map[string]struct{}, uuid string) map[string]struct{} {
	if set == nil {
		set = make(map[string]struct{})
	}
	if len(set) >= maxRemembered {
		clear(set)
	}
	set[uuid] = struct{}{}
	return set
}
