package whole

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

func TestTwoHundredMembersOnTwoEdgesSeeTheHistoryEachInItsOrder(t *testing.T) {
	for _, store := range []struct {
		name  string
		store testbed.Store
	}{{"single redis", testbed.Single}, {"redis cluster", testbed.Cluster}} {
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			s := testbed.Start(t, testbed.Config{Store: store.store, Edges: 2, Services: 2})
			var groups sync.WaitGroup
			for range 20 {
				groups.Go(func() { oneGroup(t, s.Addrs()) })
			}
			groups.Wait()
		})
	}
}

// oneGroup has ten members on all edges, each of which sends data packets and
// low-level ones as fast as it can.
func oneGroup(t *testing.T, edges []string) {
	const members, stored, low = 10, 10, 3
	group := client.Group()
	all := make([]*client.Member, members)
	for i := range all {
		all[i] = client.Join(t, edges[i%len(edges)], group)
	}
	for i, m := range all {
		for n := range stored {
			m.Text(client.Data(fmt.Sprintf("%d-%d", i, n), "hello"))
			if n < low {
				m.Send(client.Message{Binary: n == 1, Data: fmt.Sprintf("low %d-%d", i, n)})
			}
		}
	}
	taken := make([][]client.Message, members)
	for i, m := range all {
		taken[i] = m.Take(members*stored + (members-1)*low)
	}
	want := history(t, edges[0], group, members*stored+1)
	if len(want) != members*stored {
		t.Errorf("%s: the history has %d messages, want %d", group, len(want), members*stored)
	}
	for i, messages := range taken {
		if diff := cmp.Diff(want, stream(t, messages)); diff != "" {
			t.Errorf("%s: the stream of member %d is not the history (-want +got):\n%s", group, i, diff)
		}
		if got, want := lowLevel(messages), othersLowLevel(i, members, low); !slices.Equal(got, want) {
			t.Errorf("%s: low-level packets of member %d: %q, want %q", group, i, got, want)
		}
		if rest := all[i].Rest(); len(rest) > 0 {
			t.Errorf("%s: member %d got more: %v", group, i, rest)
		}
	}
}

// lowLevel returns the low-level packets, sorted; binary ones are marked.
func lowLevel(messages []client.Message) []string {
	var all []string
	for _, m := range messages {
		if strings.HasPrefix(m.Data, "low ") {
			all = append(all, fmt.Sprint(m.Data, " ", m.Binary))
		}
	}
	slices.Sort(all)
	return all
}

func othersLowLevel(self, members, low int) []string {
	var all []string
	for i := range members {
		for n := range low {
			if i != self {
				all = append(all, fmt.Sprint("low ", i, "-", n, " ", n == 1))
			}
		}
	}
	slices.Sort(all)
	return all
}

func TestWhileRedisIsDownNothingIsAckedAndAfterwardsNothingIsMissing(t *testing.T) {
	t.Parallel()
	s := testbed.Start(t, testbed.Config{Store: testbed.Single})
	addr, group := s.Edges[0].Addr, client.Group()
	sender, listener := client.Join(t, addr, group), client.Join(t, addr, group)
	talk(t, sender, "before", 20)

	s.Redis.Nodes[0].Kill()
	sender.Text(client.Data("refused", "while Redis is down"))
	if uuid, code := sender.Refusal(); uuid != "refused" || code != http.StatusServiceUnavailable {
		t.Errorf("on the socket: refused %q with %d, want %q with 503", uuid, code, "refused")
	}
	a := client.Do(t, http.MethodPost, addr, group, client.Data("refused over http", "while Redis is down"))
	if a.Code != http.StatusServiceUnavailable {
		t.Errorf("over HTTP: %d %s, want 503", a.Code, a.Body)
	}
	s.Redis.Nodes[0].Start()

	talk(t, sender, "after", 20)
	want := history(t, addr, group, 100)
	if len(want) != 40 || slices.Contains(want, "refused") {
		t.Errorf("the history is %q, want the 40 acked messages", want)
	}
	if diff := cmp.Diff(want, stream(t, listener.Take(40))); diff != "" {
		t.Errorf("the listener's stream is not the history (-want +got):\n%s", diff)
	}
}

func TestMembersMissNothingWhen(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault func(t *testing.T, s *testbed.System)
	}{
		{"history services are killed in turn", func(_ *testing.T, s *testbed.System) {
			for _, p := range s.Services {
				p.Kill()
				p.Start()
			}
		}},
		{"history services are restarted in turn", func(t *testing.T, s *testbed.System) {
			for _, p := range s.Services {
				if err := p.Stop(); err != nil {
					t.Errorf("stop of a history service: %v", err)
				}
				p.Start()
			}
		}},
		{"redis is killed and restarted", func(_ *testing.T, s *testbed.System) {
			s.Redis.Nodes[0].Kill()
			s.Redis.Nodes[0].Start()
		}},
		{"the subscriptions are cut", func(t *testing.T, s *testbed.System) {
			if err := s.Redis.Client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
				t.Errorf("cutting the subscriptions: %v", err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const talkers, each = 4, 100
			s := testbed.Start(t, testbed.Config{Store: testbed.Single, Edges: 2, Services: 2})
			group := client.Group()
			var listeners []*client.Member
			for _, addr := range s.Addrs() {
				listeners = append(listeners, client.Join(t, addr, group))
			}
			var talking sync.WaitGroup
			half := make(chan struct{}, talkers)
			for i := range talkers {
				m := client.Join(t, s.Addrs()[i%2], group)
				talking.Go(func() {
					talk(t, m, fmt.Sprintf("first-%d", i), each/2)
					half <- struct{}{}
					talk(t, m, fmt.Sprintf("second-%d", i), each/2)
				})
			}
			<-half // somebody is in the middle of it
			tt.fault(t, s)
			talking.Wait()

			want := history(t, s.Addrs()[1], group, talkers*each+1)
			if len(want) != talkers*each {
				t.Errorf("the history has %d messages, want %d", len(want), talkers*each)
			}
			for i, l := range listeners {
				if diff := cmp.Diff(want, stream(t, l.Take(talkers*each))); diff != "" {
					t.Errorf("the stream on edge %d is not the history (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

func TestAStoppingEdgeClosesItsMembersWithGoingAway(t *testing.T) {
	t.Parallel()
	s := testbed.Start(t, testbed.Config{Store: testbed.Single, EdgeArgs: []string{"-drain", "1s"}})
	m := client.Join(t, s.Edges[0].Addr, client.Group())
	if err := s.Edges[0].Stop(); err != nil {
		t.Errorf("the edge ended with %v, want exit code 0", err)
	}
	m.WantClose(1001)
}
