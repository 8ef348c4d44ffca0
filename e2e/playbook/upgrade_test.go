package playbook

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// Each process is stopped as an upgrade does (SIGTERM) and started again, while
// a client publishes and another one listens.
func TestUpgradeWithoutLoss(t *testing.T) {
	t.Parallel()
	parts := testbed.Start(t, testbed.Config{Store: testbed.Single, Services: 2, EdgeArgs: []string{"-drain", "1s"}})
	s := &system{System: parts, t: t, addr: parts.Edges[0].Addr, group: client.Group()}
	c, err := gotapi.New("ws://"+s.addr, gotapi.Options{RetryMax: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	listener := joined(t, c, s.group)
	publisher, err := c.Join(s.group, gotapi.JoinOptions{PublishOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(publisher.Close)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var published []string
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			uuid := fmt.Sprintf("m-%d", n)
			packet, err := gotapi.DataPacket(uuid, struct{}{})
			if err == nil {
				_, err = publisher.Publish(t.Context(), packet)
			}
			if err != nil {
				t.Errorf("publish: %v", err)
				return
			}
			published = append(published, uuid)
		}
	})
	for _, p := range append(s.Services, s.Edges...) {
		if err := p.Stop(); err != nil {
			t.Errorf("%s ended with %v, want exit code 0", p.Name(), err)
		}
		p.Start()
	}
	s.works("last")
	stop()
	publishing.Wait()

	var heard []string
	for len(heard) < len(published)+1 {
		e, err := listener.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		switch e.Kind {
		case gotapi.Message:
			heard = append(heard, e.UUID)
		case gotapi.Gap:
			t.Errorf("a gap: %v", e.Err)
		}
	}
	var others []string
	for _, uuid := range heard {
		if uuid != "last" {
			others = append(others, uuid)
		}
	}
	if diff := cmp.Diff(published, others); diff != "" {
		t.Errorf("the listener did not hear what was published (-want +got):\n%s", diff)
	}
}

// joined is a member that is there already.
func joined(t *testing.T, c *gotapi.Client, group string) *gotapi.Member {
	t.Helper()
	m, err := c.Join(group, gotapi.JoinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	for {
		e, err := m.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == gotapi.Connected {
			return m
		}
	}
}
