// Package faults tests what the contract promises when parts of the system
// fail: Redis away, hanging, emptied, or its announcements lost; an edge killed.
// Each test starts a system of its own, and carries the section of
// docs/protocol.md in its name as those of the conformance suite do.
package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

func TestMain(m *testing.M) { testbed.Main(m, nil) }

// eventually is testbed.Eventually for what is asked for without a context.
func eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	testbed.Eventually(t, what, func(context.Context) error { return ask() })
}

func uuidOf(i int) string { return fmt.Sprintf("m%05d", i) }

func numbered(i int) string { return client.Data(uuidOf(i), fmt.Sprint(i)) }

// wantError checks an error's status, body and, where it is due, Retry-After.
func wantError(t *testing.T, what string, a client.Answer, codes ...int) {
	t.Helper()
	var body struct {
		Code int
		Msg  string
	}
	if err := json.Unmarshal([]byte(a.Body), &body); err != nil || body.Code != a.Code || body.Msg == "" {
		t.Errorf("%s: %d %q, want {\"code\":%d,\"msg\":\"...\"}", what, a.Code, a.Body, a.Code)
	}
	for _, code := range codes {
		if a.Code == code {
			if code == http.StatusServiceUnavailable && a.Header.Get("Retry-After") == "" {
				t.Errorf("%s: 503 without Retry-After", what)
			}
			return
		}
	}
	t.Errorf("%s: %d %s, want %v", what, a.Code, a.Body, codes)
}

func Test6_WithoutRedisEverythingIs503(t *testing.T) {
	t.Parallel()
	s := testbed.Start(t, testbed.Config{Store: testbed.Single})
	addr, g := s.Edges[0].Addr, client.Group()
	m := client.Join(t, addr, g)
	client.Publish(t, addr, g, numbered(0))
	m.Want(numbered(0))
	s.Redis.Nodes[0].Kill()
	// The first calls may have been under way when Redis went: their outcome is
	// unknown. Certain answers must follow.
	eventually(t, "a certain answer", func() error {
		if a := client.Do(t, "POST", addr, g, numbered(1)); a.Code != http.StatusServiceUnavailable {
			return fmt.Errorf("%d %s", a.Code, a.Body)
		}
		return nil
	})
	wantError(t, "publish", client.Do(t, "POST", addr, g, numbered(1)), http.StatusServiceUnavailable)
	wantError(t, "history", client.Post(t, addr, "/__/history", client.Values("groupName", g)), http.StatusServiceUnavailable)
	wantError(t, "recall", client.Cancel(t, addr, g, uuidOf(0)), http.StatusServiceUnavailable, http.StatusGatewayTimeout)
	m.Text(numbered(2))
	if uuid, code := m.Refusal(); uuid != uuidOf(2) || code != http.StatusServiceUnavailable {
		t.Errorf("over WebSocket: refusal of %q with %d, want %q, 503", uuid, code, uuidOf(2))
	}
	api := service(t, s)
	if _, err := api.Publish(t.Context(), &historyv1.PublishRequest{GroupName: g, Packet: []byte(numbered(3))}); status.Code(err) != codes.Unavailable {
		t.Errorf("gRPC publish: %v, want Unavailable", err)
	}
	if a := client.Do(t, "GET", addr, "/__status", ""); a.Code != http.StatusOK {
		t.Errorf("/__status: %d", a.Code)
	}

	s.Redis.Nodes[0].Start()
	eventually(t, "publishing again", func() error {
		if a := client.Do(t, "POST", addr, g, numbered(4)); a.Code != http.StatusOK {
			return fmt.Errorf("%d %s", a.Code, a.Body)
		}
		return nil
	})
	m.Want(numbered(4))
	if p := client.History(t, addr, g); len(p.Data) != 2 {
		t.Errorf("history has %q, want messages 0 and 4: what was refused with 503 is not stored", p.Data)
	}
}

func service(t *testing.T, s *testbed.System) historyv1.HistoryServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(s.Services[0].GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return historyv1.NewHistoryServiceClient(conn)
}

func Test1_WithoutHistoryServicesUpgradesAre503(t *testing.T) {
	t.Parallel()
	s := testbed.Start(t, testbed.Config{Store: testbed.Single})
	addr := s.Edges[0].Addr
	s.Services[0].Kill()
	g := client.Group()
	begin := time.Now()
	_, resp, err := client.TryJoin(t, addr, g)
	if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("join without a history service: %v, want 503", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the refusal took %v, want about 2 s", took)
	}
	wantError(t, "publish", client.Do(t, "POST", addr, g, numbered(0)), http.StatusServiceUnavailable)
	wantError(t, "history", client.Post(t, addr, "/__/history", client.Values("groupName", g)), http.StatusServiceUnavailable)
	s.Services[0].Start()
	eventually(t, "joining again", func() error {
		_, _, err := client.TryJoin(t, addr, g)
		return err
	})
}

func Test2_2_AHangingRedisGives504AndStoresOnce(t *testing.T) {
	t.Parallel()
	s := testbed.Start(t, testbed.Config{Store: testbed.Single})
	addr, g := s.Edges[0].Addr, client.Group()
	m, watcher := client.Join(t, addr, g), client.Join(t, addr, g)
	m.Text(numbered(0))
	m.Want(client.Ack(uuidOf(0)))
	watcher.Want(numbered(0))
	s.Redis.Nodes[0].Pause()
	m.Text(numbered(1))
	if uuid, code := m.Refusal(); uuid != uuidOf(1) || code != http.StatusGatewayTimeout {
		t.Errorf("refusal of %q with %d, want %q, 504", uuid, code, uuidOf(1))
	}
	s.Redis.Nodes[0].Resume()
	// The client resends with the same uuid, until it is acked.
	resend(t, m, 1)
	watcher.Want(numbered(1))
	client.Publish(t, addr, g, numbered(2))
	watcher.Want(numbered(2))
	if p := client.History(t, addr, g); len(p.Data) != 3 {
		t.Errorf("history has %q, want each message once", p.Data)
	}
}

// resend sends a message until it is acked; refusals are expected.
func resend(t *testing.T, m *client.Member, i int) {
	t.Helper()
	for range 100 {
		m.Text(numbered(i))
		p := client.Parse(t, m.Next().Data)
		if p.UUID != uuidOf(i) || p.Type != 1 {
			t.Fatalf("got %+v, want the ack of %s", p, uuidOf(i))
		}
		if p.Command == 1 {
			return
		}
	}
	t.Fatalf("message %d is never acked", i)
}

func Test2_3_LostAnnouncementsAreFoundAndFilled(t *testing.T) {
	t.Parallel()
	const n = 200
	s := testbed.Start(t, testbed.Config{Store: testbed.Single, Edges: 2, Services: 2})
	g := client.Group()
	watchers := []*client.Member{client.Join(t, s.Edges[0].Addr, g), client.Join(t, s.Edges[1].Addr, g)}
	idle := client.Group() // nothing follows its last event, so only polling finds it
	sleeper := client.Join(t, s.Edges[1].Addr, idle)
	for i := range n {
		if i%10 == 5 {
			// Redis drops its subscribers, as it does when they are slow.
			if err := s.Redis.Client.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
				t.Fatal(err)
			}
		}
		client.Publish(t, s.Edges[i%2].Addr, g, numbered(i))
		if i%10 == 6 {
			if a := client.Cancel(t, s.Edges[0].Addr, g, uuidOf(i-5)); a.Code != http.StatusOK {
				t.Fatalf("recall: %d %s", a.Code, a.Body)
			}
		}
	}
	if err := s.Redis.Client.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	client.Publish(t, s.Edges[0].Addr, idle, numbered(0))
	sleeper.Want(numbered(0))
	client.Publish(t, s.Edges[0].Addr, g, client.Data("end", ""))
	for w, m := range watchers {
		wantAll(t, fmt.Sprint("watcher ", w), m, n)
	}
}

// wantAll takes messages 0 to n-1, of which each i%10 == 1 was recalled, and the
// end. The recall comes after its message; a member that had not got the message
// yet gets neither.
func wantAll(t *testing.T, name string, m *client.Member, n int) {
	t.Helper()
	next, open := 0, map[string]bool{}
	for {
		p := client.Parse(t, m.Next().Data)
		if p.Type == 1 && p.Command == 6 && open[p.UUID] {
			delete(open, p.UUID)
			continue
		}
		if next%10 == 1 && p.UUID != uuidOf(next) {
			next++ // recalled before it was delivered
		}
		if p.UUID == "end" && next == n {
			break
		}
		if p.Type != 2 || p.UUID != uuidOf(next) {
			t.Fatalf("%s got %+v, want message %d", name, p, next)
		}
		if next%10 == 1 {
			open[p.UUID] = true
		}
		next++
	}
	if len(open) > 0 {
		t.Errorf("%s got these messages and never their recalls: %v", name, open)
	}
}

func Test2_5_AnEmptiedRedisIsNeverSilent(t *testing.T) {
	t.Parallel()
	for _, published := range []bool{true, false} {
		t.Run(fmt.Sprintf("published afterwards: %v", published), func(t *testing.T) {
			t.Parallel()
			s := testbed.Start(t, testbed.Config{Store: testbed.Single})
			addr, g := s.Edges[0].Addr, client.Group()
			m := client.Join(t, addr, g)
			for i := range 3 {
				client.Publish(t, addr, g, numbered(i))
				m.Want(numbered(i))
			}
			if err := s.Redis.Client.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			if published {
				for i := range 5 {
					client.Publish(t, addr, g, numbered(10+i))
				}
			}
			m.WantClose(websocket.CloseServiceRestart)
			if _, code := m.Refusal(); code != http.StatusGone {
				t.Errorf("before the close came code %d, want 410", code)
			}
			again := client.Join(t, addr, g+"?after="+uuidOf(2))
			if _, code := again.Refusal(); code != http.StatusGone {
				t.Errorf("resumed from what is lost: code %d, want 410", code)
			}
			if published {
				for i := range 5 {
					again.Want(numbered(10 + i))
				}
			}
		})
	}
}

func Test6_AKilledEdgeIsForgotten(t *testing.T) {
	t.Parallel()
	s := testbed.Start(t, testbed.Config{Store: testbed.Single, Edges: 2})
	g := client.Group()
	client.Join(t, s.Edges[0].Addr, g)
	client.Join(t, s.Edges[1].Addr, g)
	count := func(want int) func() error {
		return func() error {
			a := client.Do(t, "GET", s.Edges[0].Addr, "/__/groups", "", "Authorization: Bearer "+testbed.AdminSecret, "Accept: application/json")
			if want := fmt.Sprintf(`{"name":%q,"members":%d}`, g, want); !strings.Contains(strings.ReplaceAll(a.Body, " ", ""), want) {
				return errors.New(a.Body)
			}
			return nil
		}
	}
	eventually(t, "two members", count(2))
	s.Edges[1].Kill()
	eventually(t, "one member", count(1))
}

func Test2_6_AStoppingEdgeClosesWith1001(t *testing.T) {
	t.Parallel()
	s := testbed.Start(t, testbed.Config{Store: testbed.Single, EdgeArgs: []string{"-drain", "1s"}})
	addr, g := s.Edges[0].Addr, client.Group()
	members := []*client.Member{client.Join(t, addr, g), client.Join(t, addr, "/"), client.Join(t, addr, "/timer")}
	ended := make(chan error, 1)
	go func() { ended <- s.Edges[0].Stop() }()
	for _, m := range members {
		m.WantClose(websocket.CloseGoingAway)
	}
	if err := <-ended; err != nil {
		t.Errorf("the edge ended with %v", err)
	}
}
