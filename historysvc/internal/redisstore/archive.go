package redisstore

import (
	"strconv"
	"sync"

	"github.com/gotapi/gotapi-ws/wire/group"
)

// The archive is a stream (XADD) of all that is stored and recalled. The scripts
// that store and recall write it, so an entry is there if and only if its message
// or recall is. Fields of an entry:
//
//	kind   "message" or "recall"
//	group  the group's name
//	epoch  16 hexadecimal digits, as in {G}:m
//	seq    number of the message, dense in its group and epoch
//	text   of a message: what was stored
//	uuid   of a recall: whose message it recalls
//
// It is trimmed to about Options.Archive entries, oldest first. A recall erases
// the text in the group's list, not here: that is what an archive is for.
const archivePrefix = "$$/archive/$$"

// archiveKey is the stream of a group's entries: one for all groups or, in a
// Cluster, where a script's keys are in one slot, one for each slot.
func (s *Store) archiveKey(g group.Name) string {
	if !s.cluster {
		return archivePrefix
	}
	return archivePrefix + "{" + slotTags()[slot(g)] + "}"
}

// slotTags returns for each slot the lowest number, in decimal, that is in it.
var slotTags = sync.OnceValue(func() (tags [slots]string) {
	for n, missing := 0, slots; missing > 0; n++ {
		tag := strconv.Itoa(n)
		if at := &tags[slot(group.Name(tag))]; *at == "" {
			*at = tag
			missing--
		}
	}
	return tags
})
