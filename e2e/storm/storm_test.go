package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m, nil) }

// A resume reads the store once: what comes meanwhile, the room keeps. A second
// read is needed only by a member that was given a read from before its join;
// reads that are shared make up for those.
func Test2_4_MembersOfADeadEdgeComeBackAndMissNothing(t *testing.T) {
	t.Parallel()
	r := storm(t, config{members: 600, groups: 20, rate: 100, patience: 90 * time.Second})
	if r.storm.resumes < 600 || r.storm.reads == 0 || r.storm.reads > r.storm.resumes {
		t.Errorf("%.0f resumes with %.0f reads, want 600 or more, and at most as many reads", r.storm.resumes, r.storm.reads)
	}
}

// Redis hangs until all members have come back, so that all of them want a read
// before the first read ends. A member stays in the group, because joining a group
// that the edge does not have needs Redis.
func Test2_4_MembersThatResumeFromOnePlaceShareARead(t *testing.T) {
	t.Parallel()
	const members = 100
	ops, group := testbed.FreeAddr(t), client.Group()
	s := testbed.Start(t, testbed.Config{Store: testbed.Single, EdgeArgs: []string{"-ops-listen", ops}})
	addr := s.Edges[0].Addr
	count := func(name string) float64 {
		m, err := testbed.Metrics(t.Context(), ops)
		if err != nil {
			t.Fatal(err)
		}
		return m[name]
	}
	client.Join(t, addr, group)
	first, missed := client.Data("first", "seen"), client.Data("second", "missed")
	client.Publish(t, addr, group, first)
	client.Publish(t, addr, group, missed)

	s.Redis.Nodes[0].Pause()
	back := make([]*client.Member, members)
	for i := range back {
		back[i] = client.Join(t, addr, group+"?after=first")
	}
	testbed.Eventually(t, "all resume", func(context.Context) error {
		if n := count("gotapi_edge_resumes_total"); n != members {
			return fmt.Errorf("%v of %d", n, members)
		}
		return nil
	})
	s.Redis.Nodes[0].Resume()
	for _, m := range back {
		m.Want(missed)
	}
	// On a slow machine the first read may fail because Redis hangs; then all share another one.
	if reads := count("gotapi_edge_resume_reads_total"); reads < 1 || reads > 4 {
		t.Errorf("%d members resumed with %.0f reads of the store, want 1, and 4 at most", members, reads)
	}
}

// Of the 100 members that come to each edge, 10 are accepted at once, 20 wait, and 20
// a second pass. Some are refused unless all take more than three seconds to come,
// and clients wait for 0.5 to 1 s.
func Test2_4_AStormThatIsTooFastIsSpread(t *testing.T) {
	t.Parallel()
	r := storm(t, config{members: 200, groups: 10, rate: 100, patience: 90 * time.Second, survivorArgs: []string{"-upgrade-rate", "20"}})
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
