// Package layout defines how groups are kept in Redis: the names of keys and
// channels, and the bytes that Go and the Lua scripts exchange. It does no I/O.
package layout

import "github.com/gotapi/gotapi-ws/wire/group"

// Keys are the names of everything that Redis holds for one group G, all in
// one hash slot. Group names have no braces.
//
//	G        list    packet texts, newest first; a recalled one is a tombstone.
//	                 Lives for the group's ttl after its last message.
//	{G}:m    hash    the counters, below. This and the others: ttl + 10 to 20 minutes.
//	{G}:l    list    per message an Entry: link, origin, time and author; aligned with G, at
//	                 most cap + 1. The last may belong to the place before the first message.
//	{G}:i0   hash    digest (12 bytes) -> seq: one generation of the index,
//	{G}:i1   hash    and the other one.
//	{G}:c    list    changes, newest first, at most cap + 1: see ParseChange.
//	{G}:w    list    payloads of the bus that wait until they are confirmed (Acks), oldest
//	                 first, at most 32, for at most 10 minutes: only if acks wait.
//	{G}      channel the bus: see DecodePayload.
//
// Fields of {G}:m:
//
//	epoch       16 hexadecimal digits
//	seq         number of the newest message: the element at index i of G is seq - i
//	changes     number of the newest change
//	link        of the newest event, 4 bytes
//	overwrites  how often texts were overwritten before their change was counted; absent: never
//	adopted     length of the list when it was adopted; 0: the group began here
//	index       0 or 1: the generation of the index that grows
//	index_from  seq when it began; it knows all newer messages
//	index_time  when it began, Unix ms
//	older_from  seq when the other generation began; neither knows older messages
//	own_ttl     as SetTTL set it, ms; absent: the default retention applies
//	ttl         the one in force, ms; absent or 0: none
//	pending     number of the newest payload that was put into {G}:w
type Keys struct {
	List, Meta, Links, Index0, Index1, Changes string
	Pending, Channel                           string
}

// KeysOf returns the keys of a group.
func KeysOf(g group.Name) Keys {
	tag := "{" + string(g) + "}"
	return Keys{
		List:    string(g),
		Meta:    tag + ":m",
		Links:   tag + ":l",
		Index0:  tag + ":i0",
		Index1:  tag + ":i1",
		Changes: tag + ":c",
		Pending: tag + ":w",
		Channel: tag,
	}
}

// All returns the keys in the order in which append.lua, ttl.lua and adopt.lua
// take them.
func (k *Keys) All() []string {
	return []string{k.List, k.Meta, k.Links, k.Index0, k.Index1, k.Changes}
}

// ChannelGroup is the reverse of Keys.Channel.
func ChannelGroup(channel string) (group.Name, bool) {
	if len(channel) < 3 || channel[0] != '{' || channel[len(channel)-1] != '}' {
		return "", false
	}
	return group.Name(channel[1 : len(channel)-1]), true
}

// OldRecallsKey is the set in which the old server kept the recalls of a group:
// the md5, in hex, of each text. It is in a slot of its own.
func OldRecallsKey(g group.Name) string { return "$$/black/$$" + string(g) }

// ArchivePrefix begins the names of the streams (XADD) of everything that is stored and
// recalled. The scripts that store and recall write them, so an entry exists if
// and only if its message or recall does. Fields of an entry:
//
//	kind   "message" or "recall"
//	group  the group's name
//	epoch  16 hexadecimal digits, as in {G}:m
//	seq    number of the message, dense in its group and epoch
//	at     when it was stored or recalled, Unix milliseconds
//	by     the name of the user who stored or recalled it, if the group keeps names and it has one,
//	key    or that of the API key
//	text   of a message: the stored text
//	uuid   of a recall: the uuid of the recalled message
//
// A recall erases the text in the group's list, not here: that is what an archive
// is for.
const ArchivePrefix = "$$/archive/$$"

// ArchiveKey is the stream of a group's entries: one for all groups or, in a
// Cluster, where a script's keys are in one slot, one for each slot.
func ArchiveKey(g group.Name, cluster bool) string {
	if !cluster {
		return ArchivePrefix
	}
	return ArchivePrefix + "{" + slotTags()[Slot(g)] + "}"
}
