package eventstream_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/eventstream"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Section 5.1.
func TestStreamBeginsWithTheAnswerAndGoesOnWithEvents(t *testing.T) {
	inBubble(t, eventstream.Options{}, func(e *edge) {
		e.publish("/a", "old")
		c := e.stream("/a")
		e.publish("/a", "1", "2")
		e.say("/a", stream.Text, "hel\r\nlo")
		e.say("/a", stream.Binary, "\x00\xff")
		e.relay.Recall("/a", "1")
		c.wantGot("answer 200", "/a live", "/a 2 1", "/a 3 2", "/a packet hel\r\nlo", "/a base64 AP8=", "/a recalled 1")
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no",
		} {
			if got := c.answer.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		for _, one := range c.events() {
			stored := one.On != "packet"
			if (one.ID != "") != stored || one.ID != one.Data.Pos || one.On != "answer" && one.Data.On != one.On {
				t.Errorf("event %q has the id %q and %+v", one.On, one.ID, one.Data)
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.retries) != 1 || !strings.HasPrefix(c.raw.String(), "retry: ") {
			t.Fatalf("retries %q, want one, before all events", c.retries)
		}
		if ms, err := strconv.Atoi(c.retries[0]); err != nil || ms < 1000 || ms > 5000 {
			t.Errorf("retry %q, want 1 to 5 s", c.retries[0])
		}
	})
}

func TestStreamGoesOnAfterAPosition(t *testing.T) {
	inBubble(t, eventstream.Options{}, func(e *edge) {
		c := e.stream("/a")
		e.publish("/a", "1", "2")
		at := c.lastID()
		c.cancel()
		e.publish("/a", "3")
		e.relay.Recall("/a", "1")
		e.stream("/a?from="+at).wantGot("answer 200", "/a 3 3", "/a recalled 1", "/a live")
		e.stream("/a?last=1").wantGot("answer 200", "/a 3 3", "/a recalled 1", "/a live")
		e.relay.Log("/a").Trim(1)
		lost := e.stream("/a?from=" + at)
		lost.wantGot("answer 200 gap", "/a live")
		again := e.stream("/a?from=" + lost.lastID())
		e.publish("/a", "4")
		again.wantGot("answer 200", "/a live", "/a 4 4")
	})
}

func TestSilentStreamGetsAComment(t *testing.T) {
	inBubble(t, eventstream.Options{}, func(e *edge) {
		c := e.stream("/a")
		comments := func() int {
			synctest.Wait()
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.comments
		}
		time.Sleep(14 * time.Second)
		if n := comments(); n != 0 {
			t.Errorf("%d comments after 14 s, want none", n)
		}
		time.Sleep(time.Second)
		if n := comments(); n != 1 {
			t.Errorf("%d comments after 15 s, want one", n)
		}
		time.Sleep(time.Hour) // no timeout of the HTTP server ends it
		e.publish("/a", "1")
		c.wantGot("answer 200", "/a live", "/a 1 1")
		c.wantEnded(false)
	})
}

func TestStreamIsAMemberUntilItsClientGoes(t *testing.T) {
	inBubble(t, eventstream.Options{}, func(e *edge) {
		c := e.stream("/a")
		if ids, total := e.rooms.Sessions("/a", 10); total != 1 || len(ids) != 1 || ids[0] == 0 {
			t.Errorf("sessions %v of %d, want one", ids, total)
		}
		if n := e.rooms.Members()["/a"]; n != 1 {
			t.Errorf("%d members, want 1", n)
		}
		c.cancel()
		_ = c.conn.Close()
		synctest.Wait()
		if n := e.rooms.Members()["/a"]; n != 0 {
			t.Errorf("%d members after the client has gone, want none", n)
		}
		if n := e.relay.Open(); n != 1 {
			t.Errorf("%d groups are followed after the last member, want 1", n)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if n := e.relay.Open(); n != 0 {
			t.Errorf("%d groups are followed 31 s after the last member, want none", n)
		}
	})
}

func TestRefusalsThatPassAreEvents(t *testing.T) {
	inBubble(t, eventstream.Options{}, func(e *edge) {
		e.relay.RefuseAttach(errors.New("not now"))
		c := e.stream("/a")
		c.wantGot("error 503")
		c.wantEnded(true)
		if c.answer.StatusCode != http.StatusOK || len(c.retries) != 2 {
			t.Errorf("status %d, retries %q, want 200 and one with the end", c.answer.StatusCode, c.retries)
		}
		e.relay.RefuseAttach(nil)
		answer, _, _ := e.do(e.request("GET", "/a?from=nonsense!", "", "Accept: text/event-stream"))
		if answer.StatusCode != http.StatusBadRequest {
			t.Errorf("from=nonsense!: status %d, want 400", answer.StatusCode)
		}
		answer, _, _ = e.do(e.request("GET", "/", "", "Accept: text/event-stream"))
		if answer.StatusCode != http.StatusBadRequest {
			t.Errorf("the lobby: status %d, want 400", answer.StatusCode)
		}
	})
}

func TestStreamsEndSpreadOverTheDrainTime(t *testing.T) {
	inBubble(t, eventstream.Options{}, func(e *edge) {
		var all []*client
		for range 10 {
			all = append(all, e.stream("/a"))
		}
		waiting := make(chan poll, 1)
		at := all[0].lastID()
		go func() { waiting <- e.poll("groupName=/a&wait=50&from=" + at) }()
		synctest.Wait()
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			e.server.Drain(e.Context(), 11*time.Second)
		}()
		ended := func() (n int) {
			synctest.Wait()
			for _, c := range all {
				c.mu.Lock()
				if c.err != nil {
					n++
				}
				c.mu.Unlock()
			}
			return n
		}
		time.Sleep(5500 * time.Millisecond)
		if n := ended(); n < 5 || n > 6 {
			t.Errorf("%d of 10 streams have ended after half of the time", n)
		}
		<-drained
		for _, c := range all {
			c.wantGot("answer 200", "/a live", "error 503")
			c.wantEnded(true)
		}
		if p := <-waiting; p.status != http.StatusServiceUnavailable {
			t.Errorf("a long poll got %d, want 503", p.status)
		}
		c := e.stream("/a")
		c.wantGot("error 503")
		c.wantEnded(true)
		if p := e.poll("groupName=/a"); p.status != http.StatusServiceUnavailable {
			t.Errorf("a new long poll got %d, want 503", p.status)
		}
	})
}

// Section 3.5: a client that reads slowly misses nothing that is stored; one that reads
// nothing is ended.
func TestSlowReaderCatchesUp(t *testing.T) {
	inBubble(t, eventstream.Options{Queue: ws.Limits{Frames: 16, Bytes: 64 << 10}}, func(e *edge) {
		c := e.openDeaf(e.request("GET", "/a", "", "Accept: text/event-stream"))
		want := []string{"answer 200", "/a live"}
		for i := range 100 {
			uuid := "m" + strconv.Itoa(i)
			e.publish("/a", uuid)
			want = append(want, "/a "+strconv.Itoa(i+1)+" "+uuid)
		}
		go c.read()
		c.wantGot(want...)
		c.wantEnded(false)
	})
}

func TestClientThatTakesNothingIsEnded(t *testing.T) {
	inBubble(t, eventstream.Options{}, func(e *edge) {
		e.openDeaf(e.request("GET", "/a", "", "Accept: text/event-stream"))
		synctest.Wait()
		began := time.Now()
		for e.rooms.Members()["/a"] > 0 {
			if time.Since(began) > time.Minute {
				t.Fatal("it is still a member after a minute")
			}
			e.say("/a", stream.Text, strings.Repeat("x", 8<<10))
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took < 10*time.Second {
			t.Errorf("ended after %v, want 10 s", took)
		}
	})
}

// Section 5.2.
func TestOneStreamOfManyGroups(t *testing.T) {
	inBubble(t, eventstream.Options{MaxGroups: 3}, func(e *edge) {
		e.publish("/b", "old")
		c := e.open(e.request("POST", "/__/events", strings.Join([]string{
			`{"do":"join","group":"/a","id":1}`,
			``,
			`{"do":"join","group":"/b","last":1,"id":2}`,
			`{"do":"join","group":"/b","id":3}`,
			`{"do":"leave","group":"/b","id":4}`,
			`{"do":"join","group":"/c"}`,
			`{"do":"join","group":"/d","id":5}`,
			`{"do":"join","group":"/","id":6}`,
			`{"do":"join","group":"/d","from":"nonsense!","id":7}`,
			`nonsense`,
		}, "\n")))
		e.publish("/a", "1")
		e.publish("/c", "2")
		got := make(map[string]int)
		for _, one := range c.events() {
			got[one.short()]++
			if one.ID != "" {
				t.Errorf("event %q has the id %q, want none", one.On, one.ID)
			}
		}
		for _, want := range []string{
			"answer 1 200", "answer 2 200", "answer 3 409", "answer 4 400", "answer 5 429", "answer 6 400", "answer 7 400",
			"error 400", "/a live", "/b 1 old", "/b live", "/c live", "/a 1 1", "/c 1 2",
		} {
			if got[want] != 1 {
				t.Errorf("%q came %d times, want once", want, got[want])
			}
			delete(got, want)
		}
		if len(got) > 0 {
			t.Errorf("also got %v", got)
		}
		c.wantEnded(false)
	})
}

func TestStreamOfNoGroupEnds(t *testing.T) {
	inBubble(t, eventstream.Options{}, func(e *edge) {
		c := e.open(e.request("POST", "/__/events", `{"do":"join","group":"/","id":1}`))
		c.wantGot("answer 1 400", "error 400")
		c.wantEnded(true)
		answer, _, _ := e.do(e.request("POST", "/__/events", "\n"))
		if answer.StatusCode != http.StatusBadRequest {
			t.Errorf("a body without a line: status %d, want 400", answer.StatusCode)
		}
		e.relay.RefuseAttach(errors.New("not now"))
		c = e.open(e.request("POST", "/__/events", `{"do":"join","group":"/a","id":1}`))
		c.wantGot("answer 1 503", "error 503")
		c.wantEnded(true)
	})
}

func TestStreamOfTheClock(t *testing.T) {
	inBubble(t, eventstream.Options{}, func(e *edge) {
		c := e.stream("/timer?from=nonsense!")
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if got := c.events(); len(got) < 2 || got[0].short() != "answer 200" || got[1].On != "packet" {
			t.Errorf("got %+v, want the answer and the time", got)
		}
	})
}
