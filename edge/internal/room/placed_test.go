package room

import (
	"math/rand/v2"
	"testing"
)

func TestPlacedRemembersTheNewestNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var p placed
	all := make(map[uint32]bool)
	newest := uint32(0)
	for range 10_000 {
		n := newest + 1 + uint32(rng.IntN(3))
		switch rng.IntN(50) {
		case 0:
			n = newest + uint32(rng.IntN(2*remembered)) // a jump
		case 1, 2:
			n = max(newest, remembered*2) - uint32(rng.IntN(2*remembered)) // a late one
		}
		p.add(n)
		all[n] = true
		newest = max(newest, n)
		for m := max(newest, remembered) - remembered; m <= newest+2; m++ {
			want := all[m] && m <= newest && newest-m < remembered
			if p.has(m) != want {
				t.Fatalf("after adding %d (newest %d): has(%d) is %v, want %v", n, newest, m, !want, want)
			}
		}
	}
}
