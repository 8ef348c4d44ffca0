package eventstream_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/edge/internal/eventstream"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func (e *edge) wantPoll(p poll, gap bool, events ...string) {
	e.Helper()
	if diff := cmp.Diff(events, p.short()); diff != "" || p.status != http.StatusOK || p.Code != http.StatusOK || p.Gap != gap || p.Pos == "" {
		e.Errorf("%d, code %d, gap %t, pos %q, events (-want +got):\n%s", p.status, p.Code, p.Gap, p.Pos, diff)
	}
}

// Section 5.3.
func TestPollAnswersWhenEventsFollow(t *testing.T) {
	inBubble(t, eventstream.Options{}, func(e *edge) {
		e.publish("/a", "old")
		first := e.poll("groupName=/a&wait=50")
		e.wantPoll(first, false)
		if first.took > 0 {
			t.Errorf("without from it took %v, want no time", first.took)
		}
		none := e.poll("groupName=/a&wait=50&from=" + first.Pos)
		e.wantPoll(none, false)
		if none.took != 50*time.Second || none.Pos != first.Pos {
			t.Errorf("took %v to %s, want 50 s to %s", none.took, none.Pos, first.Pos)
		}
		e.publish("/a", "1", "2")
		stored := e.poll("groupName=/a&wait=50&from=" + none.Pos)
		e.wantPoll(stored, false, "/a 2 1", "/a 3 2")
		if stored.took > 0 {
			t.Errorf("with events it took %v, want no time", stored.took)
		}
		waiting := make(chan poll, 1)
		go func() { waiting <- e.poll("groupName=/a&wait=50&from=" + stored.Pos) }()
		time.Sleep(time.Second)
		e.say("/a", stream.Text, "hello")
		p := <-waiting
		e.wantPoll(p, false, "/a packet hello")
		if p.took != time.Second || p.Pos != stored.Pos {
			t.Errorf("took %v to %s, want 1 s to %s", p.took, p.Pos, stored.Pos)
		}
		if at := e.poll("groupName=/a&from=" + p.Pos); at.took > 0 {
			t.Errorf("without wait it took %v, want no time", at.took)
		}
	})
}

func TestPollIsNoMembershipAndNeedsNoSubscription(t *testing.T) {
	inBubble(t, eventstream.Options{}, func(e *edge) {
		at := e.poll("groupName=/a").Pos
		waiting := make(chan poll, 1)
		go func() { waiting <- e.poll("groupName=/a&wait=50&from=" + at) }()
		synctest.Wait()
		if ids, total := e.rooms.Sessions("/a", 10); len(ids) != 0 || total != 0 || e.rooms.Members()["/a"] != 0 {
			t.Errorf("a long poll counts: %v, %d, %v", ids, total, e.rooms.Members())
		}
		reads := e.relay.Reads()
		e.publish("/a", "1")
		p := <-waiting
		e.wantPoll(p, false, "/a 1 1")
		if e.relay.Reads() != reads || e.relay.Open() != 1 {
			t.Errorf("%d reads for what the edge follows, %d groups open, want no read and 1", e.relay.Reads()-reads, e.relay.Open())
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if e.relay.Open() != 0 {
			t.Error("the group is followed 31 s after the last poll")
		}
	})
}

func TestPollAfterALostPositionHasAGap(t *testing.T) {
	inBubble(t, eventstream.Options{}, func(e *edge) {
		e.publish("/a", "1")
		at := e.poll("groupName=/a").Pos
		e.publish("/a", "2", "3")
		e.relay.Log("/a").Trim(1)
		p := e.poll("groupName=/a&wait=50&from=" + at)
		e.wantPoll(p, true)
		if p.took > 0 {
			t.Errorf("it took %v, want no time", p.took)
		}
		e.publish("/a", "4")
		e.wantPoll(e.poll("groupName=/a&wait=50&from="+p.Pos), false, "/a 4 4")
	})
}

func TestPollsReadALongHistoryInParts(t *testing.T) {
	inBubble(t, eventstream.Options{}, func(e *edge) {
		at := e.poll("groupName=/a").Pos
		var want, got []string
		long := strings.Repeat("x", 90)
		for i := range 600 {
			uuid := strconv.Itoa(i) + long
			e.publish("/a", uuid)
			want = append(want, "/a "+strconv.Itoa(i+1)+" "+uuid)
		}
		polls := 0
		for ; len(got) < len(want); polls++ {
			p := e.poll("groupName=/a&wait=50&from=" + at)
			if len(p.Events) == 0 || p.Pos == at {
				t.Fatalf("poll %d: %d, no event", polls, p.status)
			}
			got, at = append(got, p.short()...), p.Pos
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if polls < 2 {
			t.Errorf("%d polls, want several: the answers are bounded", polls)
		}
	})
}

func TestPollGoesOnWhenTheHistoryServiceIsLost(t *testing.T) {
	inBubble(t, eventstream.Options{}, func(e *edge) {
		at := e.poll("groupName=/a").Pos
		waiting := make(chan poll, 1)
		go func() { waiting <- e.poll("groupName=/a&wait=50&from=" + at) }()
		synctest.Wait()
		e.relay.Break()
		e.publish("/a", "1")
		time.Sleep(5 * time.Second)
		e.relay.Restore()
		e.wantPoll(<-waiting, false, "/a 1 1")
	})
}

func TestPollIsRefused(t *testing.T) {
	inBubble(t, eventstream.Options{}, func(e *edge) {
		if p := e.poll("groupName=/a&from=nonsense!"); p.status != http.StatusBadRequest {
			t.Errorf("a text that is no position: %d, want 400", p.status)
		}
		e.relay.RefuseAttach(errors.New("not now"))
		if p := e.poll("groupName=/a"); p.status != http.StatusServiceUnavailable {
			t.Errorf("without the group: %d, want 503", p.status)
		}
	})
}
