package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
)

// pageTarget is a page of a group as GET asks for it.
func pageTarget(group string, pairs ...string) string {
	return "/__/history?" + client.Values(append([]string{"groupName", group}, pairs...)...).Encode()
}

// etagOf gets a page and returns its entity tag.
func etagOf(t *testing.T, addr, target string) string {
	t.Helper()
	a := client.Do(t, "GET", addr, target, "")
	tag := a.Header.Get("Etag")
	if a.Code != http.StatusOK || !strings.HasPrefix(tag, `W/"`) || !strings.Contains(a.Header.Get("Cache-Control"), "no-cache") {
		t.Fatalf("GET %s: %d, ETag %q, Cache-Control %q", target, a.Code, tag, a.Header.Get("Cache-Control"))
	}
	return tag
}

func Test4_APageThatHasNotChangedIsNotSentAgain(t *testing.T) {
	t.Parallel()
	g := client.Group()
	for i := range 3 {
		client.Publish(t, here(), g, numbered(i))
	}
	target := pageTarget(g, "size", "2")
	tag := etagOf(t, here(), target)
	if other := etagOf(t, there(), target); other != tag {
		t.Errorf("edges name one page %s and %s", tag, other)
	}
	for _, header := range []string{tag, strings.TrimPrefix(tag, "W/"), `"other", ` + tag, "*"} {
		for _, method := range []string{"GET", "HEAD"} {
			a := client.Do(t, method, there(), target, "", "If-None-Match: "+header)
			if a.Code != http.StatusNotModified || a.Body != "" || a.Header.Get("Etag") != tag {
				t.Errorf("%s with %s: %d %q, ETag %s", method, header, a.Code, a.Body, a.Header.Get("Etag"))
			}
		}
	}
	for _, header := range []string{`"other"`, "other", strings.TrimSuffix(tag, `"`)} {
		if a := client.Do(t, "GET", here(), target, "", "If-None-Match: "+header); a.Code != http.StatusOK || a.Body == "" {
			t.Errorf("GET with %s: %d %q", header, a.Code, a.Body)
		}
	}
	a := client.Do(t, "POST", here(), target, "", "If-None-Match: "+tag)
	if a.Code != http.StatusOK || a.Body == "" || a.Header.Get("Etag") != tag {
		t.Errorf("POST: %d %q, ETag %s, want the page", a.Code, a.Body, a.Header.Get("Etag"))
	}
	if other := etagOf(t, here(), pageTarget(g, "size", "3")); other == tag {
		t.Error("two pages have the same tag")
	}
}

func Test4_AChangedPageHasAnotherETag(t *testing.T) {
	t.Parallel()
	g := client.Group()
	targets := []string{
		pageTarget(g), pageTarget(g, "size", "2"), pageTarget(g, "position", "-1000"), pageTarget(g, "position", "1", "size", "500"),
	}
	seen := make(map[string]string)
	tags := make(map[string]string)
	changed := func(what string, want ...string) {
		t.Helper()
		for i, target := range targets {
			a := client.Do(t, "GET", edge(i), target, "", "If-None-Match: "+tags[target])
			tag := a.Header.Get("Etag")
			if a.Code != http.StatusOK || tag == "" || seen[tag] != "" {
				t.Errorf("%s: GET %s: %d, ETag %s, seen %s", what, target, a.Code, tag, seen[tag])
			}
			seen[tag], tags[target] = what, tag
		}
		wantTexts(t, what, client.History(t, there(), g).Data, want)
	}
	unchanged := func(what string) {
		t.Helper()
		for i, target := range targets {
			if a := client.Do(t, "GET", edge(i), target, "", "If-None-Match: "+tags[target]); a.Code != http.StatusNotModified {
				t.Errorf("%s: GET %s: %d", what, target, a.Code)
			}
		}
	}
	changed("no messages yet")
	unchanged("no messages yet")
	client.Publish(t, here(), g, numbered(0))
	changed("a message", numbered(0))
	client.Publish(t, there(), g, numbered(1))
	changed("a message over another edge", numbered(1), numbered(0))
	client.Publish(t, here(), g, numbered(1))
	client.Publish(t, here(), g, "not stored")
	unchanged("a duplicate, and a low-level packet")
	recall(t, there(), g, uuidOf(0))
	changed("a recall", numbered(1))
	recall(t, here(), g, uuidOf(0))
	unchanged("the same recall")
	if target.redis == nil {
		return
	}
	for i, command := range [][]any{{"lpush", g, numbered(7)}, {"lset", g, 0, numbered(8)}, {"ltrim", g, 0, 1}} {
		if err := target.redis.Do(t.Context(), command...).Err(); err != nil {
			t.Fatal(err)
		}
		want := []string{numbered(8), numbered(1)}
		if i == 0 {
			want[0] = numbered(7)
		}
		changed(fmt.Sprint(command...), want...)
	}
	if err := target.redis.Del(t.Context(), g).Err(); err != nil {
		t.Fatal(err)
	}
	changed("the list is gone")
}

func Test4_AReadAfterTheAnswerSeesTheChangeOnEveryEdge(t *testing.T) {
	t.Parallel()
	g := client.Group()
	for i := range 30 {
		client.Publish(t, edge(i), g, numbered(i))
		for n := range 2 {
			p := client.History(t, edge(i+n), g, "size", "1")
			wantTexts(t, fmt.Sprintf("after message %d, edge %d", i, n), p.Data, []string{numbered(i)})
		}
		recall(t, edge(i+1), g, uuidOf(i))
		for n := range 2 {
			p := client.History(t, edge(i+n), g, "size", "1")
			wantTexts(t, fmt.Sprintf("after recall %d, edge %d", i, n), p.Data, nil)
		}
	}
}

func Test4_PagesOfOtherOriginsMayReadTheETag(t *testing.T) {
	t.Parallel()
	a := client.Do(t, "GET", here(), pageTarget(client.Group()), "", "Origin: https://example.com")
	if exposed := a.Header.Get("Access-Control-Expose-Headers"); !strings.Contains(strings.ToLower(exposed), "etag") {
		t.Errorf("exposed headers are %q", exposed)
	}
}
