package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

func TestInfoOfRedisIsRead(t *testing.T) {
	before, err := parseUse("# CPU\r\nused_cpu_sys:1.5\r\nused_cpu_user:2.25\r\nused_memory:1000\r\nused_memory_rss:2000\r\n" +
		"cmdstat_evalsha:calls=4,usec=100,usec_per_call=25.00\r\ncmdstat_lrange:calls=1,usec=7,usec_per_call=7.00\r\ncmdstat_info:calls=9,usec=900\r\n")
	if err != nil {
		t.Fatal(err)
	}
	want := redisUse{cpu: 3750 * time.Millisecond, scripts: 100 * time.Microsecond, commands: 7 * time.Microsecond, memory: 1000, rss: 2000}
	if diff := cmp.Diff(want, before, cmp.AllowUnexported(redisUse{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	after := want
	after.memory, after.scripts, after.commands = 1218, 130*time.Microsecond, 20*time.Microsecond
	use := after.since(before)
	if use.memory != 218 || use.executing() != 30*time.Microsecond {
		t.Errorf("used %+v, %v executing", use, use.executing())
	}
	after.scripts = before.scripts
	if got := after.since(before).executing(); got != 13*time.Microsecond {
		t.Errorf("without scripts: %v executing", got)
	}
	for _, text := range []string{"", "used_memory:1000\r\n", "used_memory:1000\r\nused_cpu_sys:x\r\nused_cpu_user:1\r\n"} {
		if u, err := parseUse(text); err == nil {
			t.Errorf("%q: %+v, want an error", text, u)
		}
	}
}

// keeper is a relay that remembers what it is sent.
type keeper struct {
	relayv1.UnimplementedRelayServiceServer

	// What the message of this number is answered with, and after which one the
	// stream ends; 0: none.
	refuse, end int

	kept  []string // group and uuid
	frame int      // the largest
}

func (k *keeper) Connect(stream grpc.BidiStreamingServer[relayv1.ConnectRequest, relayv1.ConnectResponse]) error {
	if first, err := stream.Recv(); err != nil || first.GetHello() == nil {
		return errors.New("no hello")
	}
	for received := uint64(1); ; received++ {
		req, err := stream.Recv()
		if err != nil {
			return nil
		}
		k.frame = max(k.frame, len(req.GetPublishes()))
		resp := &relayv1.ConnectResponse{Received: received}
		for _, p := range req.GetPublishes() {
			k.kept = append(k.kept, p.GetGroup()+" "+p.GetUuid())
			r := &relayv1.Result{Id: p.GetId(), Outcome: relayv1.Outcome_OUTCOME_ACCEPTED}
			if len(k.kept) == k.refuse {
				r.Outcome, r.Reason = relayv1.Outcome_OUTCOME_UNAVAILABLE, "no room"
			}
			resp.Results = append(resp.Results, r)
			if len(k.kept) == k.end {
				return errors.New("going away")
			}
		}
		if err := stream.Send(resp); err != nil {
			return nil
		}
	}
}

// serve returns a client of k.
func serve(t *testing.T, k *keeper) *historyClient {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	relayv1.RegisterRelayServiceServer(srv, k)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(l)
	}()
	c, err := dialHistory(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.conn.Close()
		srv.GracefulStop()
		<-ended
	})
	return c
}

func some(n int) func(func(message) bool) {
	return func(yield func(message) bool) {
		for i := range n {
			if !yield(message{i % 3, i}) {
				return
			}
		}
	}
}

func TestAllIsStoredOnceAndInOrder(t *testing.T) {
	for _, c := range []struct{ n, window int }{{0, 1}, {1, 1}, {10, 1}, {1000, 4096}, {1000, 100}, {256, 256}} {
		t.Run(fmt.Sprintf("%d with %d unanswered", c.n, c.window), func(t *testing.T) {
			k := &keeper{}
			client := serve(t, k)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := client.store(ctx, c.window, some(c.n)); err != nil {
				t.Fatal(err)
			}
			if len(k.kept) != c.n || k.frame > min(frameItems, c.window) {
				t.Fatalf("kept %d of %d, up to %d in a frame", len(k.kept), c.n, k.frame)
			}
			for i, got := range k.kept {
				if m := (message{i % 3, i}); got != m.groupName()+" "+m.uuid() || len(m.uuid()) != 36 {
					t.Fatalf("message %d is %s", i, got)
				}
			}
		})
	}
}

func TestAnExperimentThatIsInterruptedFails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	endless := func(yield func(message) bool) {
		for i := 0; yield(message{0, i}); i++ {
			if i == 500 {
				cancel()
			}
		}
	}
	if err := serve(t, &keeper{}).store(ctx, 64, endless); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was cancelled", err)
	}
}

func TestWhatIsNotStoredIsAnError(t *testing.T) {
	for name, k := range map[string]*keeper{"refused": {refuse: 200}, "the stream ends": {end: 200}} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			err := serve(t, k).store(ctx, 64, some(1000))
			if err == nil || ctx.Err() != nil {
				t.Errorf("%v, %v", err, ctx.Err())
			}
		})
	}
}
