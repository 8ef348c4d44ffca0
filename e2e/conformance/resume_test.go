package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
)

func numbers(from, to int) []string {
	var texts []string
	for i := from; i <= to; i++ {
		texts = append(texts, numbered(i))
	}
	return texts
}

func reversed(texts []string) []string {
	texts = slices.Clone(texts)
	slices.Reverse(texts)
	return texts
}

func Test2_4_QueryIsAnsweredToTheSenderAlone(t *testing.T) {
	t.Parallel()
	g := client.Group()
	for i := range 10 {
		client.Publish(t, here(), g, numbered(i))
	}
	recall(t, here(), g, uuidOf(7))
	m, other := client.Join(t, here(), g), client.Join(t, there(), g)
	without7 := func(texts []string) []string {
		return slices.DeleteFunc(texts, func(s string) bool { return s == numbered(7) })
	}
	for _, tt := range []struct {
		args     string
		position int
		want     []string
	}{
		{`"pullargs":{"offset":0,"size":50}`, 0, without7(reversed(numbers(0, 9)))},
		{`"pullargs":{"offset":2,"size":3}`, 2, without7(reversed(numbers(5, 7)))},
		{`"pullargs":{"offset":-3,"size":2}`, -3, reversed(numbers(1, 2))},
		{`"pullargs":{"offset":10,"size":2}`, 10, nil},
		{`"pullargs":{"offset":0,"size":0}`, 0, nil},
		{`"x":1`, 0, without7(reversed(numbers(0, 9)))},
		{`"queryArgs":{"uuid":"` + uuidOf(5) + `"}`, 0, without7(numbers(6, 9))},
		{`"queryArgs":{"uuid":"` + uuidOf(5) + `"},"pullargs":{"size":1}`, 0, numbers(6, 6)},
		{`"queryArgs":{"uuid":"` + uuidOf(9) + `"}`, 0, nil},
		{`"queryArgs":{"before":"` + uuidOf(3) + `"}`, 0, reversed(numbers(0, 2))},
		{`"queryArgs":{"before":"` + uuidOf(6) + `","size":2}`, 0, reversed(numbers(4, 5))},
		{`"queryArgs":{"before":"` + uuidOf(0) + `"}`, 0, nil},
	} {
		uuid := client.UUID()
		m.Text(fmt.Sprintf(`{"type":1,"command":2,"uuid":%q,%s}`, uuid, tt.args))
		position, texts := m.Answer(uuid)
		if position != tt.position {
			t.Errorf("%s: position %d, want %d", tt.args, position, tt.position)
		}
		wantTexts(t, tt.args, texts, tt.want)
	}
	client.Publish(t, here(), g, "end")
	m.Want("end")
	other.Want("end")
}

func Test2_4_AQueryAroundAnUnknownMessageIsRefusedWith404(t *testing.T) {
	t.Parallel()
	g := client.Group()
	client.Publish(t, here(), g, numbered(0))
	m := client.Join(t, here(), g)
	for _, name := range []string{"uuid", "before"} {
		q := client.UUID()
		m.Text(fmt.Sprintf(`{"type":1,"command":2,"uuid":%q,"queryArgs":{%q:"unknown"}}`, q, name))
		if uuid, code := m.Refusal(); uuid != q || code != http.StatusNotFound {
			t.Errorf("query with an unknown %s: refusal of %q with %d, want %q, 404", name, uuid, code, q)
		}
	}
}

func Test2_4_AfterBringsWhatWasMissedThenWhatIsLive(t *testing.T) {
	t.Parallel()
	g := client.Group()
	for i := range 10 {
		client.Publish(t, here(), g, numbered(i))
	}
	m := client.Join(t, there(), g+"?after="+uuidOf(3))
	for i := 10; i < 13; i++ {
		client.Publish(t, here(), g, numbered(i))
	}
	for i := 4; i < 13; i++ {
		m.Want(numbered(i))
	}
}

func Test2_4_AfterTheNewestBringsNothingOld(t *testing.T) {
	t.Parallel()
	g := client.Group()
	client.Publish(t, here(), g, numbered(0))
	m := client.Join(t, here(), g+"?after="+uuidOf(0))
	client.Publish(t, there(), g, numbered(1))
	m.Want(numbered(1))
}

func Test2_4_AfterBringsTheMembersOwnMessagesToo(t *testing.T) {
	t.Parallel()
	g := client.Group()
	m := client.Join(t, here(), g)
	for i := range 4 {
		m.Text(numbered(i))
		m.Want(client.Ack(uuidOf(i)))
	}
	m.Leave()
	again := client.Join(t, there(), g+"?after="+uuidOf(1))
	again.Want(numbered(2))
	again.Want(numbered(3))
}

func Test2_4_AfterARecalledMessageIsExact(t *testing.T) {
	t.Parallel()
	g := client.Group()
	for i := range 4 {
		client.Publish(t, here(), g, numbered(i))
	}
	recall(t, here(), g, uuidOf(1))
	recall(t, here(), g, uuidOf(2))
	m := client.Join(t, there(), g+"?after="+uuidOf(1))
	client.Publish(t, here(), g, numbered(4))
	// The member had message 1, so it hears of that recall, anywhere among
	// what follows. It never had message 2.
	got := []string{m.Next().Data, m.Next().Data, m.Next().Data}
	i := slices.Index(got, client.Recall(uuidOf(1)))
	if i < 0 {
		t.Fatalf("got %q, want the recall of %s among them", got, uuidOf(1))
	}
	wantTexts(t, "messages", slices.Delete(got, i, i+1), numbers(3, 4))
}

func Test2_4_AfterAnUnknownMessageBrings410AndAllThatIsKept(t *testing.T) {
	t.Parallel()
	g := client.Group()
	for i := range 5 {
		client.Publish(t, here(), g, numbered(i))
	}
	recall(t, here(), g, uuidOf(2))
	m := client.Join(t, there(), g+"?after=unknown")
	if _, code := m.Refusal(); code != http.StatusGone {
		t.Errorf("the first thing is code %d, want 410", code)
	}
	client.Publish(t, here(), g, numbered(5))
	for _, i := range []int{0, 1, 3, 4, 5} {
		m.Want(numbered(i))
	}
}

func Test2_4_AfterInAnUnknownGroupBrings410(t *testing.T) {
	t.Parallel()
	g := client.Group()
	m := client.Join(t, here(), g+"?after=not%0Apossible")
	if _, code := m.Refusal(); code != http.StatusGone {
		t.Errorf("the first thing is code %d, want 410", code)
	}
	client.Publish(t, there(), g, numbered(0))
	m.Want(numbered(0))
}

func Test2_4_AfterGivenTwiceIs400(t *testing.T) {
	t.Parallel()
	m, resp, err := client.TryJoin(t, here(), client.Group()+"?after="+uuidOf(0)+"&after="+uuidOf(1))
	if err == nil {
		m.Leave()
		t.Fatal("a WebSocket with two places to begin was opened")
	}
	if resp == nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("got %v (%v), want 400", resp, err)
	}
}

func Test2_4_AnEmptyAfterIsNone(t *testing.T) {
	t.Parallel()
	g := client.Group()
	client.Publish(t, here(), g, numbered(0))
	m := client.Join(t, here(), g+"?after=")
	client.Publish(t, there(), g, numbered(1))
	m.Want(numbered(1))
}

func Test2_4_ManyResumeWhileOthersPublish(t *testing.T) {
	t.Parallel()
	const n, resumes = 400, 12
	g := client.Group()
	first := 5
	for i := range first {
		client.Publish(t, here(), g, numbered(i))
	}
	sender := client.Join(t, here(), g)
	go func() {
		for i := first; i < n; i++ {
			_ = sender.TrySend(client.Message{Data: numbered(i)})
		}
	}()
	for r := range resumes {
		// Each goes on from another place, while the sender sends.
		from := r % first
		m := client.Join(t, edge(r), g+"?after="+uuidOf(from))
		for i, msg := range m.Take(n - 1 - from) {
			if msg.Data != numbered(from+1+i) {
				t.Fatalf("resumed after %d: message %d is %v", from, from+1+i, msg)
			}
		}
	}
}

func Test2_4_ALongHistoryIsResumedInFull(t *testing.T) {
	t.Parallel()
	const n = 3000
	g := client.Group()
	fill(t, g, n)
	m := client.Join(t, there(), g+"?after="+uuidOf(0))
	client.Publish(t, here(), g, numbered(n))
	for i, msg := range m.Take(n) {
		if msg.Data != numbered(i+1) {
			t.Fatalf("message %d is %v", i+1, msg)
		}
	}
}
