package faults

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// publishTime is the median time of some publishes, one after another.
func publishTime(t *testing.T, addr, group, prefix string) time.Duration {
	t.Helper()
	const publishes = 60
	times := make([]time.Duration, publishes)
	for i := range times {
		began := time.Now()
		if code := tryPublish(addr, group, client.Data(fmt.Sprint(prefix, i), "x")); code != http.StatusOK {
			t.Fatalf("publish: %d", code)
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	return times[publishes/2]
}

// wantSmallReads lets a victim publish while others attack. No publish may be refused,
// and whatever Redis reads meanwhile it reads in small parts: a publish waits for a few
// of them. How long that takes depends on who else uses the machine, so it is logged.
func wantSmallReads(t *testing.T, s *testbed.System, attack func(ctx context.Context, all *sync.WaitGroup)) {
	t.Helper()
	addr, redis, victim := s.Edges[0].Addr, s.Redis.Client, client.Group()
	publishTime(t, addr, victim, "warm")
	before := publishTime(t, addr, victim, "before")
	for name, value := range map[string]string{"slowlog-log-slower-than": "0", "slowlog-max-len": "1000000"} {
		if err := redis.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	attack(ctx, &all)
	during := publishTime(t, addr, victim, "during")
	cancel()
	all.Wait()
	t.Logf("a publish takes %v before and %v during the attack", before, during)
	logged, err := redis.SlowLogGet(t.Context(), -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	const maxPart = 128
	reads := 0
	for _, c := range logged {
		if !strings.EqualFold(c.Args[0], "lrange") {
			continue
		}
		reads++
		first, err1 := strconv.Atoi(c.Args[2])
		last, err2 := strconv.Atoi(c.Args[3])
		if size := last - first + 1; err1 != nil || err2 != nil || size < 1 || size > maxPart {
			t.Errorf("Redis was asked for %v, want at most %d elements at once", c.Args, maxPart)
		}
	}
	if reads == 0 {
		t.Error("Redis read nothing during the attack")
	}
}

// connect returns connections of a client of a history service.
func connect(t *testing.T, addr string, n int) []*grpc.ClientConn {
	t.Helper()
	all := make([]*grpc.ClientConn, n)
	for i := range all {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		all[i] = conn
	}
	return all
}

// adoptedList makes a list as another program would, and returns its group.
func adoptedList(t *testing.T, r *testbed.Redis, size int) string {
	t.Helper()
	g := client.Group()
	for from := 0; from < size; from += 1000 {
		var texts []any
		for i := from; i < min(size, from+1000); i++ {
			texts = append(texts, numbered(i))
		}
		if err := r.Client.LPush(t.Context(), g, texts...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// Callers that ask for the largest pages, one after another, and give up some of them.
func Test2_2_LargePagesCostPublishersLittle(t *testing.T) {
	s := testbed.Start(t, testbed.Config{Store: testbed.Single})
	g := adoptedList(t, s.Redis, 10_000)
	const callers = 32
	size := int32(10_000)
	asked := []*historyv1.GetHistoryRequest{
		{GroupName: g, Size: &size},
		{GroupName: g, Size: &size, Position: 1},
		{GroupName: g, Size: &size, Before: uuidOf(9_999)},
		{GroupName: g, Size: &size, After: uuidOf(0)},
	}
	wantSmallReads(t, s, func(ctx context.Context, all *sync.WaitGroup) {
		for i, conn := range connect(t, s.Services[0].GRPC, callers) {
			all.Go(func() {
				for n := i; ctx.Err() == nil; n++ {
					call, cancel := ctx, context.CancelFunc(func() {})
					if n%2 == 0 { // nobody waits for this one
						call, cancel = context.WithTimeout(ctx, 20*time.Millisecond)
					}
					_, _ = historyv1.NewHistoryServiceClient(conn).GetHistory(call, asked[n%len(asked)])
					cancel()
				}
			})
		}
	})
}

func Test2_2_UnknownUUIDsCostPublishersLittle(t *testing.T) {
	s := testbed.Start(t, testbed.Config{Store: testbed.Single})
	g := adoptedList(t, s.Redis, 100_000)
	const callers = 32
	wantSmallReads(t, s, func(ctx context.Context, all *sync.WaitGroup) {
		for i, conn := range connect(t, s.Services[0].GRPC, callers) {
			all.Go(func() {
				api := historyv1.NewHistoryServiceClient(conn)
				for n := 0; ctx.Err() == nil; n++ {
					unknown := fmt.Sprint("unknown-", i, "-", n)
					_, _ = api.GetHistory(ctx, &historyv1.GetHistoryRequest{GroupName: g, Before: unknown})
					_, _ = api.Cancel(ctx, &historyv1.CancelRequest{GroupName: g, Uuid: unknown})
				}
			})
		}
	})
}

// secured is a system whose services need the service token, and which nobody can read
// without a credential.
func secured(t *testing.T) *testbed.System {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(strings.Repeat("s", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-service-token-file", token}
	return testbed.Start(t, testbed.Config{Store: testbed.Single, ServiceArgs: args, EdgeArgs: args})
}

// Callers without a credential send parts of large requests, and never the rest.
func Test2_2_UnfinishedRequestsOfStrangersCostNothing(t *testing.T) {
	t.Parallel()
	const connections, streams, part = 4, 25, 8 << 20
	s := secured(t)
	prefix := binary.BigEndian.AppendUint32([]byte{0}, part+1)
	ctx, cancel := context.WithTimeout(t.Context(), client.Timeout)
	defer cancel()
	var all sync.WaitGroup
	var mu sync.Mutex
	answers := make(map[string]int)
	for range connections {
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		transport := &http.Transport{Protocols: &protocols}
		defer transport.CloseIdleConnections()
		for i := range streams {
			method := []string{"/gotapi.history.v1.HistoryService/Publish", "/gotapi.relay.v1.RelayService/Connect"}[i%2]
			all.Go(func() {
				never, end := io.Pipe()
				defer func() { _ = end.Close() }() // it never fails
				body := io.MultiReader(bytes.NewReader(prefix), bytes.NewReader(make([]byte, part)), never)
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.Services[0].GRPC+method, body)
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Content-Type", "application/grpc")
				req.Header.Set("Te", "trailers")
				resp, err := transport.RoundTrip(req)
				if err != nil {
					t.Errorf("no answer: %v", err)
					return
				}
				resp.Body.Close()
				mu.Lock()
				defer mu.Unlock()
				answers[resp.Header.Get("Grpc-Status")]++
			})
		}
	}
	all.Wait()
	if unauthenticated, denied := answers[fmt.Sprint(int(codes.Unauthenticated))], answers[fmt.Sprint(int(codes.PermissionDenied))]; unauthenticated+denied != connections*streams {
		t.Errorf("the calls were answered with %v, want Unauthenticated", answers)
	}
	const bound = 128 << 20
	if peak, err := testbed.PeakMemory(s.Services[0].PID()); err != nil || peak > bound {
		t.Errorf("the service had %d MiB (%v), want at most %d", peak>>20, err, bound>>20)
	}
	client.Publish(t, s.Edges[0].Addr, client.Group(), numbered(0))
}

// Callers without a credential may ask for the health of the service, and a few may
// watch it.
func Test2_2_HealthWatchesOfStrangersAreFew(t *testing.T) {
	t.Parallel()
	const watches, allowed = 1000, 16
	s := secured(t)
	conn := connect(t, s.Services[0].GRPC, 1)[0]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answers := make(map[codes.Code]int)
	for range watches {
		watch, err := healthv1.NewHealthClient(conn).Watch(ctx, &healthv1.HealthCheckRequest{})
		if err == nil {
			_, err = watch.Recv()
		}
		answers[status.Code(err)]++
	}
	if answers[codes.OK] > allowed || answers[codes.OK] == 0 || answers[codes.ResourceExhausted] != watches-answers[codes.OK] {
		t.Errorf("%d watches were answered with %v, want at most %d of them OK", watches, answers, allowed)
	}
	client.Publish(t, s.Edges[0].Addr, client.Group(), numbered(0)) // the edge asks with its token
	cancel()
	eventually(t, "a stranger asks again", func() error {
		_, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
		return err
	})
}
