package conformance

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
)

// recall recalls a message and expects 200.
func recall(t *testing.T, addr, group, uuid string) {
	t.Helper()
	a := client.Cancel(t, addr, group, uuid)
	var body struct {
		Code int
		Msg  *string
	}
	a.JSON(t, &body)
	if a.Code != http.StatusOK || body.Code != http.StatusOK || body.Msg == nil {
		t.Fatalf("recall of %s: %d %s", uuid, a.Code, a.Body)
	}
}

func Test2_3_RecallReachesMembersOfAllEdgesOnce(t *testing.T) {
	t.Parallel()
	g, uuid := client.Group(), client.UUID()
	members := join(t, g, 4)
	client.Publish(t, here(), g, client.Data(uuid, "x"))
	recall(t, there(), g, uuid)
	recall(t, here(), g, uuid) // members do not hear of a second recall
	client.Publish(t, here(), g, "end")
	for _, m := range members {
		m.Want(client.Data(uuid, "x"))
		m.Want(client.Recall(uuid))
		m.Want("end")
	}
}

func Test2_3_ARecallOfAnOldMessageReachesAMemberThatCameLater(t *testing.T) {
	t.Parallel()
	g := client.Group()
	for i := range 5 {
		client.Publish(t, here(), g, numbered(i))
	}
	m := client.Join(t, there(), g)
	recall(t, here(), g, uuidOf(1))
	recall(t, here(), g, uuidOf(3))
	m.Want(client.Recall(uuidOf(1)))
	m.Want(client.Recall(uuidOf(3)))
}

func Test2_3_ARecallNeverComesBeforeItsMessage(t *testing.T) {
	t.Parallel()
	const n = 60
	g := client.Group()
	watchers := []*client.Member{client.Join(t, here(), g), client.Join(t, there(), g)}
	sender := client.Join(t, here(), g)
	for i := range n {
		sender.Text(numbered(i))
		sender.Want(client.Ack(uuidOf(i)))
		recall(t, there(), g, uuidOf(i))
		sender.Want(client.Recall(uuidOf(i)))
	}
	client.Publish(t, here(), g, client.Data("end", ""))
	for _, m := range watchers {
		// A watcher that the recall overtook got neither of the two.
		for i := 0; ; {
			p := client.Parse(t, m.Next().Data)
			if p.UUID == "end" {
				break
			}
			for i < n && uuidOf(i) != p.UUID {
				i++
			}
			if i == n || p.Type != 2 {
				t.Fatalf("got %+v out of turn", p)
			}
			m.Want(client.Recall(p.UUID))
			i++
		}
	}
}

func Test2_3_RecallsRaceWithReadsAndResends(t *testing.T) {
	t.Parallel()
	const n = 40
	g := client.Group()
	for i := range n {
		client.Publish(t, here(), g, numbered(i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	sender := client.Join(t, there(), g)
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i = (i + 1) % n {
			if sender.TrySend(client.Message{Data: numbered(i)}) != nil {
				return
			}
			// Its ack, or a recall: one answer before the next resend.
			sender.Next()
		}
	}()
	for i := range n {
		recall(t, here(), g, uuidOf(i))
		left := client.History(t, there(), g).Data
		if len(left) != n-1-i {
			t.Errorf("after the recall of %s, history has %d messages, want %d", uuidOf(i), len(left), n-1-i)
		}
		for _, text := range left {
			if p := client.Parse(t, text); p.Type != 2 || p.UUID <= uuidOf(i) {
				t.Errorf("after the recall of %s, history has %s", uuidOf(i), text)
			}
		}
	}
	cancel()
	<-done
	wantTexts(t, "history", client.History(t, here(), g).Data, nil)
}

func Test2_3_AMemberThatResumesHearsOfRecalls(t *testing.T) {
	t.Parallel()
	g := client.Group()
	for i := range 6 {
		client.Publish(t, here(), g, numbered(i))
	}
	recall(t, here(), g, uuidOf(0)) // before message 6 and after 3, which the member has
	client.Publish(t, here(), g, numbered(6))
	recall(t, here(), g, uuidOf(5)) // the member never gets this message
	recall(t, here(), g, uuidOf(3)) // the place to resume from itself
	m := client.Join(t, there(), g+"?after="+uuidOf(3))
	client.Publish(t, here(), g, client.Data("end", ""))
	var messages []string
	recalls := map[string]int{}
	for {
		p := client.Parse(t, m.Next().Data)
		if p.UUID == "end" {
			break
		}
		if p.Type == 1 && p.Command == 6 {
			recalls[p.UUID]++
		} else if p.Type == 2 {
			messages = append(messages, p.UUID)
		} else {
			t.Fatalf("got %+v", p)
		}
	}
	wantTexts(t, "messages", messages, []string{uuidOf(4), uuidOf(6)})
	if fmt.Sprint(recalls) != fmt.Sprint(map[string]int{uuidOf(0): 1, uuidOf(3): 1}) {
		t.Errorf("recalls: %v, want one of %s and of %s", recalls, uuidOf(0), uuidOf(3))
	}
}

func Test2_3_AResendOfARecalledMessageBringsItsRecall(t *testing.T) {
	t.Parallel()
	g := client.Group()
	for i := range 2 {
		client.Publish(t, here(), g, numbered(i)) // acks were lost with the connection, say
	}
	recall(t, here(), g, uuidOf(0))
	watcher := client.Join(t, here(), g)
	for _, after := range []string{"", "?after=" + uuidOf(1)} {
		sender := client.Join(t, there(), g+after)
		if after != "" {
			sender.Want(client.Recall(uuidOf(0))) // it resumes after it, and so has it
		}
		sender.Text(numbered(0))
		sender.Want(client.Ack(uuidOf(0)))
		if after == "" {
			sender.Want(client.Recall(uuidOf(0)))
		}
		sender.Text(numbered(0)) // it knows now
		sender.Want(client.Ack(uuidOf(0)))
		sender.Text(numbered(1))
		sender.Want(client.Ack(uuidOf(1)))
		sender.Leave()
	}
	client.Publish(t, here(), g, "end")
	watcher.Want("end") // and the watcher heard nothing before it
}

func Test5_RecallTakesAFormOrAQuery(t *testing.T) {
	t.Parallel()
	g := client.Group()
	for i := range 5 {
		client.Publish(t, here(), g, numbered(i))
	}
	params := func(i int) string { return client.Values("groupName", g, "uuid", uuidOf(i)).Encode() }
	group, uuid := client.Values("groupName", g).Encode(), "uuid="+uuidOf(4)
	for i, a := range []client.Answer{
		client.Do(t, "POST", here(), "/__/cancel", params(0), "Content-Type: "+client.Form),
		client.Do(t, "POST", here(), "/__/cancel/", params(1), "Content-Type: "+client.Form+"; charset=utf-8"),
		client.Do(t, "POST", here(), "/__/cancel?"+params(2), ""),
		client.Do(t, "POST", here(), "/__/cancel/?"+params(3), "", "Content-Type: "+client.Form),
		client.Do(t, "POST", here(), "/__/cancel?"+group, uuid, "Content-Type: "+client.Form),
	} {
		var body map[string]any
		a.JSON(t, &body)
		if _, ok := body["msg"].(string); a.Code != http.StatusOK || body["code"] != 200.0 || !ok || len(body) != 2 {
			t.Errorf("recall %d: %d %s", i, a.Code, a.Body)
		}
	}
	wantTexts(t, "history", client.History(t, there(), g).Data, nil)
}

func Test5_ASecondRecallIs200AndAnUnknownMessage404(t *testing.T) {
	t.Parallel()
	g, uuid := client.Group(), client.UUID()
	wantError(t, "recall in an unknown group", client.Cancel(t, here(), g, uuid), http.StatusNotFound)
	client.Publish(t, here(), g, client.Data(uuid, "x"))
	wantError(t, "recall of an unknown message", client.Cancel(t, here(), g, client.UUID()), http.StatusNotFound)
	recall(t, here(), g, uuid)
	recall(t, there(), g, uuid)
	wantError(t, "recall in another group", client.Cancel(t, here(), g+"/", uuid), http.StatusNotFound)
}

func Test5_BadParametersAre400(t *testing.T) {
	t.Parallel()
	g := client.Group()
	for what, form := range map[string]url.Values{
		"nothing": {}, "no uuid": client.Values("groupName", g), "no group": client.Values("uuid", "a"),
		"empty uuid": client.Values("groupName", g, "uuid", ""), "empty group": client.Values("groupName", "", "uuid", "a"),
		"illegal group": client.Values("groupName", "room", "uuid", "a"), "reserved group": client.Values("groupName", "/__/x", "uuid", "a"),
		"group twice": client.Values("groupName", g, "groupName", g, "uuid", "a"), "uuid twice": client.Values("groupName", g, "uuid", "a", "uuid", "a"),
		"uuid that is not UTF-8": client.Values("groupName", g, "uuid", "\xff"),
	} {
		wantError(t, what, client.Post(t, here(), "/__/cancel", form), http.StatusBadRequest)
	}
	twice := client.Do(t, "POST", here(), "/__/cancel?uuid=a", client.Values("groupName", g, "uuid", "a").Encode(), "Content-Type: "+client.Form)
	if msg := wantError(t, "uuid in the query and in the form", twice, http.StatusBadRequest); !strings.Contains(msg, "uuid") {
		t.Errorf("the error %q does not name the parameter", msg)
	}
}

func Test5_ARecalledMessageKeepsItsPlace(t *testing.T) {
	t.Parallel()
	g := client.Group()
	for i := range 6 {
		client.Publish(t, here(), g, numbered(i))
	}
	recall(t, here(), g, uuidOf(4))
	recall(t, here(), g, uuidOf(0))
	for _, tt := range []struct {
		position, size string
		want           []string
	}{
		{"0", "6", []string{numbered(5), numbered(3), numbered(2), numbered(1)}},
		{"0", "2", []string{numbered(5)}},
		{"1", "1", nil},
		{"1", "2", []string{numbered(3)}},
		{"-1", "1", nil},
		{"-2", "5", []string{numbered(1)}},
		{"-6", "2", []string{numbered(5)}},
	} {
		p := client.History(t, there(), g, "position", tt.position, "size", tt.size)
		wantTexts(t, "position "+tt.position+", size "+tt.size, p.Data, tt.want)
	}
}
