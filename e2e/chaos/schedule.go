package main

import (
	"math/rand/v2"
	"slices"
	"time"
)

// step is one fault of a schedule.
type step struct {
	kind kind
	// When it begins, from the start of the run, and how long it lasts.
	at, lasts time.Duration
	target    int
}

const (
	warmUp = 2 * time.Second
	// Between the end of a fault and the next one.
	minRest, maxRest = 1500 * time.Millisecond, 4500 * time.Millisecond
	// How many of a hundred faults begin in the middle of the one before.
	overlapping = 20
)

// schedule draws the faults of a run: the same seed, kinds and length give the
// same schedule. Every kind has its turn before one comes again.
func schedule(seed uint64, of []kind, length time.Duration) []step {
	rng := rand.New(rand.NewPCG(seed, 0))
	deck := slices.Clone(of)
	var steps []step
	at := warmUp
	for len(deck) > 0 {
		rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		for _, k := range deck {
			s := step{kind: k, at: at, lasts: between(rng, k.min, k.max), target: rng.IntN(1 << 20)}
			if s.at+s.lasts+minRest > length {
				return steps
			}
			steps = append(steps, s)
			if rng.IntN(100) < overlapping {
				at += s.lasts / 2
			} else {
				at += s.lasts + between(rng, minRest, maxRest)
			}
		}
	}
	return steps
}

func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Int64N(int64(high-low)+1)).Round(time.Millisecond)
}
