package conformance

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
)

// adopt prepares a list as the older server wrote it: texts are pushed in order,
// the last one is the newest.
func adopt(t *testing.T, r redis.UniversalClient, group string, texts []string) {
	t.Helper()
	for len(texts) > 0 {
		n := min(len(texts), 5000)
		values := make([]any, n)
		for i, text := range texts[:n] {
			values[i] = text
		}
		if err := r.LPush(t.Context(), group, values...).Err(); err != nil {
			t.Fatal(err)
		}
		texts = texts[n:]
	}
	t.Cleanup(func() { _ = r.Del(t.Context(), group).Err() })
}

func list(t *testing.T, r redis.UniversalClient, group string) []string {
	t.Helper()
	texts, err := r.LRange(t.Context(), group, 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// strange are texts that an older server may have stored.
var strange = []string{
	"not JSON", `{"type":2,"uuid":"twice","body":{"data":"first"}}`, `{"type":"2","uuid":"text"}`, `{"type":2,"uuid":7}`,
	`{"type":2,"uuid":"twice","body":{"data":"second"}}`, "", `{"type":2,"uuid":"other","body":{"data":"mentions \"twice\""}}`,
	` {"uuid":"spaced" , "type" : 2}`, `{"type":2,"uuid":"esc\u0061ped","body":{}}`, "a\xffb", `["twice"]`,
	`{"type":2,"body":{"uuid":"twice"}}`,
}

// asUTF8 returns the texts as JSON carries them.
func asUTF8(texts []string) []string {
	out := make([]string, 0, len(texts))
	for _, s := range texts {
		out = append(out, strings.ToValidUTF8(s, "\ufffd"))
	}
	return out
}

func Test7_AnOlderListIsServedAndAppendedTo(t *testing.T) {
	r := needRedis(t)
	t.Parallel()
	g := client.Group()
	adopt(t, r, g, strange)
	wantTexts(t, "adopted history", client.History(t, here(), g).Data, asUTF8(reversed(strange)))
	m := client.Join(t, there(), g)
	client.Publish(t, here(), g, numbered(0))
	m.Want(numbered(0))
	wantTexts(t, "list", list(t, r, g), append([]string{numbered(0)}, reversed(strange)...))
	wantTexts(t, "oldest", client.History(t, there(), g, "position", "-1", "size", "5").Data, asUTF8(strange[:1]))
}

func Test7_RecallFromAnOlderListErasesEveryMessageWithThatUUID(t *testing.T) {
	r := needRedis(t)
	t.Parallel()
	g := client.Group()
	adopt(t, r, g, strange)
	m := client.Join(t, there(), g)
	want := reversed(strange)
	for _, uuid := range []string{"twice", "spaced", "escaped"} {
		recall(t, here(), g, uuid)
		m.Want(client.Recall(uuid))
		recall(t, there(), g, uuid)
	}
	for i, text := range want {
		switch {
		case strings.HasPrefix(text, `{"type":2,"uuid":"twice"`):
			want[i] = client.Recall("twice")
		case strings.Contains(text, `"spaced"`):
			want[i] = client.Recall("spaced")
		case strings.Contains(text, `esc`):
			want[i] = client.Recall("escaped")
		}
	}
	wantTexts(t, "list", list(t, r, g), want)
	wantError(t, "recall of what is no data packet", client.Cancel(t, here(), g, "text"), http.StatusNotFound)
	client.Publish(t, here(), g, "end")
	m.Want("end")
}

func Test7_OldRecallsAreErased(t *testing.T) {
	r := needRedis(t)
	t.Parallel()
	g := client.Group()
	texts := numbers(0, 5)
	adopt(t, r, g, texts)
	for _, i := range []int{1, 4} {
		sum := md5.Sum([]byte(texts[i]))
		if err := r.SAdd(t.Context(), "$$/black/$$"+g, hex.EncodeToString(sum[:])).Err(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = r.Del(t.Context(), "$$/black/$$"+g).Err() })
	want := []string{numbered(5), numbered(3), numbered(2), numbered(0)}
	wantTexts(t, "history", client.History(t, there(), g).Data, want)
	wantTexts(t, "second message", client.History(t, here(), g, "position", "1", "size", "1").Data, nil)
	for _, text := range list(t, r, g) {
		if text == texts[1] || text == texts[4] {
			t.Errorf("the list still has the recalled %s", text)
		}
	}
}

func Test7_AnOlderListIsNeitherTrimmedNorExpired(t *testing.T) {
	r := needRedis(t)
	if target.cap == 0 {
		t.Skip("needs -cap")
	}
	t.Parallel()
	g, n := client.Group(), target.cap+500
	adopt(t, r, g, numbers(0, n-1))
	for i := range 20 {
		client.Publish(t, here(), g, numbered(n+i))
	}
	if got := result(t, r.LLen(t.Context(), g)); got != int64(n+20) {
		t.Errorf("the list has %d elements, want %d", got, n+20)
	}
	if ttl := result(t, r.TTL(t.Context(), g)); ttl >= 0 {
		t.Errorf("the list expires in %v", ttl)
	}
	wantTexts(t, "oldest", client.History(t, there(), g, "position", "-1").Data, numbers(0, 0))
}

func Test7_RecallAtAnyDepthOf100000(t *testing.T) {
	r := needRedis(t)
	t.Parallel()
	const n = 100_000
	g := client.Group()
	adopt(t, r, g, numbers(0, n-1))
	m := client.Join(t, there(), g)
	for _, i := range []int{0, 1, n / 2, n - 2, n - 1} {
		recall(t, here(), g, uuidOf(i))
		m.Want(client.Recall(uuidOf(i)))
		if got := result(t, r.LIndex(t.Context(), g, int64(n-1-i))); got != client.Recall(uuidOf(i)) {
			t.Errorf("message %d is still %q in Redis", i, got)
		}
	}
	wantError(t, "unknown among 100,000", client.Cancel(t, here(), g, "unknown"), http.StatusNotFound)
}

func Test7_ARecalledTextIsErasedFromRedis(t *testing.T) {
	r := needRedis(t)
	t.Parallel()
	g := client.Group()
	secret := client.UUID()
	client.Publish(t, here(), g, client.Data("a", secret))
	client.Publish(t, here(), g, client.Data("b", "stays"))
	recall(t, there(), g, "a")
	wantTexts(t, "list", list(t, r, g), []string{client.Data("b", "stays"), client.Recall("a")})
	keys := keysOf(t, r, g)
	if !slices.Contains(keys, g) {
		t.Errorf("there is no key %s among %v", g, keys)
	}
	for _, key := range keys {
		if strings.Contains(contents(t, r, key), secret) {
			t.Errorf("the recalled text is in key %q", key)
		}
	}
}

// result returns what Redis answered, or ends the test: a Val() that failed is empty
// and may look like what is wanted.
func result[T any](t *testing.T, cmd interface{ Result() (T, error) }) T {
	t.Helper()
	v, err := cmd.Result()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// keysOf returns the keys that have the group's name in theirs.
func keysOf(t *testing.T, r redis.UniversalClient, group string) []string {
	t.Helper()
	cluster, ok := r.(*redis.ClusterClient)
	if !ok {
		return result(t, r.Keys(t.Context(), "*"+group+"*"))
	}
	var mu sync.Mutex
	var keys []string
	err := cluster.ForEachMaster(t.Context(), func(ctx context.Context, c *redis.Client) error {
		found, err := c.Keys(ctx, "*"+group+"*").Result()
		mu.Lock()
		defer mu.Unlock()
		keys = append(keys, found...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// contents returns the content of a key.
func contents(t *testing.T, r redis.UniversalClient, key string) string {
	t.Helper()
	switch kind := result(t, r.Type(t.Context(), key)); kind {
	case "list":
		return fmt.Sprint(list(t, r, key))
	case "hash":
		return fmt.Sprint(result(t, r.HGetAll(t.Context(), key)))
	case "string":
		return result(t, r.Get(t.Context(), key))
	case "set":
		return fmt.Sprint(result(t, r.SMembers(t.Context(), key)))
	case "zset":
		return fmt.Sprint(result(t, r.ZRange(t.Context(), key, 0, -1)))
	default:
		t.Errorf("key %q is a %s", key, kind)
		return ""
	}
}

func Test7_AnOlderListCanBeResumedFromANewMessage(t *testing.T) {
	r := needRedis(t)
	t.Parallel()
	g := client.Group()
	adopt(t, r, g, numbers(0, 9))
	client.Publish(t, here(), g, numbered(10))
	client.Publish(t, here(), g, numbered(11))
	m := client.Join(t, there(), g+"?after="+uuidOf(10))
	m.Want(numbered(11))
}

func Test7_APageOfWhatIsNotUTF8EndsEarlyToo(t *testing.T) {
	r := needRedis(t)
	t.Parallel()
	g := client.Group()
	broken := strings.Repeat("\xffa", 1<<20) // twice as long in JSON
	adopt(t, r, g, slices.Repeat([]string{broken}, 4))
	want := asUTF8([]string{broken})[0]
	p := client.History(t, there(), g)
	if len(p.Data) != 2 || p.Data[0] != want || p.Next == nil || *p.Next != 2 {
		t.Errorf("%d texts, next %v, want 2 texts of 8 MiB together, and 2", len(p.Data), p.Next)
	}
}

func Test7_WhatOthersPushIsPagedOverAndRecalled(t *testing.T) {
	r := needRedis(t)
	t.Parallel()
	g := client.Group()
	client.Publish(t, here(), g, numbered(0))
	adopt(t, r, g, numbers(1, 3)) // as the older server does that still runs beside this one
	wantTexts(t, "history", client.History(t, there(), g).Data, reversed(numbers(0, 3)))
	for _, size := range []string{"2", "10000"} {
		p := client.History(t, there(), g, "before", uuidOf(2), "size", size)
		wantTexts(t, "before message 2, size "+size, p.Data, reversed(numbers(0, 1)))
	}
	wantTexts(t, "before message 1", client.History(t, here(), g, "before", uuidOf(1)).Data, numbers(0, 0))
	wantTexts(t, "before message 0", client.History(t, here(), g, "before", uuidOf(0)).Data, nil)

	live, resumed := client.Join(t, here(), g), client.Join(t, there(), g+"?after="+uuidOf(3))
	for _, i := range []int{1, 0, 3, 2} {
		recall(t, here(), g, uuidOf(i))
		live.Want(client.Recall(uuidOf(i)))
		resumed.Want(client.Recall(uuidOf(i)))
		recall(t, there(), g, uuidOf(i))
	}
	wantTexts(t, "list", list(t, r, g), []string{
		client.Recall(uuidOf(3)), client.Recall(uuidOf(2)), client.Recall(uuidOf(1)), client.Recall(uuidOf(0)),
	})
	wantError(t, "unknown", client.Cancel(t, here(), g, "unknown"), http.StatusNotFound)
	for _, i := range []int{0, 1} {
		client.Publish(t, here(), g, numbered(i)) // does not bring it back
	}
	lost := client.Join(t, there(), g+"?after=unknown")
	if uuid, code := lost.Refusal(); uuid != "" || code != http.StatusGone {
		t.Errorf("after an unknown message: uuid %q, code %d, want 410 without uuid", uuid, code)
	}
	client.Publish(t, here(), g, numbered(4))
	live.Want(numbered(4))
	resumed.Want(numbered(4))
	// It gets the recalls of what others had pushed, and then the live messages.
	for msg := lost.Next(); msg.Data != numbered(4); msg = lost.Next() {
		if p := client.Parse(t, msg.Data); p.Command != 6 {
			t.Fatalf("got %v, want recalls and then message 4", msg)
		}
	}
}

func Test7_AKeyOfAWrongTypeIsRefusedAndLeftAlone(t *testing.T) {
	r := needRedis(t)
	t.Parallel()
	g := client.Group()
	if err := r.Set(t.Context(), g, "not a list", 0).Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Del(t.Context(), g).Err() })
	wantError(t, "publish", client.Do(t, "POST", here(), g, numbered(0)), http.StatusBadRequest)
	wantError(t, "history", client.Post(t, here(), "/__/history", client.Values("groupName", g)), http.StatusBadRequest)
	wantError(t, "recall", client.Cancel(t, here(), g, "a"), http.StatusBadRequest)
	if m, resp, err := client.TryJoin(t, here(), g); err == nil {
		m.Leave()
		t.Error("a WebSocket was opened")
	} else if resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("WebSocket: %v (%v), want 503", resp, err)
	}
	if got := result(t, r.Get(t.Context(), g)); got != "not a list" {
		t.Errorf("the key is now %q", got)
	}
	// Others are not disturbed.
	other := client.Group()
	client.Publish(t, here(), other, numbered(0))
}

func Test7_TheListIsTheHistory(t *testing.T) {
	r := needRedis(t)
	t.Parallel()
	g := client.Group()
	var want []string
	for i := range 5 {
		client.Publish(t, here(), g, numbered(i))
		want = append([]string{numbered(i)}, want...)
	}
	wantTexts(t, "list", list(t, r, g), want)
	if kind := result(t, r.Type(t.Context(), g)); kind != "list" {
		t.Errorf("the key is a %s", kind)
	}
}

func Test7_OneGroupsKeysShareASlot(t *testing.T) {
	r := needRedis(t)
	t.Parallel()
	g := client.Group()
	client.Publish(t, here(), g, numbered(0))
	recall(t, here(), g, uuidOf(0))
	keys := keysOf(t, r, g)
	for _, key := range keys {
		if key != g && !strings.HasPrefix(key, fmt.Sprintf("{%s}:", g)) {
			t.Errorf("key %q of group %s is in a slot of its own", key, g)
		}
	}
	if !slices.Contains(keys, g) {
		t.Errorf("there is no key %s among %v", g, keys)
	}
}
