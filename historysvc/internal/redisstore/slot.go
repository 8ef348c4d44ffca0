package redisstore

import (
	"hash/maphash"

	"github.com/gotapi/gotapi-ws/wire/group"
)

// How many lanes there are. One node is busy with two: one pipeline on its way
// while the next is made. In a Cluster each lane has a range of slots, so that
// a master that is down stalls its own groups and few others.
const (
	nodeLanes    = 2
	clusterLanes = 16
	slots        = 16384
)

// slot is the hash slot of a group's keys, as the Redis Cluster specification
// defines it: CRC16 (XMODEM) of the name, which has no braces, modulo 16384.
func slot(g group.Name) int {
	crc := uint16(0)
	for i := range len(g) {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^g[i]]
	}
	return int(crc % slots)
}

var crcTable = func() (t [256]uint16) {
	for i := range t {
		crc := uint16(i) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
		t[i] = crc
	}
	return t
}()

var laneSeed = maphash.MakeSeed()

func (s *Store) laneOf(g group.Name) *lane {
	if s.cluster {
		return s.lanes[slot(g)*len(s.lanes)/slots]
	}
	return s.lanes[maphash.String(laneSeed, string(g))%uint64(len(s.lanes))]
}
