package layout

import (
	"strconv"
	"sync"

	"github.com/gotapi/gotapi-ws/wire/group"
)

// Slots is the number of hash slots of a Redis Cluster.
const Slots = 16384

// Slot is the hash slot of a group's keys, as the Redis Cluster specification
// defines it: CRC16 (XMODEM) of the name, which has no braces, modulo 16384.
func Slot(g group.Name) int {
	crc := uint16(0)
	for i := range len(g) {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^g[i]]
	}
	return int(crc % Slots)
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

// slotTags returns for each slot the lowest number, in decimal, that is in it.
var slotTags = sync.OnceValue(func() (tags [Slots]string) {
	for n, missing := 0, Slots; missing > 0; n++ {
		tag := strconv.Itoa(n)
		if at := &tags[Slot(group.Name(tag))]; *at == "" {
			*at = tag
			missing--
		}
	}
	return tags
})
