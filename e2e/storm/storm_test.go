package main

import (
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m, nil) }

func Test2_4_MembersOfADeadEdgeComeBackAndMissNothing(t *testing.T) {
	t.Parallel()
	r := storm(t, config{members: 600, groups: 20, rate: 100, patience: 90 * time.Second})
	if r.storm.resumes < 600 || r.storm.reads > r.storm.resumes*2 {
		t.Errorf("%.0f members resumed with %.0f reads, want all of 600, and few reads each", r.storm.resumes, r.storm.reads)
	}
}

// The two edges together take 60 at once and 120 a second.
func Test2_4_AStormThatIsTooFastIsSpread(t *testing.T) {
	t.Parallel()
	r := storm(t, config{members: 300, groups: 10, rate: 100, patience: 90 * time.Second, edgeArgs: []string{"-upgrade-rate", "60"}})
	if r.refused == 0 || r.storm.refusals == 0 {
		t.Errorf("%d upgrades were refused (%.0f by the edges' count), want some", r.refused, r.storm.refusals)
	}
}

func Test2_6_MembersOfAnEdgeThatEndsInGoodOrderMissNothing(t *testing.T) {
	t.Parallel()
	storm(t, config{members: 300, groups: 20, rate: 100, drain: 2 * time.Second, patience: 90 * time.Second})
}

func storm(t *testing.T, cfg config) *report {
	t.Helper()
	r, err := run(t.Context(), t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.whole) != cfg.members {
		t.Errorf("%d members came back, want %d", len(r.whole), cfg.members)
	}
	return r
}
