package room_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/gotapi/gotapi-ws/edge/internal/dialect/v1"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/room/roomtest"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/internal/quota"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const chat group.Name = "/room/1"

var limits = ws.Limits{Frames: 4096, Bytes: 1 << 20}

// bench is a registry with its relay and some members, in a synctest bubble.
type bench struct {
	*testing.T
	log      *bytes.Buffer // read when nothing runs
	relay    *roomtest.Relay
	registry *room.Registry
	flusher  *ws.Flusher
	sessions uint32
}

// inBubble runs a test in a bubble, with a relay that does what it can at once.
func inBubble(t *testing.T, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			b.relay.Run(ctx)
		}()
		test(b)
		cancel()
		<-done
	})
}

func newBench(t *testing.T, seed uint64) *bench {
	t.Helper()
	r, log := roomtest.New(seed, 3), new(bytes.Buffer)
	g := room.New(r, roomtest.Edge, limit.NewBudget(quota.MemoryLimit(), prometheus.NewRegistry()), slog.New(slog.NewTextHandler(log, nil)), prometheus.NewRegistry())
	r.Serve(g)
	return &bench{T: t, log: log, relay: r, registry: g, flusher: ws.NewFlusher(prometheus.NewRegistry())}
}

// member is a member with its far end.
type member struct {
	*room.Member
	*roomtest.Peer
	conn    *room.Conn
	out     *ws.Outbox
	pending *room.Pending
	session uint32
	// The results of its publishes.
	results map[uint32]relay.Result
}

// Result implements relay.Sender.
func (m *member) Result(p *relay.Publication, r relay.Result) {
	m.results[p.Number] = r
	m.conn.Result(p, r)
}

// join makes a member that has joined and whose outbox is open.
func (b *bench) join(g group.Name, after string) *member {
	b.Helper()
	m := b.newMember(after)
	if err := b.tryJoin(g, m); err != nil {
		b.Fatalf("join %s: %v", g, err)
	}
	m.out.Start(m.Peer)
	m.conn.Start(b.Context())
	synctest.Wait()
	return m
}

func (b *bench) newMember(after string) *member {
	b.sessions++
	m := &member{Peer: roomtest.NewPeer(), out: ws.NewOutbox(limits, b.flusher), session: b.sessions, results: make(map[uint32]relay.Result)}
	m.conn = b.registry.NewConn(room.ConnOptions{Session: m.session, Dialect: v1.Dialect, Out: m.out, Window: limits})
	m.pending = m.conn.Pending()
	m.Member = m.conn.NewMember(room.Start{AfterUUID: after})
	return m
}

func (b *bench) tryJoin(g group.Name, m *member) error {
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Second)
	defer cancel()
	return b.registry.Join(ctx, g, m.Member)
}

// publish sends a packet as a member; from nil, as another edge.
func (b *bench) publish(from *member, kind stream.Kind, uuid string, payload []byte) {
	p := &relay.Publication{Group: chat, Kind: kind, UUID: uuid, Payload: payload}
	if from == nil {
		b.relay.PublishFrom(roomtest.OtherEdge, p)
		return
	}
	p.Session, p.From = from.session, from
	p.Number, _ = from.pending.Add(room.Publish{Member: from.Member, Group: chat, Kind: kind, UUID: uuid}, len(payload))
	b.relay.Publish(p)
}

// wantSettled checks that nothing is left of a member's publishes.
func (b *bench) wantSettled(m *member) {
	b.Helper()
	if n, used := m.pending.Unsettled(); n != 0 || used != 0 {
		b.Errorf("member %d has %d unsettled publishes, and %d in its window, want none", m.session, n, used)
	}
}

// data publishes data packets one after another.
func (b *bench) data(from *member, uuids ...string) {
	for _, uuid := range uuids {
		b.publish(from, stream.Message, uuid, roomtest.Data(uuid))
	}
	synctest.Wait()
}

func (b *bench) wantGot(m *member, want ...string) {
	b.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, m.Got()); diff != "" {
		b.Errorf("member %d got (-want +got):\n%s", m.session, diff)
	}
}

func TestMembersGetEventsInOrderAndTheSenderGetsTheAckInPlace(t *testing.T) {
	inBubble(t, func(b *bench) {
		one, two := b.join(chat, ""), b.join(chat, "")
		b.data(nil, "a")
		b.data(one, "b")
		b.data(two, "c")
		b.publish(one, stream.Text, "", []byte("hello"))
		b.publish(two, stream.Binary, "", []byte{1, 2})
		b.wantGot(one, "a", "ack b", "c", "binary \x01\x02")
		b.wantGot(two, "a", "b", "ack c", "hello")
		b.wantSettled(one)
		b.wantSettled(two)
	})
}

func TestSessionsOfOtherEdgesAndHTTPAreNoSenders(t *testing.T) {
	inBubble(t, func(b *bench) {
		one := b.join(chat, "")
		b.relay.PublishFrom(roomtest.OtherEdge, &relay.Publication{
			Group: chat, Kind: stream.Message, UUID: "a", Payload: roomtest.Data("a"), Session: one.session, Number: 1,
		})
		b.relay.PublishFrom(roomtest.Edge, &relay.Publication{
			Group: chat, Kind: stream.Message, UUID: "b", Payload: roomtest.Data("b"), Number: 1,
		})
		b.wantGot(one, "a", "b")
	})
}

func TestAckNeedsNoUUID(t *testing.T) {
	inBubble(t, func(b *bench) {
		one := b.join(chat, "")
		b.publish(one, stream.Message, "", []byte(`{"type":2}`))
		b.wantGot(one, "ack ")
	})
}

func TestRecallReachesMembersOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		one, two := b.join(chat, ""), b.join(chat, "")
		b.data(one, "a")
		b.relay.Recall(chat, "a")
		b.relay.Recall(chat, "a")
		b.wantGot(one, "ack a", "recall a")
		b.wantGot(two, "a", "recall a")
	})
}

func TestMessageRecalledBeforeDeliveryIsNotSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1)
		one, two := b.start(chat), b.start(chat)
		b.publish(one, stream.Message, "a", roomtest.Data("a"))
		b.relay.Recall(chat, "a")
		b.publish(nil, stream.Message, "b", roomtest.Data("b"))
		b.settle()
		// The sender has the message without having received it.
		b.wantGot(one, "ack a", "recall a", "b")
		b.wantGot(two, "b")
	})
}

// start is join when nobody runs the relay.
func (b *bench) start(g group.Name) *member {
	b.Helper()
	m := b.newMember("")
	joined := make(chan error, 1)
	go func() { joined <- b.tryJoin(g, m) }()
	synctest.Wait()
	b.settle()
	if err := <-joined; err != nil {
		b.Fatalf("join %s: %v", g, err)
	}
	m.out.Start(m.Peer)
	return m
}

// settle lets everything happen.
func (b *bench) settle() {
	for more := true; more; more = b.relay.Step() {
		synctest.Wait()
	}
}

func TestWhatIsPublishedAfterJoinWaitsForTheOutbox(t *testing.T) {
	inBubble(t, func(b *bench) {
		m := b.newMember("")
		if err := b.tryJoin(chat, m); err != nil {
			b.Fatal(err)
		}
		b.data(nil, "a", "b")
		m.out.Start(m.Peer)
		b.wantGot(m, "a", "b")
	})
}

func TestJoinFailsInTimeWhenThereIsNoStream(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.relay.Break()
		began := time.Now()
		if err := b.tryJoin(chat, b.newMember("")); !errors.Is(err, room.ErrUnavailable) {
			b.Errorf("join: %v, want ErrUnavailable", err)
		}
		if took := time.Since(began); took != 2*time.Second {
			b.Errorf("took %v, want 2s", took)
		}
		if n := b.registry.Members(); len(n) != 0 {
			b.Errorf("members: %v, want none", n)
		}
	})
}

func TestJoinFailsAtOnceWhenTheGroupIsRefused(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.relay.RefuseAttach(errors.New("not a list"))
		began := time.Now()
		if err := b.tryJoin(chat, b.newMember("")); !errors.Is(err, room.ErrUnavailable) {
			b.Errorf("join: %v, want ErrUnavailable", err)
		}
		if took := time.Since(began); took != 0 {
			b.Errorf("took %v, want no time", took)
		}
		b.relay.RefuseAttach(nil)
		m := b.join(chat, "")
		b.data(nil, "a")
		b.wantGot(m, "a")
	})
}

func TestJoinWaitsForTheStream(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.relay.Break()
		m := b.newMember("")
		joined := make(chan error, 1)
		go func() { joined <- b.tryJoin(chat, m) }()
		time.Sleep(time.Second)
		b.relay.Restore()
		if err := <-joined; err != nil {
			b.Error(err)
		}
	})
}

func TestLastMemberDetachesTheGroup(t *testing.T) {
	inBubble(t, func(b *bench) {
		one, two := b.join(chat, ""), b.join(chat, "")
		if n := b.relay.Open(); n != 1 {
			b.Errorf("%d channels for one group, want 1", n)
		}
		if diff := cmp.Diff(map[group.Name]uint32{chat: 2}, b.registry.Members()); diff != "" {
			b.Error(diff)
		}
		b.registry.Leave(one.Member)
		b.data(nil, "a")
		b.registry.Leave(two.Member)
		if n := b.relay.Open(); n != 0 {
			b.Errorf("%d channels without members, want 0", n)
		}
		b.data(nil, "b")
		b.wantGot(one)
		b.wantGot(two, "a")
		three := b.join(chat, "")
		b.data(nil, "c")
		b.wantGot(three, "c")
	})
}

func TestMembersMissNothingWhenTheStreamIsRestored(t *testing.T) {
	inBubble(t, func(b *bench) {
		one := b.join(chat, "")
		b.data(one, "a")
		b.relay.Break()
		b.data(one, "b")
		b.data(nil, "c")
		b.relay.Recall(chat, "a")
		b.wantGot(one, "ack a")
		b.relay.Restore()
		b.wantGot(one, "ack a", "ack b", "c", "recall a")
	})
}

func TestHoleIsFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1)
		one := b.start(chat)
		b.publish(nil, stream.Message, "a", roomtest.Data("a"))
		b.relay.Lose()
		b.publish(nil, stream.Message, "b", roomtest.Data("b"))
		b.settle()
		b.wantGot(one, "a", "b")
	})
}

func TestHoleThatNoEventShowsIsFilledSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = b.registry.Run(ctx) }()
		one := b.start(chat)
		b.publish(one, stream.Message, "a", roomtest.Data("a"))
		b.relay.Lose()
		b.settle()
		b.wantGot(one)
		time.Sleep(2 * time.Second)
		b.settle()
		b.wantGot(one, "ack a")
	})
}

func TestMembersAreToldOfAGapAndClosed(t *testing.T) {
	inBubble(t, func(b *bench) {
		one := b.join(chat, "")
		b.data(nil, "a")
		b.relay.Break()
		b.data(nil, "b", "c")
		b.relay.Log(chat).Trim(1)
		b.relay.Restore()
		b.wantGot(one, "a", "error 410 ", "close 1012")
		if said := b.log.String(); strings.Count(said, "level=WARN") != 1 || !strings.Contains(said, "group="+string(chat)+" members=1 losses_total=1") {
			t.Errorf("log: %q, want one warning with the group and the number of its members", said)
		}
		two := b.join(chat, "")
		b.data(nil, "d")
		b.wantGot(two, "d")
		b.wantGot(one, "a", "error 410 ", "close 1012")
	})
}

func TestMemberThatJoinsALostRoomIsNotToldOfItsGap(t *testing.T) {
	inBubble(t, func(b *bench) {
		one := b.join(chat, "")
		b.data(nil, "a")
		b.relay.Break()
		b.data(nil, "b")
		b.relay.Log(chat).Trim(0)
		two := b.newMember("")
		joined := make(chan error, 1)
		go func() { joined <- b.tryJoin(chat, two) }()
		synctest.Wait()
		b.relay.Restore()
		if err := <-joined; err != nil {
			b.Fatal(err)
		}
		two.out.Start(two.Peer)
		b.data(nil, "c")
		b.wantGot(one, "a", "error 410 ", "close 1012")
		b.wantGot(two, "c")
	})
}

func TestForkIsAGap(t *testing.T) {
	inBubble(t, func(b *bench) {
		one := b.join(chat, "")
		b.data(nil, "a", "b")
		b.relay.Break()
		b.relay.Log(chat).Fork(1)
		b.data(nil, "c")
		b.relay.Restore()
		b.wantGot(one, "a", "b", "error 410 ", "close 1012")
	})
}

func TestRefusedRoomWithMembersIsTriedAgain(t *testing.T) {
	inBubble(t, func(b *bench) {
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		go func() { _ = b.registry.Run(ctx) }()
		one := b.join(chat, "")
		b.data(nil, "a")
		b.relay.Break()
		b.data(nil, "b")
		b.relay.RefuseAttach(errors.New("not now"))
		b.relay.Restore()
		synctest.Wait()
		b.relay.RefuseAttach(nil)
		time.Sleep(time.Second)
		b.wantGot(one, "a", "b")
	})
}

func TestDuplicateIsAckedAtOnceWhenItsPlaceIsPassed(t *testing.T) {
	inBubble(t, func(b *bench) {
		one := b.join(chat, "")
		b.data(nil, "a", "b")
		b.resend(one, "a")
		b.wantGot(one, "a", "b", "ack a")
		b.wantSettled(one)
	})
}

func TestDuplicateIsAckedInItsPlaceWhenThatIsStillToCome(t *testing.T) {
	inBubble(t, func(b *bench) {
		one := b.join(chat, "")
		b.data(nil, "a")
		b.relay.Break()
		b.data(nil, "b", "c", "d")
		b.resend(one, "c")
		b.resend(one, "b")
		b.wantGot(one, "a")
		b.relay.Restore()
		b.wantGot(one, "a", "b", "ack b", "c", "ack c", "d")
	})
}

// resend publishes a stored message again.
func (b *bench) resend(m *member, uuid string) {
	b.Helper()
	b.publish(m, stream.Message, uuid, roomtest.Data(uuid))
	synctest.Wait()
	if got := m.results[uint32(len(m.results))].Outcome; got != relay.Duplicate {
		b.Fatalf("%s again: outcome %v, want Duplicate", uuid, got)
	}
}

func TestAckOfARecalledMessageThatIsSentAgainIsFollowedByTheRecall(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.data(nil, "a", "b")
		b.relay.Recall(chat, "a")
		fresh, resumed := b.join(chat, ""), b.join(chat, "b")
		b.resend(fresh, "a")
		b.wantGot(fresh, "ack a", "recall a")
		b.resend(fresh, "b") // which is as it was
		b.wantGot(fresh, "ack a", "recall a", "ack b")
		b.resend(fresh, "a")
		b.wantGot(fresh, "ack a", "recall a", "ack b", "ack a")
		b.wantGot(resumed, "recall a")
		b.resend(resumed, "a") // it knows by its resume
		b.wantGot(resumed, "recall a", "ack a")
	})
}

func TestRecallIsToldOnceHoweverAResendCrossesIt(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.data(nil, "a", "b")
		before, behind := b.join(chat, ""), b.join(chat, "")
		b.relay.Recall(chat, "a")
		b.wantGot(before, "recall a")
		b.resend(before, "a")
		b.wantGot(before, "recall a", "ack a")

		b.relay.Break() // the recall of b is on its way
		b.relay.Recall(chat, "b")
		b.resend(behind, "b")
		b.wantGot(behind, "recall a", "ack b", "recall b")
		b.relay.Restore()
		b.data(nil, "c")
		b.wantGot(behind, "recall a", "ack b", "recall b", "c")
		b.wantGot(before, "recall a", "ack a", "recall b", "c")
	})
}

// The relay sends a publication again whose result was lost with a history service:
// the result of its own message then says that it is a duplicate.
func TestRetriedPublicationIsAckedOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.relay.Distort(func(r relay.Result) relay.Result {
			if r.Outcome == relay.Accepted {
				r.Outcome = relay.Duplicate
			}
			return r
		})
		one := b.join(chat, "")
		b.data(one, "a") // the delivery may come before the result or after it
		b.wantGot(one, "ack a")
		b.wantSettled(one)
		b.relay.Break() // the result comes long before
		b.data(one, "b")
		b.wantGot(one, "ack a")
		b.relay.Restore()
		b.wantGot(one, "ack a", "ack b")
		// A publish of its own that is a duplicate has an ack of its own.
		b.resend(one, "b")
		b.wantGot(one, "ack a", "ack b", "ack b")
		b.wantSettled(one)
	})
}

func TestRefusalSettlesAPublishThatMayBeAckedAllTheSame(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.relay.Distort(func(relay.Result) relay.Result { return relay.Result{Outcome: relay.Unknown} })
		one := b.join(chat, "")
		b.relay.Break()
		b.data(one, "a")
		b.wantGot(one, "error 504 a")
		b.wantSettled(one)
		b.relay.Restore()
		b.wantGot(one, "error 504 a", "ack a")
	})
}

func TestResultThatComesAfterTheAckRefusesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1)
		one := b.start(chat)
		b.publish(one, stream.Message, "a", roomtest.Data("a"))
		b.settle()
		b.wantGot(one, "ack a")
		late := &relay.Publication{Group: chat, Kind: stream.Message, UUID: "a", Session: one.session, Number: 1}
		if one.conn.Result(late, relay.Result{Outcome: relay.Unknown}) {
			t.Error("the publish is refused after its ack")
		}
		b.wantGot(one, "ack a")
	})
}

func TestDuplicatesThatWaitForTheirFirstCopyFillTheWindow(t *testing.T) {
	inBubble(t, func(b *bench) {
		one := b.join(chat, "")
		b.relay.Break()
		b.data(nil, "a")
		added := make(chan struct{})
		go func() {
			defer close(added)
			for range limits.Frames + 1 {
				number, _ := one.pending.Add(room.Publish{Member: one.Member, Group: chat, Kind: stream.Message, UUID: "a"}, 1)
				p := &relay.Publication{Group: chat, Kind: stream.Message, UUID: "a", Session: one.session, Number: number, From: one}
				b.relay.Publish(p)
			}
		}()
		synctest.Wait()
		if n, _ := one.pending.Unsettled(); n != limits.Frames {
			b.Errorf("%d publishes are unsettled, want %d: no more than the window has", n, limits.Frames)
		}
		b.relay.Restore()
		<-added
		synctest.Wait()
		b.wantSettled(one)
	})
}

func TestTimerTellsWholeSeconds(t *testing.T) {
	inBubble(t, func(b *bench) {
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		go func() { _ = b.registry.Run(ctx) }()
		time.Sleep(300 * time.Millisecond)
		one := b.join(group.Timer, "")
		now := time.Now().Unix()
		time.Sleep(2 * time.Second)
		b.wantGot(one, fmt.Sprint(now+1), fmt.Sprint(now+2))
		if diff := cmp.Diff(map[group.Name]uint32{group.Timer: 1}, b.registry.Members()); diff != "" {
			b.Error(diff)
		}
		b.registry.Leave(one.Member)
		time.Sleep(2 * time.Second)
		b.wantGot(one, fmt.Sprint(now+1), fmt.Sprint(now+2))
	})
}

func TestSlowMemberIsDisconnectedAndOthersGoOn(t *testing.T) {
	inBubble(t, func(b *bench) {
		slow, quick := b.join(chat, ""), b.join(chat, "")
		resume := slow.Stall()
		for range 40 {
			b.publish(nil, stream.Text, "", make([]byte, 32<<10))
			synctest.Wait()
		}
		time.Sleep(6 * time.Second) // it takes nothing
		b.publish(nil, stream.Text, "", []byte("one more"))
		synctest.Wait()
		resume()
		synctest.Wait()
		if n := len(quick.Got()); n != 41 {
			b.Errorf("the quick member got %d packets, want 41", n)
		}
		got := slow.Got()
		if len(got) == 0 || len(got) >= 41 || got[len(got)-1] != "close 1013" {
			b.Errorf("the slow member got %d frames, the last of them %.20q, want some, then close 1013", len(got), got[len(got)-1])
		}
	})
}

func TestMemberThatIsBehindButReadsGetsEverything(t *testing.T) {
	inBubble(t, func(b *bench) {
		slow := b.join(chat, "")
		resume := slow.Stall()
		for range 400 { // 12 of its queues
			b.publish(nil, stream.Text, "", make([]byte, 32<<10))
			synctest.Wait()
		}
		time.Sleep(4 * time.Second)
		resume()
		synctest.Wait()
		if n := len(slow.Got()); n != 400 {
			b.Errorf("it got %d frames, want 400", n)
		}
	})
}

func TestSendersAreHeldBackWhileAMemberIsFarBehind(t *testing.T) {
	inBubble(t, func(b *bench) {
		slow := b.join(chat, "")
		throttle := room.NewThrottle(b.relay, b.registry)
		publish := func() (took time.Duration) {
			began := time.Now()
			throttle.Publish(&relay.Publication{Group: chat, Kind: stream.Text, Payload: make([]byte, 32<<10)})
			synctest.Wait()
			return time.Since(began)
		}
		resume := slow.Stall()
		free := 0
		for publish() == 0 {
			free++
		}
		if bytes := free * 32 << 10; bytes < 4<<20 || bytes > 32<<20 {
			t.Errorf("%d bytes went on before senders were held back", bytes)
		}
		if took := publish(); took != time.Second {
			t.Errorf("held back for %v, want a second", took)
		}
		held := make(chan time.Duration, 1)
		go func() { held <- publish() }()
		time.Sleep(100 * time.Millisecond)
		resume()
		if took := <-held; took != 100*time.Millisecond {
			t.Errorf("held back for %v, want until the member had read", took)
		}
		if took := publish(); took != 0 {
			t.Errorf("held back for %v after the member had read", took)
		}
	})
}

func TestAttachedElsewhereThanAskedForIsAGap(t *testing.T) {
	inBubble(t, func(b *bench) {
		one := b.join(chat, "")
		b.data(nil, "a", "b")
		head := b.relay.Log(chat).Head()
		head.Seq++
		b.registry.Attached(1, head, false, nil)
		b.wantGot(one, "a", "b", "error 410 ", "close 1012")
	})
}
