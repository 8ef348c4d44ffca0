package redisstore

import (
	"strconv"

	"github.com/gotapi/gotapi-ws/wire/group"
)

// keys are the names of everything that Redis holds for one group G, all in
// one hash slot (group names have no braces).
//
//	G        list    packet texts, newest first; a recalled one is a tombstone.
//	                 Lives for the group's ttl after its last message.
//	{G}:m    hash    the counters, below. This and the others: ttl + 10 to 20 minutes.
//	{G}:l    list    per message link (4 bytes) and origin (16 bytes), and, when the publisher
//	                 tells, author (8 bytes) and Unix time in seconds (4 bytes); aligned with G,
//	                 at most cap + 1; the last may be that of the place before the first message.
//	{G}:i0   hash    digest (12 bytes) -> seq: one generation of the index,
//	{G}:i1   hash    and the other one.
//	{G}:r    list    recalls, newest first, at most cap + 1: see parseRecall.
//	{G}:w    list    payloads of the bus that wait until they are confirmed (Acks), oldest
//	                 first, at most 32, for at most 10 minutes: only if acks wait.
//	{G}      channel the bus: see decodePayload.
//
// Fields of {G}:m:
//
//	epoch    16 hexadecimal digits
//	seq      number of the newest message: the element at index i of G is seq - i
//	recalls  number of the newest recall
//	edits    how often a recall has overwritten texts before it was counted; absent: never
//	link     of the newest event, 4 bytes
//	base     length of the list when it was adopted; 0: the group began here
//	gen      0 or 1: the generation of the index that grows
//	gens     seq when it began; what is newer is in it
//	geno     seq when the other one began; neither knows what is older
//	gent     when gen began, Unix ms
//	ttl      as SetTTL set it, ms; absent: the default retention holds
//	exp      ttl that the keys have now, ms; absent or 0: none
//	pending  number of the newest payload that was put into {G}:w
type keys struct {
	list, meta, links, index0, index1, recalls string
	pending, channel                           string
}

func keysOf(g group.Name) keys {
	tag := "{" + string(g) + "}"
	return keys{
		list:    string(g),
		meta:    tag + ":m",
		links:   tag + ":l",
		index0:  tag + ":i0",
		index1:  tag + ":i1",
		recalls: tag + ":r",
		pending: tag + ":w",
		channel: tag,
	}
}

// all returns the keys in the order in which append.lua, ttl.lua and adopt.lua
// take them.
func (k *keys) all() []string {
	return []string{k.list, k.meta, k.links, k.index0, k.index1, k.recalls}
}

// channelGroup is the reverse of keys.channel.
func channelGroup(channel string) (group.Name, bool) {
	if len(channel) < 3 || channel[0] != '{' || channel[len(channel)-1] != '}' {
		return "", false
	}
	return group.Name(channel[1 : len(channel)-1]), true
}

// blackKey is the set in which the old server kept the recalls of a group: the
// md5, in hex, of each text. It is in a slot of its own.
func blackKey(g group.Name) string { return "$$/black/$$" + string(g) }

// Presence. Group names begin with a slash, so nothing can collide.
//
//	$$/presence/$$edges     zset  edge -> Unix time, ms, of its last report
//	$$/presence/$${EDGE}    hash  group -> members; lives for presenceTTL
//	$$/presence/$${EDGE}:n  hash  the next one, while a full report is written
const edgesKey = "$$/presence/$$edges"

func edgeName(edge uint64) string { return strconv.FormatUint(edge, 16) }

func edgeKey(name string) string { return "$$/presence/$${" + name + "}" }
