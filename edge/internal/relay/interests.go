package relay

import (
	"cmp"
	"slices"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// interestOverhead is what an interest occupies on the wire beside its group,
// in bytes, at most.
const interestOverhead = 64

// interests are the channels of one stream that wait to be opened and to be ended.
// The two need no order among each other: a channel that ends before it was opened
// is in neither. So they are bounded: one for each group that has, or had on this stream,
// members.
type interests struct{ opens, ends []*relayv1.Interest }

// open adds a channel. The numbers of those that wait rise.
func (i *interests) open(channel *relayv1.Interest) {
	at, _ := i.find(channel.GetChannel())
	i.opens = slices.Insert(i.opens, at, channel)
}

func (i *interests) find(channel uint32) (at int, waits bool) {
	return slices.BinarySearchFunc(i.opens, channel, func(o *relayv1.Interest, channel uint32) int {
		return cmp.Compare(o.GetChannel(), channel)
	})
}

func (i *interests) end(channel uint32) {
	if at, waits := i.find(channel); waits {
		i.opens = slices.Delete(i.opens, at, at+1)
		return
	}
	i.ends = append(i.ends, &relayv1.Interest{Channel: channel})
}

// take removes and returns as many as fit into a frame.
func (i *interests) take() []*relayv1.Interest {
	from := &i.opens
	if len(*from) == 0 {
		from = &i.ends
	}
	size, n := 0, 0
	for n < len(*from) && (n == 0 || size < maxFrameBytes) {
		size += len((*from)[n].GetGroup()) + interestOverhead
		n++
	}
	taken := (*from)[:n:n]
	*from = (*from)[n:]
	if len(*from) == 0 {
		*from = nil
	}
	return taken
}
