package room_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/room/roomtest"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func TestResumeGivesTheStoredMessagesThenTheLiveOnes(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.data(nil, "a", "b", "c", "d", "e", "f")
		m := b.join(chat, "b")
		b.data(nil, "g")
		b.data(m, "h")
		b.wantGot(m, "c", "d", "e", "f", "g", "ack h")
	})
}

func TestResumeAfterTheNewestMessage(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.data(nil, "a")
		m := b.join(chat, "a")
		b.data(nil, "b")
		b.wantGot(m, "b")
	})
}

func TestResumeBringsOwnEarlierMessages(t *testing.T) {
	inBubble(t, func(b *bench) {
		before := b.join(chat, "")
		b.data(before, "a", "b")
		b.registry.Leave(before.Member)
		m := b.join(chat, "a")
		b.wantGot(m, "b")
	})
}

func TestResumeBringsRecallsOfMessagesThatTheMemberHad(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.data(nil, "a", "b", "c")
		b.relay.Recall(chat, "a")
		b.relay.Recall(chat, "c")
		m := b.join(chat, "b")
		b.data(nil, "d")
		b.relay.Recall(chat, "b")
		b.wantGot(m, "recall a", "d", "recall b")
	})
}

func TestResumeAfterAnUnknownMessageIsAGapThenAllThatIsRetained(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.data(nil, "a", "b", "c", "d", "e")
		b.relay.Log(chat).Trim(4)
		m := b.join(chat, "no such")
		b.data(nil, "f")
		b.wantGot(m, "error 410 ", "b", "c", "d", "e", "f")
	})
}

func TestResumeInAGroupWithoutMessages(t *testing.T) {
	inBubble(t, func(b *bench) {
		m := b.join(chat, "no such")
		b.data(nil, "a")
		b.wantGot(m, "error 410 ", "a")
	})
}

func TestResumeTriesAgainAndThenGivesUp(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.data(nil, "a", "b")
		b.relay.FailReads(errors.New("no store"))
		m := b.join(chat, "a")
		time.Sleep(time.Second)
		b.relay.FailReads(nil)
		time.Sleep(time.Second)
		b.wantGot(m, "b")

		b.relay.FailReads(errors.New("no store"))
		n := b.join(chat, "a")
		time.Sleep(time.Minute)
		b.wantGot(n, "close 1013")
	})
}

func TestResumeEndsWhenTheHistoryIsTrimmedWhileItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1)
		b.data(nil, "a", "b", "c", "d", "e", "f", "g", "h", "i")
		m := b.start(chat)
		n := b.newMember("a")
		if err := b.tryJoin(chat, n); err != nil {
			t.Fatal(err)
		}
		n.out.Start(n.Peer)
		n.conn.Start(t.Context())
		for range 2 { // the read of the first page, and its answer
			synctest.Wait()
			b.relay.Step()
		}
		b.relay.Log(chat).Trim(1)
		b.settle()
		b.wantGot(n, "b", "c", "d", "error 410 ", "close 1012")
		b.wantGot(m)
	})
}

func TestResumingMemberGetsBroadcastsOfTheMeantimeAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1)
		b.data(nil, "a", "b")
		m := b.start(chat)
		b.publish(nil, stream.Text, "", []byte("before"))
		b.settle()
		n := b.newMember("a")
		if err := b.tryJoin(chat, n); err != nil {
			t.Fatal(err)
		}
		b.publish(nil, stream.Text, "", []byte("during"))
		b.settle()
		n.out.Start(n.Peer)
		n.conn.Start(t.Context())
		b.settle()
		b.wantGot(m, "before", "during")
		b.wantGot(n, "b", "during")
	})
}

func TestManyResumesFromOnePlaceShareTheReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1)
		b.data(nil, "a", "b")
		b.start(chat)
		var all []*member
		for range 100 {
			m := b.newMember("a")
			if err := b.tryJoin(chat, m); err != nil {
				t.Fatal(err)
			}
			m.out.Start(m.Peer)
			m.conn.Start(t.Context())
			all = append(all, m)
		}
		synctest.Wait()
		b.settle()
		for _, m := range all {
			b.wantGot(m, "b")
		}
		if n := b.relay.Reads(); n > 2 {
			t.Errorf("100 members took %d reads, want at most 2", n)
		}
	})
}

func TestResumeWaitsForASlowReaderInsteadOfDroppingIt(t *testing.T) {
	inBubble(t, func(b *bench) {
		large := make([]byte, 30<<10)
		for i := range large {
			large[i] = ' '
		}
		b.data(nil, "a")
		for range 100 {
			b.publish(nil, stream.Message, "", append(roomtest.Data("x"), large...))
		}
		m := b.newMember("a")
		if err := b.tryJoin(chat, m); err != nil {
			b.Fatal(err)
		}
		resume := m.Stall()
		m.out.Start(m.Peer)
		m.conn.Start(b.Context())
		synctest.Wait()
		if n := m.out.Queued(); n == 0 || n > limits.Bytes {
			b.Errorf("%d bytes wait for a stalled reader, want some, at most %d", n, limits.Bytes)
		}
		resume()
		synctest.Wait()
		if n := len(m.Got()); n != 100 {
			b.Errorf("got %d messages, want 100", n)
		}
	})
}

func TestBroadcastsBeforeAMemberJoinedAreNotForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1)
		b.data(nil, "a", "b")
		b.start(chat)
		one, two := b.newMember("a"), b.newMember("a")
		if err := b.tryJoin(chat, one); err != nil {
			t.Fatal(err)
		}
		b.publish(nil, stream.Text, "", []byte("first"))
		b.settle()
		if err := b.tryJoin(chat, two); err != nil {
			t.Fatal(err)
		}
		b.publish(nil, stream.Text, "", []byte("second"))
		b.settle()
		for _, m := range []*member{one, two} {
			m.out.Start(m.Peer)
			m.conn.Start(t.Context())
		}
		b.settle()
		b.wantGot(one, "b", "first", "second")
		b.wantGot(two, "b", "second")
	})
}

func TestRecentEventsAreKeptOnlyWhileSomebodyCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1)
		b.data(nil, "a", "b")
		m := b.start(chat)
		quick, gone := b.newMember("a"), b.newMember("a")
		for _, n := range []*member{quick, gone} {
			if err := b.tryJoin(chat, n); err != nil {
				t.Fatal(err)
			}
			n.out.Start(n.Peer)
		}
		wantCatching := func(want int) {
			t.Helper()
			if n, keeps := m.Catching(); n != want || keeps != (want > 0) {
				t.Errorf("%d catch up, recent events kept: %v; want %d", n, keeps, want)
			}
		}
		wantCatching(2)
		quick.conn.Start(t.Context())
		b.settle()
		wantCatching(1)
		gone.conn.Start(t.Context())
		synctest.Wait() // it reads
		b.registry.Leave(gone.Member)
		wantCatching(0)
		b.settle()
		wantCatching(0)
		b.registry.Leave(quick.Member)
		wantCatching(0)
	})
}
