package ws

// shareOf is the part of an Outbox's limits that one Share may have.
const shareOf = 4

// runBytes is up to how much of a Share is given back at once.
const runBytes = 16 << 10

// Share is what one of the members that use an Outbox has in its queue. The zero Share
// has nothing. It belongs to one Outbox, whose lock guards it.
type Share struct{ frames, bytes int32 }

// size is what frames take of the limits.
type size struct{ frames, bytes int }

// run is some frames that count in one Share.
type run struct {
	share *Share
	Share // what they count
	// Which of all frames ever queued is the last of them.
	last uint64
}

// ShareOut lets the peer's members have shares. It comes before all else.
func (o *Outbox) ShareOut() { o.shared = true }

// Offer queues frames for a member, of which so many bytes are for this member alone.
// It returns false, and queues nothing, if they do not fit into s, which may have a
// quarter of the limits, or into the limits. Of a nil Share it is Deliver.
func (o *Outbox) Offer(s *Share, frames []Frame, own int, bulk bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s != nil && !o.fits(s, len(frames), o.weightOf(frames)) {
		return false
	}
	o.enqueue(s, bulk, int64(own), frames...)
	return true
}

// Push is Offer for frames that must not be refused. They are few and small.
func (o *Outbox) Push(s *Share, frames []Frame, own int, bulk bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.enqueue(s, bulk, int64(own), frames...)
}

// Fits reports whether Offer would queue so many frames of so many bytes. It is true of a
// nil Share, to which nothing is refused.
func (o *Outbox) Fits(s *Share, frames, bytes int) bool {
	if s == nil {
		return true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fits(s, frames, min(bytes, frames*(o.limits.Bytes/shareOf)))
}

// fits needs the lock. An Outbox that is ending takes everything, and drops it.
func (o *Outbox) fits(s *Share, frames, bytes int) bool {
	return o.phase != open || o.frames+frames <= o.limits.Frames && o.bytes+bytes <= o.limits.Bytes &&
		int(s.frames)+frames <= o.limits.Frames/shareOf && int(s.bytes)+bytes <= o.limits.Bytes/shareOf
}

// hasRoom reports whether s is half empty, and the queue has room for a frame of any
// size. The caller holds the lock.
func (o *Outbox) hasRoom(s *Share) bool {
	if s == nil {
		return o.isHalfEmpty()
	}
	const rest = shareOf - 1
	return int(s.frames) <= o.limits.Frames/shareOf/2 && int(s.bytes) <= o.limits.Bytes/shareOf/2 &&
		o.frames <= o.limits.Frames/shareOf*rest && o.bytes <= o.limits.Bytes/shareOf*rest
}

// attribute counts frames that were just queued in s. The caller holds the lock.
func (o *Outbox) attribute(s *Share, frames []Frame) {
	n := Share{frames: int32(len(frames)), bytes: int32(o.weightOf(frames))}
	s.frames += n.frames
	s.bytes += n.bytes
	last := o.written + uint64(o.frames)
	if i := len(o.runs) - 1; i >= 0 && o.runs[i].share == s && o.runs[i].bytes+n.bytes <= runBytes {
		r := &o.runs[i]
		r.frames += n.frames
		r.bytes += n.bytes
		r.last = last
		return
	}
	o.runs = append(o.runs, run{share: s, Share: n, last: last})
}

// freeShares gives back what was written. The caller holds the lock.
func (o *Outbox) freeShares() {
	done := 0
	for ; done < len(o.runs) && o.runs[done].last <= o.written; done++ {
		r := &o.runs[done]
		r.share.frames -= r.frames
		r.share.bytes -= r.bytes
	}
	left := copy(o.runs, o.runs[done:])
	clear(o.runs[left:])
	if o.runs = o.runs[:left]; left == 0 && cap(o.runs) > keepFrames {
		o.runs = nil
	}
}
