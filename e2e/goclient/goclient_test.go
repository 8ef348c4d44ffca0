// Package goclient tests the Go client against the built programs, with
// connections that break.
package goclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sync/errgroup"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	"github.com/gotapi/gotapi-ws/clients/go/gotapirpc"
	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/faultproxy"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m, nil) }

// broken is a way to a server that is cut again and again until the test says mend.
func broken(t *testing.T, addr string) (through string, mend func()) {
	t.Helper()
	p, err := faultproxy.Listen("127.0.0.1:0", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	stop := make(chan struct{})
	var cutting sync.WaitGroup
	cutting.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(150 * time.Millisecond): // the period of the fault, not a wait for anything
				p.Reset()
			}
		}
	})
	mend = sync.OnceFunc(func() { close(stop); cutting.Wait() })
	t.Cleanup(mend)
	return p.Addr, mend
}

type events interface {
	Next(ctx context.Context) (gotapi.Event, error)
}

// hear takes messages until there are n, and returns their uuids. A gap fails the test.
func hear(t *testing.T, l events, n int, started chan<- struct{}) []string {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var uuids []string
	announced := false
	for len(uuids) < n {
		e, err := l.Next(ctx)
		if err != nil {
			t.Errorf("after %d of %d messages: %v", len(uuids), n, err)
			return uuids
		}
		switch e.Kind {
		case gotapi.Connected:
			if !announced {
				announced = true
				started <- struct{}{}
			}
		case gotapi.Message:
			uuids = append(uuids, e.UUID)
		case gotapi.Gap:
			t.Errorf("a gap after %d messages: %v", len(uuids), e.Err)
		}
	}
	return uuids
}

func TestListenersMissNothingAndHearNothingTwiceWhileConnectionsBreak(t *testing.T) {
	t.Parallel()
	const publishers, each = 3, 60
	s := testbed.Start(t, testbed.Config{Store: testbed.Single, Edges: 2})
	group := client.Group()
	first, mendFirst := broken(t, s.Edges[0].Addr)
	second, mendSecond := broken(t, s.Edges[1].Addr)
	rpc, mendRPC := broken(t, s.Services[0].GRPC)

	started := make(chan struct{}, 3)
	var listening sync.WaitGroup
	heard := make([][]string, 3)
	for i, l := range []events{member(t, first, group), member(t, second, group), watch(t, rpc, group)} {
		listening.Go(func() { heard[i] = hear(t, l, publishers*each, started) })
	}
	for range heard {
		<-started
	}

	var publishing errgroup.Group
	for i := range publishers {
		m := member(t, []string{first, second, first}[i], group)
		publishing.Go(func() error {
			for n := range each {
				packet, err := gotapi.DataPacket(fmt.Sprintf("%d-%d", i, n), struct{}{})
				if err != nil {
					return err
				}
				if _, err := m.Publish(t.Context(), packet); err != nil {
					return fmt.Errorf("publisher %d: %w", i, err)
				}
			}
			return nil
		})
		// A publisher that hears, too, has to take what it hears.
		go func() {
			for {
				if _, err := m.Next(context.Background()); errors.Is(err, gotapi.ErrClosed) {
					return
				}
			}
		}()
	}
	if err := publishing.Wait(); err != nil {
		t.Fatal(err)
	}
	mendFirst()
	mendSecond()
	mendRPC()
	listening.Wait()

	want := history(t, s.Edges[0].Addr, group, publishers*each+1)
	if len(want) != publishers*each {
		t.Errorf("the history has %d messages, want %d", len(want), publishers*each)
	}
	for i, got := range heard {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("listener %d did not hear the history (-want +got):\n%s", i, diff)
		}
	}
	for i := range publishers {
		var own []string
		for _, uuid := range want {
			if uuid[0] == byte('0'+i) {
				own = append(own, uuid)
			}
		}
		if !slices.IsSortedFunc(own, func(a, b string) int { return number(a) - number(b) }) {
			t.Errorf("the messages of publisher %d are not in its order: %q", i, own)
		}
	}
}

func number(uuid string) (n int) {
	_, _ = fmt.Sscanf(uuid[2:], "%d", &n)
	return n
}

func member(t *testing.T, addr, group string) *gotapi.Member {
	t.Helper()
	c, err := gotapi.New("ws://"+addr, gotapi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Join(group, gotapi.JoinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func watch(t *testing.T, addr, group string) *gotapirpc.Watch {
	t.Helper()
	c, err := gotapirpc.Dial(addr, gotapirpc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := c.Watch(group, "")
	t.Cleanup(func() {
		w.Close()
		_ = c.Close()
	})
	return w
}

// history returns the uuids of a group, oldest first, as the client reads them.
func history(t *testing.T, addr, group string, size int) []string {
	t.Helper()
	c, err := gotapi.New("http://"+addr, gotapi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	page, err := c.History(t.Context(), group, gotapi.PageRequest{Size: size})
	if err != nil {
		t.Fatal(err)
	}
	uuids := make([]string, len(page.Packets))
	for i, text := range page.Packets {
		uuids[i] = client.Parse(t, text).UUID
	}
	slices.Reverse(uuids)
	return uuids
}

func TestHTTPAndGRPCAnswerTheSame(t *testing.T) {
	t.Parallel()
	type server interface {
		Publish(ctx context.Context, group string, packet []byte) (gotapi.Published, error)
		History(ctx context.Context, group string, r gotapi.PageRequest) (gotapi.Page, error)
		Recall(ctx context.Context, group, uuid string) error
	}
	p := testbed.StartAllInOne(t)
	web, err := gotapi.New("http://"+p.Addr, gotapi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rpc, err := gotapirpc.Dial(p.GRPC, gotapirpc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rpc.Close() }()
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for name, s := range map[string]server{"http": web, "grpc": rpc} {
		group := client.Group()
		texts := []string{client.Data("a", "1"), client.Data("b", "2"), client.Data("c", "3")}
		for i, text := range append(texts, texts[0]) {
			got, err := s.Publish(t.Context(), group, []byte(text))
			want := gotapi.Published{Stored: true, UUID: string("abca"[i]), Duplicate: i == 3}
			// Over HTTP the answer to one packet is that of old, without number and time.
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(got, "Seq", "At")); err != nil || diff != "" {
				t.Errorf("%s: publish: %v (-want +got):\n%s", name, err, diff)
			}
		}
		if got, err := s.Publish(t.Context(), group, []byte("low")); err != nil || got != (gotapi.Published{}) {
			t.Errorf("%s: low-level packet: %+v, %v", name, got, err)
		}
		page, err := s.History(t.Context(), group, gotapi.PageRequest{Size: 2})
		next := 2
		// Over HTTP a page has its position only with Meta.
		if diff := cmp.Diff(gotapi.Page{Packets: []string{texts[2], texts[1]}, Next: &next}, page, cmpopts.IgnoreFields(page, "Position")); err != nil || diff != "" {
			t.Errorf("%s: history: %v (-want +got):\n%s", name, err, diff)
		}
		page, err = s.History(t.Context(), group, gotapi.PageRequest{Size: 2, Before: "b"})
		if diff := cmp.Diff(gotapi.Page{Packets: []string{texts[0]}}, page); err != nil || diff != "" {
			t.Errorf("%s: history before b: %v (-want +got):\n%s", name, err, diff)
		}
		for what, err := range map[string]error{
			"bad group":        s.Recall(t.Context(), "no slash", "a"),
			"unknown uuid":     s.Recall(t.Context(), group, "z"),
			"reserved for all": second(s.Publish(t.Context(), "/timer", []byte("x"))),
			"too large":        second(s.Publish(soon, group, []byte(client.Data("large", strings.Repeat("x", 40_000))))),
			"much too large":   second(s.Publish(soon, group, []byte(client.Data("large", strings.Repeat("x", 2<<20))))),
		} {
			want := map[string]int{"bad group": 400, "unknown uuid": 404, "reserved for all": 403, "too large": 413, "much too large": 413}[what]
			if got := gotapi.CodeOf(err); got != want {
				t.Errorf("%s: %s: %v, want code %d", name, what, err, want)
			}
		}
		if err := s.Recall(t.Context(), group, "a"); err != nil {
			t.Errorf("%s: recall: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
