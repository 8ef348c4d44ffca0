package room_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/room/roomtest"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const other group.Name = "/room/2"

// plainConn is a connection that speaks the dialect plain.
type plainConn struct {
	*roomtest.Peer
	bench   *bench
	conn    *room.Conn
	out     *ws.Outbox
	session uint32
	left    []*room.Member
}

// Result implements relay.Sender.
func (c *plainConn) Result(p *relay.Publication, r relay.Result) { c.conn.Result(p, r) }

// connect opens a connection whose queue has these limits.
func (b *bench) connect(queue ws.Limits) *plainConn {
	b.sessions++
	c := &plainConn{Peer: roomtest.NewPeer(), bench: b, session: b.sessions, out: ws.NewOutbox(queue, b.flusher)}
	c.conn = b.registry.NewConn(room.ConnOptions{
		Session: c.session, Dialect: plain{}, Out: c.out, Window: ws.Limits{Frames: 8, Bytes: 1000},
		Left: func(m *room.Member) { c.left = append(c.left, m) },
	})
	c.conn.Start(b.Context())
	c.out.Start(c.Peer)
	return c
}

func (c *plainConn) tryJoin(g group.Name, start room.Start) (*room.Member, error) {
	ctx, cancel := context.WithTimeout(c.bench.Context(), 2*time.Second)
	defer cancel()
	m := c.conn.NewMember(start)
	return m, c.bench.registry.JoinAnswered(ctx, g, m)
}

func (c *plainConn) join(g group.Name, start room.Start) *room.Member {
	c.bench.Helper()
	m, err := c.tryJoin(g, start)
	if err != nil {
		c.bench.Fatalf("join %s: %v", g, err)
	}
	return m
}

// publish sends a packet to chat. Request 0 wants no answer.
func (c *plainConn) publish(m *room.Member, kind stream.Kind, text string, request uint64) {
	p := &relay.Publication{Group: chat, Kind: kind, Payload: []byte(text), Session: c.session, From: c}
	if kind == stream.Message {
		p.UUID, p.Payload = text, roomtest.Data(text)
	}
	p.Number, _ = c.conn.Pending().Add(room.Publish{Member: m, Group: chat, Kind: kind, UUID: p.UUID, Request: request}, len(p.Payload))
	c.bench.relay.Publish(p)
}

func (c *plainConn) want(want ...string) {
	c.bench.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, c.Got()); diff != "" {
		c.bench.Errorf("session %d got (-want +got):\n%s", c.session, diff)
	}
}

func (b *bench) at(n int) *stream.Position {
	pos := b.relay.Log(chat).At(n)
	return &pos
}

func TestAJoinIsAnsweredThenStoredEventsComeThenLiveOnes(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.data(nil, "a", "b", "c", "d", "e")
		c := b.connect(limits)
		m := c.join(chat, room.Start{From: b.at(1)})
		synctest.Wait()
		b.data(nil, "f")
		c.want("/room/1 joined 1.0", "/room/1 message b 2.0", "/room/1 message c 3.0", "/room/1 message d 4.0", "/room/1 message e 5.0",
			"/room/1 live 5.0", "/room/1 message f 6.0")
		b.registry.Leave(m)
		b.data(nil, "g")
		c.want("/room/1 joined 1.0", "/room/1 message b 2.0", "/room/1 message c 3.0", "/room/1 message d 4.0", "/room/1 message e 5.0",
			"/room/1 live 5.0", "/room/1 message f 6.0")
	})
}

func TestAJoinFromTheNewestPlaceReadsNothing(t *testing.T) {
	for _, attached := range []bool{false, true} {
		inBubble(t, func(b *bench) {
			b.data(nil, "a", "b")
			if attached {
				b.join(chat, "")
			}
			c := b.connect(limits)
			c.join(chat, room.Start{From: b.at(2)})
			b.data(nil, "c")
			c.want("/room/1 joined 2.0", "/room/1 live 2.0", "/room/1 message c 3.0")
			if n := b.relay.Reads(); n != 0 {
				b.Errorf("attached before: %v: %d reads, want none", attached, n)
			}
		})
	}
}

func TestAJoinBeginsWithTheNewestMessages(t *testing.T) {
	for name, tt := range map[string]struct {
		start func(b *bench) room.Start
		want  []string
	}{
		"now": {func(*bench) room.Start { return room.Start{} }, []string{"joined 5.0"}},
		"from a lost place": {
			func(b *bench) room.Start { return room.Start{From: b.at(1)} }, []string{"joined 5.0 gap"},
		},
		"from a lost place, or the last 2": {
			func(b *bench) room.Start { return room.Start{From: b.at(1), Last: 2} },
			[]string{"joined 3.0 gap", "message d 4.0", "message e 5.0"},
		},
		"from a lost place, or more than there are": {
			func(b *bench) room.Start { return room.Start{From: b.at(1), Last: 100} },
			[]string{"joined 3.0 gap", "message d 4.0", "message e 5.0"},
		},
		"the last one":           {func(*bench) room.Start { return room.Start{Last: 1} }, []string{"joined 4.0", "message e 5.0"}},
		"from a good place":      {func(b *bench) room.Start { return room.Start{From: b.at(4), Last: 2} }, []string{"joined 4.0", "message e 5.0"}},
		"the last of more pages": {func(*bench) room.Start { return room.Start{Last: 9} }, []string{"joined 3.0", "message d 4.0", "message e 5.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.data(nil, "a", "b", "c", "d", "e")
				b.relay.Log(chat).Trim(2)
				c := b.connect(limits)
				c.join(chat, tt.start(b))
				synctest.Wait()
				b.data(nil, "f")
				var want []string
				for _, s := range append(tt.want, "live 5.0", "message f 6.0") {
					want = append(want, "/room/1 "+s)
				}
				c.want(want...)
			})
		})
	}
}

func TestAJoinFailsInTimeWhenTheStoreCannotBeRead(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.data(nil, "a", "b")
		b.relay.FailReads(errors.New("the store is down"))
		c := b.connect(limits)
		began := time.Now()
		if _, err := c.tryJoin(chat, room.Start{From: b.at(1)}); !errors.Is(err, room.ErrUnavailable) {
			b.Errorf("join: %v, want ErrUnavailable", err)
		}
		if took := time.Since(began); took > 2*time.Second {
			b.Errorf("took %v, want at most 2s", took)
		}
		b.relay.FailReads(nil)
		b.data(nil, "c")
		c.want()
		if len(c.left) > 0 || len(b.registry.Members()) > 0 {
			b.Errorf("%d left, members %v; want none", len(c.left), b.registry.Members())
		}
		c.join(chat, room.Start{From: b.at(3)})
		c.want("/room/1 joined 3.0", "/room/1 live 3.0")
	})
}

func TestAnswersTakeThePlaceOfTheirMessages(t *testing.T) {
	inBubble(t, func(b *bench) {
		c := b.connect(limits)
		m := c.join(chat, room.Start{})
		c.publish(m, stream.Message, "a", 1)
		synctest.Wait()
		c.publish(m, stream.Message, "b", 0) // unanswered: an event, as others
		synctest.Wait()
		c.publish(m, stream.Text, "x", 3)
		synctest.Wait()
		c.publish(m, stream.Message, "a", 4) // a duplicate
		synctest.Wait()
		c.publish(nil, stream.Message, "d", 5) // before its join, as it were
		synctest.Wait()
		got := c.Got()
		slices.Sort(got[len(got)-2:]) // the last publish and its event, in any order
		if diff := cmp.Diff([]string{
			"/room/1 joined 0.0", "/room/1 live 0.0", "/room/1 ok 1 1.0", "/room/1 message b 2.0", "re 3 0", "re 4 1",
			"/room/1 message d 3.0", "re 5 3",
		}, got); diff != "" {
			b.Errorf("got (-want +got):\n%s", diff)
		}
		if n, used := c.conn.Pending().Unsettled(); n != 0 || used != 0 {
			b.Errorf("%d unsettled, %d in the window, want none", n, used)
		}
	})
}

func TestAPublishAnsweredWith504IsAnEventLikeOthers(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.relay.Distort(func(relay.Result) relay.Result { return relay.Result{Outcome: relay.Unknown} })
		c := b.connect(limits)
		m := c.join(chat, room.Start{})
		b.relay.Break()
		c.publish(m, stream.Message, "a", 1)
		c.want("/room/1 joined 0.0", "/room/1 live 0.0", "refused 1 504")
		b.relay.Restore()
		c.want("/room/1 joined 0.0", "/room/1 live 0.0", "refused 1 504", "/room/1 message a 1.0")
	})
}

func TestAPublishUnansweredAtALeaveIsAnsweredByItsResult(t *testing.T) {
	inBubble(t, func(b *bench) {
		c := b.connect(limits)
		m := c.join(chat, room.Start{})
		b.relay.Break() // results come, deliveries do not
		c.publish(m, stream.Message, "a", 1)
		c.want("/room/1 joined 0.0", "/room/1 live 0.0")
		b.registry.Leave(m)
		c.want("/room/1 joined 0.0", "/room/1 live 0.0", "re 1 1")
		c.publish(m, stream.Message, "b", 2) // its member has left meanwhile
		c.want("/room/1 joined 0.0", "/room/1 live 0.0", "re 1 1", "re 2 2")
		b.relay.Restore()
		c.join(chat, room.Start{From: b.at(0)})
		c.want("/room/1 joined 0.0", "/room/1 live 0.0", "re 1 1", "re 2 2",
			"/room/1 joined 0.0", "/room/1 message a 1.0", "/room/1 message b 2.0", "/room/1 live 2.0")
	})
}

func TestEventsLostAreAGapAfterWhichAMemberGoesOn(t *testing.T) {
	inBubble(t, func(b *bench) {
		c := b.connect(limits)
		m := c.join(chat, room.Start{})
		b.data(nil, "a")
		b.relay.Break()
		c.publish(m, stream.Message, "b", 1) // its place is skipped
		b.relay.Log(chat).Trim(0)
		b.relay.Restore()
		synctest.Wait()
		b.data(nil, "c")
		c.want("/room/1 joined 0.0", "/room/1 live 0.0", "/room/1 message a 1.0",
			"/room/1 gap 2.0", "re 1 2", "/room/1 message c 3.0")
		if c.out.Cause() != nil {
			b.Errorf("closed: %v", c.out.Cause())
		}
	})
}

func TestAForkIsAGapAfterWhichAMemberGoesOn(t *testing.T) {
	inBubble(t, func(b *bench) {
		c := b.connect(limits)
		c.join(chat, room.Start{})
		b.data(nil, "a", "b")
		b.relay.Break()
		b.relay.Log(chat).Fork(1)
		b.data(nil, "c")
		b.relay.Restore()
		synctest.Wait()
		b.data(nil, "d")
		c.want("/room/1 joined 0.0", "/room/1 live 0.0", "/room/1 message a 1.0", "/room/1 message b 2.0",
			"/room/1 gap 2.0", "/room/1 message d 3.0")
	})
}

func TestAHistoryTrimmedWhileAMemberIsBehindIsAGap(t *testing.T) {
	inBubble(t, func(b *bench) {
		c := b.connect(smallShare)
		c.join(chat, room.Start{})
		synctest.Wait()
		resume := c.Stall()
		for i := range 30 {
			b.data(nil, fmt.Sprint("m", i))
		}
		b.relay.Log(chat).Trim(2)
		resume()
		time.Sleep(time.Second)
		synctest.Wait()
		b.data(nil, "last")
		got := c.Got()
		gap := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "/room/1 gap ") })
		if gap < 3 || got[len(got)-1] != "/room/1 message last 31.0" || c.out.Cause() != nil {
			b.Errorf("got %q, want messages, a gap, and what comes then", got)
		}
	})
}

// smallShare leaves a member 8 frames and 8 KiB.
var smallShare = ws.Limits{Frames: 32, Bytes: 32 << 10}

func TestAFloodedGroupFallsBehindAndDelaysNoOther(t *testing.T) {
	inBubble(t, func(b *bench) {
		c := b.connect(smallShare)
		c.join(chat, room.Start{})
		c.join(other, room.Start{})
		synctest.Wait()
		resume := c.Stall()
		for i := range 100 {
			b.data(nil, fmt.Sprint("m", i))
			b.publish(nil, stream.Text, "", []byte("noise"))
			synctest.Wait()
		}
		b.relay.PublishFrom(roomtest.OtherEdge, &relay.Publication{Group: other, Kind: stream.Message, UUID: "calm", Payload: roomtest.Data("calm")})
		synctest.Wait()
		if n := c.out.Queued(); n > smallShare.Bytes {
			b.Errorf("%d bytes wait, want at most a queue", n)
		}
		resume()
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		b.data(nil, "last")
		got := c.Got()
		if calm := slices.Index(got, "/room/2 message calm 1.0"); calm < 0 || calm > smallShare.Frames {
			b.Errorf("the other group's message came as number %d, want it within one queue", calm)
		}
		n, lives := 0, 0
		for _, s := range got {
			if strings.HasPrefix(s, "/room/1 message m") {
				if want := fmt.Sprintf("/room/1 message m%d %d.0", n, n+1); s != want {
					b.Fatalf("got %q, want %q", s, want)
				}
				n++
			}
			if strings.HasPrefix(s, "/room/1 live") {
				lives++
			}
		}
		if n != 100 || lives != 1 || got[len(got)-1] != "/room/1 message last 101.0" {
			b.Errorf("%d messages, %d times live, then %q; want 100, 1, and what came last", n, lives, got[len(got)-1])
		}
		if c.out.Cause() != nil {
			b.Errorf("closed: %v", c.out.Cause())
		}
	})
}

func TestAJoinIsAnsweredWhileAnotherMemberCatchesUpSlowly(t *testing.T) {
	inBubble(t, func(b *bench) {
		for i := range 100 {
			b.data(nil, fmt.Sprint("m", i))
		}
		b.relay.PublishFrom(roomtest.OtherEdge, &relay.Publication{Group: other, Kind: stream.Message, UUID: "a", Payload: roomtest.Data("a")})
		synctest.Wait()
		c := b.connect(smallShare)
		resume := c.Stall()
		c.join(chat, room.Start{From: b.at(0)})
		synctest.Wait() // the queue has no room for more of it
		start := stream.Position{}
		c.join(other, room.Start{From: &start})
		resume()
		synctest.Wait()
		got := c.Got()
		at := slices.Index(got, "/room/2 joined 0.0")
		if at < 0 || at > smallShare.Frames || !slices.Contains(got, "/room/2 live 1.0") || !slices.Contains(got, "/room/1 live 100.0") {
			b.Errorf("got %q, want the second answer early, and both live", got)
		}
	})
}

func TestAMembershipIsEndedOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		c := b.connect(smallShare)
		m := c.join(chat, room.Start{})
		if !b.registry.End(m, room.Refusal{Code: 403}) || b.registry.End(m, room.Refusal{Code: 403}) {
			b.Error("a membership is to end once")
		}
		b.data(nil, "a")
		c.want("/room/1 joined 0.0", "/room/1 live 0.0", "/room/1 left 403")
		if len(c.left) > 0 {
			b.Error("the session learns of what it has ended itself")
		}
	})
}

func TestAMemberThatCannotCatchUpLeaves(t *testing.T) {
	inBubble(t, func(b *bench) {
		c := b.connect(smallShare)
		m := c.join(chat, room.Start{})
		synctest.Wait()
		resume := c.Stall()
		for i := range 20 {
			b.data(nil, fmt.Sprint("m", i))
		}
		b.relay.FailReads(errors.New("the store is down"))
		resume()
		time.Sleep(time.Minute)
		synctest.Wait()
		got := c.Got()
		if got[len(got)-1] != "/room/1 left 503" || len(c.left) != 1 || c.left[0] != m {
			b.Errorf("got %q, %d left; want the membership to end with 503", got, len(c.left))
		}
		b.relay.FailReads(nil)
		c.join(chat, room.Start{From: b.at(20)})
	})
}

func TestMembersOfSeveralDialectsShareARoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1)
		one := b.start(chat)
		c := b.connect(limits)
		joined := make(chan *room.Member, 1)
		go func() { joined <- c.join(chat, room.Start{}) }()
		b.settle()
		<-joined
		b.publish(one, stream.Message, "a", roomtest.Data("a"))
		b.relay.Recall(chat, "a") // before it is delivered
		b.publish(nil, stream.Message, "b", roomtest.Data("b"))
		b.settle()
		b.wantGot(one, "ack a", "recall a", "b")
		// It has no message, but learns of every change.
		c.want("/room/1 joined 0.0", "/room/1 live 0.0", "/room/1 recalled a 1.1", "/room/1 message b 2.1")
	})
}

func TestAnEdgeFollowsSoManyGroups(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.registry.LimitGroups(1)
		c := b.connect(limits)
		m := c.join(chat, room.Start{})
		if _, err := c.tryJoin(other, room.Start{}); !errors.Is(err, room.ErrTooManyGroups) {
			b.Errorf("join: %v, want ErrTooManyGroups", err)
		}
		b.join(chat, "") // one more member is none more group
		b.registry.Leave(m)
		if _, err := c.tryJoin(other, room.Start{}); !errors.Is(err, room.ErrTooManyGroups) {
			b.Errorf("join: %v, want ErrTooManyGroups", err)
		}
	})
}

func TestAGroupIsFollowedAfterItsLastMember(t *testing.T) {
	inBubble(t, func(b *bench) {
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		go func() { _ = b.registry.Run(ctx) }()
		b.registry.LimitGroups(1)
		c := b.connect(limits)
		b.registry.LeaveFollowed(c.join(chat, room.Start{}))
		b.data(nil, "a")
		time.Sleep(20 * time.Second)
		if n := b.relay.Open(); n != 1 {
			b.Errorf("%d channels after 20 s, want 1", n)
		}
		b.registry.Leave(c.join(chat, room.Start{From: b.at(1)}))
		if n := b.relay.Reads(); n != 0 {
			b.Errorf("%d reads, want none", n)
		}
		time.Sleep(15 * time.Second)
		if n := b.relay.Open(); n != 0 {
			b.Errorf("%d channels after 35 s, want none", n)
		}
		b.registry.LeaveFollowed(c.join(chat, room.Start{}))
		c.join(other, room.Start{}) // which takes the other's place
		if n := b.relay.Open(); n != 1 {
			b.Errorf("%d channels, want 1", n)
		}
	})
}

func TestOneGroupMayHaveHalfOfTheWindow(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.connect(limits).conn.Pending() // 8 publishes, 1000 bytes
		add := func(g group.Name, bytes int) uint32 {
			n, _ := p.Add(room.Publish{Group: g}, bytes)
			return n
		}
		first := add(chat, 10)
		for range 3 {
			add(chat, 10)
		}
		if p.MayAdd(chat, 10) || !p.MayAdd(other, 10) {
			b.Error("one group may have 4 of 8 publishes, and another one the rest")
		}
		p.Settle(first, ws.Frame{})
		if !p.MayAdd(chat, 10) || p.MayAdd(chat, 490) || !p.MayAdd(other, 490) {
			b.Error("one group may have half of the bytes")
		}
	})
}

func TestClockHasMembersOfEachDialect(t *testing.T) {
	inBubble(t, func(b *bench) {
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		go func() { _ = b.registry.Run(ctx) }()
		time.Sleep(300 * time.Millisecond)
		c := b.connect(limits)
		m := c.join(group.Timer, room.Start{})
		now := time.Now().Unix()
		time.Sleep(time.Second)
		c.want("/timer joined 0.0", fmt.Sprint("/timer packet ", now+1))
		b.registry.Leave(m)
		b.registry.Leave(m)
		time.Sleep(2 * time.Second)
		c.want("/timer joined 0.0", fmt.Sprint("/timer packet ", now+1))
	})
}

func TestAClosedConnectionCatchesUpNoMore(t *testing.T) {
	inBubble(t, func(b *bench) {
		for i := range 100 {
			b.data(nil, fmt.Sprint("m", i))
		}
		c := b.connect(smallShare)
		resume := c.Stall()
		m := c.join(chat, room.Start{From: b.at(0)})
		synctest.Wait()
		c.conn.Close()
		c.conn.Wait()
		b.registry.Leave(m)
		resume()
		synctest.Wait()
		if n := len(c.Got()); n > smallShare.Frames {
			b.Errorf("%d frames after the end, want at most what waited", n)
		}
	})
}

// What the member has read of the store is another history than the room's.
func TestACatchUpThatEndsWithAGapIsComplete(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.data(nil, "a", "b")
		early, late := b.connect(limits), b.connect(limits)
		early.join(chat, room.Start{})
		b.relay.FailReads(errors.New("down"))
		go func() { _, _ = late.tryJoin(chat, room.Start{Last: 5}) }()
		synctest.Wait()
		b.relay.Break()
		b.relay.Log(chat).Fork(1)
		b.data(nil, "c")
		b.relay.FailReads(nil)
		time.Sleep(time.Second)
		late.want("/room/1 joined 0.0", "/room/1 message a 1.0", "/room/1 message c 2.0", "/room/1 gap 2.0", "/room/1 live 2.0")
	})
}
