package session_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room/roomtest"
	"github.com/gotapi/gotapi-ws/edge/internal/session"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const chat = "/room/1"

func TestDataPacketsReachOthersAndAreAcked(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one, two := e.dial(chat), e.dial(chat)
		one.data("a")
		two.data("b")
		one.data("c")
		one.wantGot("ack a", "b", "ack c")
		two.wantGot("a", "ack b", "c")
	})
}

func TestDataPacketInABinaryMessageIsSentAsText(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one, two := e.dial(chat), e.dial(chat)
		one.send(websocket.BinaryMessage, string(roomtest.Data("a")))
		one.wantGot("ack a")
		two.wantGot("a")
	})
}

func TestLowLevelPacketsKeepTheirType(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one, two := e.dial(chat), e.dial(chat)
		one.text("hello", "", `{"type":"2"}`)
		one.send(websocket.BinaryMessage, "\x00\xff")
		one.text(`{"type":1,"command":3,"uuid":"a"}`)
		one.wantGot()
		two.wantGot("hello", "", `{"type":"2"}`, "binary \x00\xff", `{"type":1,"command":3,"uuid":"a"}`)
	})
}

func TestPingIsAnsweredToTheSenderAlone(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one, two := e.dial(chat), e.dial(chat)
		one.text(`{"type":1,"command":5,"uuid":"p"}`)
		one.wantGot(`{"type":1,"command":5,"uuid":"p"}`)
		two.wantGot()
	})
}

func TestForgedCommandsAreDropped(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one, two := e.dial(chat), e.dial(chat)
		one.text(`{"type":1,"command":1,"uuid":"a"}`, `{"type":1,"command":6,"uuid":"a"}`, `{"type":1.0,"command":7}`)
		one.wantGot()
		two.wantGot()
	})
}

func TestBadUUIDIsRefused(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one, two := e.dial(chat), e.dial(chat)
		long := strings.Repeat("x", 129)
		one.data(long)
		one.wantGot("error 400 " + long[:128])
		two.wantGot()
	})
}

func TestDuplicateIsAckedAndNotSentAgain(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one, two := e.dial(chat), e.dial(chat)
		one.data("a", "a")
		two.data("a")
		one.wantGot("ack a", "ack a")
		two.wantGot("a", "ack a")
	})
}

func TestRefusalsHaveTheirCodes(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one := e.dial(chat)
		for _, o := range []relay.Outcome{relay.Invalid, relay.Busy, relay.Unavailable, relay.Unknown} {
			e.relay.Refuse(o)
			one.data(fmt.Sprint("outcome ", o))
			one.text("a low-level packet is refused without a word")
		}
		one.wantGot("error 400 outcome 3", "error 429 outcome 4", "error 503 outcome 5", "error 504 outcome 6")
	})
}

func TestLobby(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one, two := e.dial("/"), e.dial(chat)
		one.data("ignored")
		one.text("hello", `{"type":1,"command":5}`)
		one.send(websocket.BinaryMessage, "join:/room/1")
		two.wantGot()
		one.text("join:room/1")
		one.data("a")
		one.text("join:/room/2")
		one.wantGot("ack a")
		two.wantGot("a", "join:/room/2")
	})
}

func TestTheLobbyIsNoPlaceToStay(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		idle, joined, member := e.dial("/"), e.dial("/"), e.dial(chat)
		time.Sleep(59 * time.Second)
		joined.text("join:" + string(chat))
		synctest.Wait()
		time.Sleep(2 * time.Second)
		idle.wantClosed(1008)
		time.Sleep(5 * time.Minute)
		joined.data("a")
		member.wantGot("a")
	})
}

func TestIllegalJoinsCloseWith1008(t *testing.T) {
	for _, name := range []string{"", "/", "/__/history", "__status", "a{b", "\x01", strings.Repeat("x", 600)} {
		t.Run(fmt.Sprintf("%.12q", name), func(t *testing.T) {
			inBubble(t, session.Options{}, func(e *edge) {
				c := e.dial("/")
				c.text("join:" + name)
				c.wantClosed(1008)
			})
		})
	}
}

func TestJoinOfAGroupThatCannotBeHadClosesWith1013(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		c := e.dial("/")
		e.relay.Break()
		c.text("join:/room/1")
		time.Sleep(3 * time.Second)
		c.wantClosed(1013)
	})
}

func TestTimer(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one, two := e.dial("/timer"), e.dial("/")
		two.text("join:timer")
		now := time.Now().Unix()
		one.data("a")
		one.text("hello", `{"type":1,"command":2,"uuid":"q"}`, `{"type":1,"command":5,"uuid":"p"}`)
		time.Sleep(2*time.Second + 1)
		one.wantGot(`{"type":1,"command":5,"uuid":"p"}`, fmt.Sprint(now+1), fmt.Sprint(now+2))
		two.wantGot(fmt.Sprint(now+1), fmt.Sprint(now+2))
	})
}

func TestResume(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one := e.dial(chat)
		one.data("a", "b", "c")
		two := e.dial(chat + "?after=a")
		three := e.dial("/?after=b")
		three.text("join:" + chat)
		one.data("d")
		two.wantGot("b", "c", "d")
		three.wantGot("c", "d")
		e.wantRefused(chat+"?after="+strings.Repeat("x", 200), nil, 400)
		e.wantRefused(chat+"?after=a&after=a", nil, 400)
		e.wantRefused(chat+"?after=&x=y&after=b", nil, 400)
		e.wantRefused(chat+"?after=100%", nil, 400)
		e.dial(chat + "?x=1&x=100%").wantGot()
		e.dial(chat + "?hereafter=1&x=100%").wantGot()
		e.dial(chat + "?x=100%&y=a;b&after=c").wantGot("d")
	})
}

func TestUpgradeIsRefusedWhenTheGroupCannotBeHad(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		e.relay.Break()
		if e.wantRefused(chat, nil, 503).Get("Retry-After") == "" {
			e.Error("no Retry-After")
		}
		e.relay.Restore()
		e.dial(chat).wantOpen()
	})
}

func TestBadUpgradesAreRefused(t *testing.T) {
	good := map[string]string{
		"Connection": "keep-alive, Upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
	}
	for _, tt := range []struct {
		name, method string
		change       map[string]string
		want         int
	}{
		{"no upgrade", "GET", map[string]string{"Upgrade": "h2c"}, 400},
		{"no connection", "GET", map[string]string{"Connection": "keep-alive"}, 400},
		{"old version", "GET", map[string]string{"Sec-WebSocket-Version": "8"}, 426},
		{"bad key", "GET", map[string]string{"Sec-WebSocket-Key": "short"}, 400},
		{"wrong method", "POST", nil, 400},
		{"bad origin", "GET", map[string]string{"Origin": "http://evil.example"}, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := session.Options{Origin: func(o string) bool { return o == "http://good.example" }}
			inBubble(t, opts, func(e *edge) {
				headers := make(map[string]string)
				for k, v := range good {
					headers[k] = v
				}
				for k, v := range tt.change {
					headers[k] = v
				}
				if got := e.do(tt.method, chat, headers); got != tt.want {
					e.Errorf("status %d, want %d", got, tt.want)
				}
				if n := e.relay.Open(); n != 0 {
					e.Errorf("%d groups attached for a refused upgrade", n)
				}
			})
		})
	}
}

func TestAllowedOriginMayConnect(t *testing.T) {
	opts := session.Options{Origin: func(o string) bool { return o == "http://good.example" }}
	inBubble(t, opts, func(e *edge) {
		conn, _, err := e.tryDial(chat, http.Header{"Origin": {"http://good.example"}})
		if err != nil {
			e.Fatal(err)
		}
		_ = conn.Close()
	})
}

func TestConnectionsAreLimited(t *testing.T) {
	inBubble(t, session.Options{MaxConnections: 1}, func(e *edge) {
		one := e.dial(chat)
		e.wantRefused(chat, nil, 503)
		_ = one.Close()
		synctest.Wait()
		e.dial(chat)
	})
}

func TestConnectionsThatComeTooFastWaitForASecondThenAreRefused(t *testing.T) {
	inBubble(t, session.Options{UpgradeRate: 2}, func(e *edge) { // one at once
		start := time.Now()
		var all sync.WaitGroup
		var joined, refused atomic.Int32
		for range 10 {
			all.Go(func() {
				conn, got, err := e.tryDial(chat, nil)
				switch {
				case err == nil:
					joined.Add(1)
					_ = conn.Close()
				case got.status == 503 && time.Since(start) == 0:
					refused.Add(1)
					if s := got.header.Get("Retry-After"); s < "1" || s > "9" {
						t.Errorf("Retry-After %q, want a few seconds", s)
					}
				default:
					t.Errorf("got %v, status %d, after %v", err, got.status, time.Since(start))
				}
			})
		}
		all.Wait()
		if took := time.Since(start); joined.Load() != 3 || refused.Load() != 7 || took != time.Second {
			t.Errorf("%d joined within %v and %d were refused, want 3 within 1 s, and 7", joined.Load(), took, refused.Load())
		}
	})
}

func TestTooLargeMessageClosesWith1009AndIsNotSent(t *testing.T) {
	inBubble(t, session.Options{MaxMessage: 100}, func(e *edge) {
		one, two := e.dial(chat), e.dial(chat)
		one.text(strings.Repeat("x", 100))
		// A pipe has no buffer: the server stops reading before all is written.
		go func() { _ = one.WriteMessage(websocket.TextMessage, make([]byte, 101)) }()
		one.wantClosed(1009)
		two.wantGot(strings.Repeat("x", 100))
	})
}

func TestInvalidTextClosesWith1007(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one, two := e.dial(chat), e.dial(chat)
		one.text("\xff\xfe")
		one.wantClosed(1007)
		two.wantGot()
	})
}

func TestCloseIsAnsweredAndTheMemberIsGone(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one := e.dial(chat)
		err := one.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye"), time.Now().Add(time.Second))
		if err != nil {
			e.Fatal(err)
		}
		one.wantClosed(1000)
		if n := e.relay.Open(); n != 0 {
			e.Errorf("%d groups attached, want none", n)
		}
	})
}

func TestPeerThatVanishesIsGone(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one := e.dial(chat)
		_ = one.UnderlyingConn().Close()
		synctest.Wait()
		if n := e.relay.Open(); n != 0 {
			e.Errorf("%d groups attached, want none", n)
		}
	})
}

func TestPeerThatAnswersPingsStays(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one := e.dial(chat)
		time.Sleep(100*time.Second + time.Millisecond)
		one.wantOpen()
		one.wantGot()
		if n := len(one.ping); n != 4 {
			e.Errorf("%d pings in 100 s, want 4", n)
		}
		for i := range one.ping[1:] {
			if d := one.ping[i+1].Sub(one.ping[i]); d != 25*time.Second {
				e.Errorf("%v between pings, want 25s", d)
			}
		}
	})
}

func TestSilentPeerIsDroppedTenSecondsAfterAPing(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one := e.dialDeaf(chat)
		pinged := make(chan struct{}, 10)
		one.SetPingHandler(func(string) error { pinged <- struct{}{}; return nil })
		one.listen()
		<-pinged
		time.Sleep(10*time.Second - time.Millisecond)
		one.wantOpen()
		time.Sleep(time.Second)
		one.wantClosed(0)
	})
}

func TestPeerThatSendsAnythingStays(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one := e.dialDeaf(chat)
		one.SetPingHandler(func(string) error { return nil })
		one.listen()
		for range 25 {
			time.Sleep(3 * time.Second)
			one.text(`{"type":1,"command":5}`)
		}
		one.wantOpen()
	})
}

func TestPeerIsNotSilentWhileItsPublishesFillTheWindow(t *testing.T) {
	opts := session.Options{Window: ws.Limits{Frames: 2, Bytes: 1 << 20}}
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{}
		e := newEdge(t, opts)
		e.serveWith(p, opts, func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { _ = e.server.Run(ctx) }()
			c := e.dialDeaf(chat)
			c.SetPingHandler(func(string) error { return nil })
			c.listen()
			go func() {
				for i := range 3 {
					_ = c.WriteMessage(websocket.TextMessage, fmt.Append(nil, i))
				}
			}()
			time.Sleep(2 * time.Minute)
			c.wantOpen()
			p.answer(2)
			synctest.Wait()
			p.answer(1)
			time.Sleep(time.Minute)
			c.wantClosed(0) // now it is
		})
	})
}

func TestSlowMemberIsDisconnectedWith1013(t *testing.T) {
	inBubble(t, session.Options{Queue: ws.Limits{Frames: 100, Bytes: 1 << 20}}, func(e *edge) {
		slow, other := e.dialDeaf(chat), e.dial(chat)
		for i := range 300 {
			other.text(fmt.Sprint(i))
		}
		time.Sleep(6 * time.Second)
		other.text("300")
		synctest.Wait()
		slow.listen()
		slow.wantClosed(1013)
		slow.mu.Lock()
		defer slow.mu.Unlock()
		for i, s := range slow.got {
			if s != fmt.Sprint(i) {
				e.Fatalf("packet %d is %q: the stream has a hole", i, s)
			}
		}
		other.wantOpen()
	})
}

func TestTheEndOfASlowConsumerIsAWarningAskedForOrNot(t *testing.T) {
	for _, asked := range []bool{true, false} {
		inBubble(t, session.Options{LogEnds: asked, Queue: ws.Limits{Frames: 100, Bytes: 1 << 20}}, func(e *edge) {
			slow, other := e.dialDeaf(chat), e.dial(chat)
			for i := range 300 {
				other.text(fmt.Sprint(i))
			}
			time.Sleep(6 * time.Second)
			other.text("300")
			synctest.Wait()
			slow.listen()
			slow.wantClosed(1013)
			synctest.Wait()
			line := e.lines.String()
			for _, want := range []string{"level=WARN", `msg="session ended"`, "group=" + string(chat), "reason=slow_consumer", "code=1013"} {
				if strings.Count(line, want) != 1 {
					e.Errorf("asked for: %t: want %s once: %q", asked, want, line)
				}
			}
			if strings.Count(line, "\n") != 1 {
				e.Errorf("asked for: %t: want one line: %q", asked, line)
			}
		})
	}
}

func TestStalledPeerIsDroppedAfterTheWriteTimeout(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		stalled, other := e.dialDeaf(chat), e.dial(chat)
		other.text("hello")
		time.Sleep(11 * time.Second)
		synctest.Wait()
		_ = stalled
		if diff := e.rooms.Members()[chat]; diff != 1 {
			e.Errorf("%d members, want 1", diff)
		}
	})
}

func TestUnansweredPublishesAreBounded(t *testing.T) {
	opts := session.Options{Window: ws.Limits{Frames: 10, Bytes: 1 << 20}}
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{}
		e := newEdge(t, opts)
		e.serveWith(p, opts, func() {
			c := e.dial(chat)
			go func() {
				for i := range 30 {
					_ = c.WriteMessage(websocket.TextMessage, fmt.Append(nil, i))
				}
			}()
			synctest.Wait()
			if n := p.waiting(); n != 10 {
				t.Errorf("%d publishes are unanswered, want 10", n)
			}
			p.answer(3)
			synctest.Wait()
			if n := p.waiting(); n != 10 {
				t.Errorf("%d publishes are unanswered, want 10 again", n)
			}
			for p.waiting() > 0 {
				p.answer(p.waiting())
				synctest.Wait()
			}
			if p.total != 30 {
				t.Errorf("%d packets were published, want 30", p.total)
			}
		})
	})
}

func TestQuery(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		var asked *historyv1.GetHistoryRequest
		e.history.answer = func(_ context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
			asked = r
			return &historyv1.GetHistoryResponse{Position: r.GetPosition(), Data: []string{`{"type":2}`}}, nil
		}
		one := e.dial(chat)
		one.text(`{"type":1,"command":2,"uuid":"q","pullargs":{"offset":-5,"size":7}}`)
		one.wantGot(`{"type":1,"command":2,"uuid":"q","body":{"data":{"position":-5,"data":["{\"type\":2}"]}}}`)
		if asked.GetGroupName() != chat || asked.GetPosition() != -5 || asked.GetSize() != 7 {
			e.Errorf("asked for %v", asked)
		}
		one.text(`{"type":1,"command":2,"uuid":"q","queryArgs":{"before":"u"}}`)
		if asked.GetBefore() != "u" {
			e.Errorf("asked for %v", asked)
		}
	})
}

// Who asks by number gets the pages of old servers; others one that their library takes.
func TestPageEndsByBytesUnlessItWasAskedForByNumber(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		var asked *historyv1.GetHistoryRequest
		e.history.answer = func(_ context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
			asked = r
			next := int32(17)
			return &historyv1.GetHistoryResponse{Data: []string{"a"}, Next: &next}, nil
		}
		one := e.dial(chat)
		var answers []string
		for _, tt := range []struct {
			args  string
			bytes int32
			next  string
		}{
			{`"pullargs":{"size":50}`, 0, ""},
			{`"queryArgs":{"uuid":"u","size":50}`, 0, ""},
			{`"pullargs":{"offset":0}`, 1 << 20, `,"next":17`},
			{`"queryArgs":{"before":"u"}`, 1 << 20, `,"next":17`},
			{`"pullargs":{"size":50,"bytes":60000}`, 60000, `,"next":17`},
			{`"pullargs":{"bytes":8388608}`, 8 << 20, `,"next":17`},
		} {
			one.text(`{"type":1,"command":2,"uuid":"q",` + tt.args + `}`)
			answers = append(answers, `{"type":1,"command":2,"uuid":"q","body":{"data":{"position":0,"data":["a"]`+tt.next+`}}}`)
			one.wantGot(answers...)
			if asked.GetMaxBytes() != tt.bytes {
				e.Errorf("%s: asked for %d bytes, want %d", tt.args, asked.GetMaxBytes(), tt.bytes)
			}
		}
	})
}

func TestQueriesAreAnsweredInTurnAndTooManyAreRefused(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		gate := make(chan struct{})
		asked, most := 0, 0
		e.history.answer = func(context.Context, *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
			asked++
			most = max(most, asked)
			<-gate
			asked--
			return &historyv1.GetHistoryResponse{}, nil
		}
		one := e.dial(chat)
		var answers []string
		for i := range 16 {
			one.text(fmt.Sprintf(`{"type":1,"command":2,"uuid":"%d"}`, i))
			answers = append(answers, fmt.Sprintf(`{"type":1,"command":2,"uuid":"%d","body":{"data":{"position":0,"data":[]}}}`, i))
		}
		one.text(`{"type":1,"command":2,"uuid":"too many"}`)
		one.wantGot("error 429 too many")
		close(gate)
		synctest.Wait()
		one.wantGot(append([]string{"error 429 too many"}, answers...)...)
		if most != 1 {
			e.Errorf("%d pages were fetched at once, want 1", most)
		}
	})
}

func TestLargePageOfHistoryReachesAMember(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		text := strings.Repeat("x", 6<<20)
		e.history.answer = func(context.Context, *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
			return &historyv1.GetHistoryResponse{Data: []string{text}}, nil
		}
		one := e.dial(chat)
		one.text(`{"type":1,"command":2,"uuid":"1"}`)
		one.wantGot(`{"type":1,"command":2,"uuid":"1","body":{"data":{"position":0,"data":["` + text + `"]}}}`)
	})
}

func TestFailedQueriesHaveTheirCodes(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{status.Error(codes.InvalidArgument, "x"), 400},
		{status.Error(codes.FailedPrecondition, "x"), 400},
		{status.Error(codes.NotFound, "x"), 404},
		{status.Error(codes.ResourceExhausted, "x"), 429},
		{status.Error(codes.Unavailable, "x"), 503},
		{status.Error(codes.DeadlineExceeded, "x"), 504},
		{errors.New("secret"), 500},
	} {
		inBubble(t, session.Options{}, func(e *edge) {
			e.history.answer = func(context.Context, *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
				return nil, tt.err
			}
			one := e.dial(chat)
			one.text(`{"type":1,"command":2,"uuid":"q"}`)
			one.wantGot(fmt.Sprintf("error %d q", tt.want))
		})
	}
}

func TestDrainSpreadsTheClosesAndRefusesNewcomers(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		var clients []*client
		for range 10 {
			clients = append(clients, e.dial(chat))
		}
		drained := make(chan error, 1)
		go func() { drained <- e.server.Drain(e.Context(), 10*time.Second) }()
		for second := range 10 {
			time.Sleep(time.Second)
			synctest.Wait()
			gone := 0
			for _, c := range clients {
				c.mu.Lock()
				if c.code == 1001 {
					gone++
				}
				c.mu.Unlock()
			}
			if gone < second || gone > second+2 {
				e.Errorf("after %d s %d of 10 are closed", second+1, gone)
			}
			e.wantRefused(chat, nil, 503)
		}
		if err := <-drained; err != nil {
			e.Error(err)
		}
	})
}

func TestDrainLetsAcksInFlightFinish(t *testing.T) {
	opts := session.Options{}
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t, opts)
		// The test lets the relay take its steps.
		e.serveWith(e.relay, opts, func() {
			var c *client
			dialed := make(chan struct{})
			go func() { c = e.dialDeaf(chat); close(dialed) }()
			e.settle()
			<-dialed
			c.listen()
			c.data("a", "b")
			drained := make(chan error, 1)
			go func() { drained <- e.server.Drain(t.Context(), 0) }()
			time.Sleep(time.Second)
			c.wantOpen()
			c.data("too late")
			e.settle()
			c.wantGot("ack a", "ack b")
			c.wantClosed(1001)
			if err := <-drained; err != nil {
				t.Error(err)
			}
		})
	})
}

func TestDrainEndsWithItsContext(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		stalled, other := e.dialDeaf(chat), e.dial(chat)
		other.text("hello")
		ctx, cancel := context.WithTimeout(e.Context(), 3*time.Second)
		defer cancel()
		if err := e.server.Drain(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("drain: %v, want the deadline's error", err)
		}
		_ = stalled
		other.wantClosed(1001)
	})
}

func TestGapClosesWith1012(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		one := e.dial(chat)
		one.data("a")
		e.gap()
		one.wantGot("ack a", "error 410 ")
		one.wantClosed(1012)
	})
}

func TestConnectionThatIsAcceptedDuringDrainIsClosed(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		e.relay.Break()
		var c *client
		dialed := make(chan struct{})
		go func() {
			c = e.dial(chat)
			close(dialed)
		}()
		time.Sleep(time.Second) // it waits for the group
		drained := make(chan error, 1)
		go func() { drained <- e.server.Drain(e.Context(), 0) }()
		synctest.Wait()
		e.relay.Restore()
		<-dialed
		began := time.Now()
		if err := <-drained; err != nil {
			e.Error(err)
		}
		c.wantClosed(1001)
		if took := time.Since(began); took > time.Second {
			e.Errorf("took %v, want almost no time", took)
		}
	})
}

func TestEndingConnectionIgnoresWhatComes(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		c := e.dialDeaf(chat)
		e.gap()
		c.data("late")
		if n := e.relay.Count(chat); n != 1 {
			e.Errorf("%d messages are stored, want 1", n)
		}
	})
}

// gap makes the room of chat lose a message.
func (e *edge) gap() {
	synctest.Wait()
	e.relay.Break()
	e.relay.PublishFrom(roomtest.OtherEdge, &relay.Publication{Group: chat, Kind: stream.Message, UUID: "lost"})
	e.relay.Log(chat).Trim(0)
	e.relay.Restore()
	synctest.Wait()
}

func TestPeerThatTakesTheRestTooSlowlyIsCutOff(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		c := e.dialDeaf(chat)
		for range 60 {
			e.relay.PublishFrom(roomtest.OtherEdge, &relay.Publication{
				Group: chat, Kind: stream.Binary, Payload: make([]byte, 15<<10),
			})
		}
		e.gap()
		go func() { // it is slow, but never stuck
			for b := make([]byte, 15<<10); ; time.Sleep(5 * time.Second) {
				if _, err := c.UnderlyingConn().Read(b); err != nil {
					return
				}
			}
		}()
		time.Sleep(5 * time.Second)
		if n := e.rooms.Members()[chat]; n != 1 {
			e.Fatalf("%d members, want 1: it has time", n)
		}
		time.Sleep(60 * time.Second)
		if n := e.rooms.Members()[chat]; n != 0 {
			e.Errorf("%d members, want none: it should be cut off", n)
		}
	})
}

func TestLostDeliveryOfAnOwnMessageIsNoticedByItsResult(t *testing.T) {
	opts := session.Options{}
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t, opts)
		e.serveWith(e.relay, opts, func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { _ = e.rooms.Run(ctx) }()
			var c *client
			dialed := make(chan struct{})
			go func() { c = e.dialDeaf(chat); close(dialed) }()
			e.settle()
			<-dialed
			c.listen()
			c.data("a")
			e.relay.Lose()
			e.settle()
			c.wantGot()
			time.Sleep(2 * time.Second)
			e.settle()
			c.wantGot("ack a")
		})
	})
}

func TestEndOfAConnectionIsOneLineIfAskedFor(t *testing.T) {
	for _, asked := range []bool{true, false} {
		inBubble(t, session.Options{LogEnds: asked}, func(e *edge) {
			e.by, e.from = caller(t, `{"join":["/**"],"publish":["/**"]}`, time.Hour), "203.0.113.9:4711"
			c, other := e.dial(chat), e.dial(chat)
			c.text("hello", "secret text")
			other.text("hi")
			synctest.Wait()
			time.Sleep(1500 * time.Millisecond)
			_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
			synctest.Wait()
			line := e.lines.String()
			if !asked {
				if line != "" {
					e.Errorf("logged %q, want nothing", line)
				}
				return
			}
			// Out: a frame of four bytes; the close frame does not count.
			for _, want := range []string{
				"session ended", "group=" + string(chat), "address=203.0.113.9", "user=alice", "reason=peer_closed", "code=1000", "duration=1.5s",
				"messages_in=2", "bytes_in=16", "frames_out=1", "bytes_out=4",
			} {
				if !strings.Contains(line, want) {
					e.Errorf("the line lacks %s: %s", want, line)
				}
			}
			if strings.Count(line, "\n") != 1 || strings.Contains(line, "secret") {
				e.Errorf("want one line without text: %s", line)
			}
		})
	}
}
