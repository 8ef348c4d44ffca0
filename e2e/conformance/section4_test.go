package conformance

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
)

// window is section 4 in a few lines: indices of a list of n, newest first.
func window(n, position, size int) (from, to int) {
	if position < 0 {
		position = max(0, n+position)
	}
	return min(position, n), min(position+size, n)
}

func Test4_PositionsAndSizes(t *testing.T) {
	t.Parallel()
	const n = 7
	g := client.Group()
	for i := range n {
		client.Publish(t, here(), g, numbered(i))
	}
	list := reversed(numbers(0, n-1))
	for _, position := range []int{0, 1, 6, 7, 8, 1000, 2147483647, -1, -2, -6, -7, -8, -1000, -2147483648} {
		for _, size := range []int{0, 1, 3, 7, 8, 10000} {
			p := client.History(t, there(), g, "position", strconv.Itoa(position), "size", strconv.Itoa(size))
			from, to := window(n, position, size)
			wantTexts(t, fmt.Sprintf("position %d, size %d", position, size), p.Data, list[from:to])
			if p.Position != position {
				t.Errorf("position %d is answered as %d", position, p.Position)
			}
		}
	}
}

func Test4_Defaults(t *testing.T) {
	t.Parallel()
	g := client.Group()
	fill(t, g, 1001)
	p := client.History(t, there(), g)
	wantTexts(t, "history", p.Data, reversed(numbers(1, 1000)))
	if p.Position != 0 || p.Next == nil || *p.Next != 1000 {
		t.Errorf("position %d, next %v, want 0 and 1000", p.Position, p.Next)
	}
}

func Test4_AllFourKeysAreAlwaysThere(t *testing.T) {
	t.Parallel()
	for _, position := range []string{"0", "-50", "3"} {
		a := client.Post(t, here(), "/__/history", client.Values("groupName", client.Group(), "position", position))
		want := `{"code":200,"position":` + position + `,"msg":"","data":[]}`
		if strings.TrimSpace(a.Body) != want || a.Code != http.StatusOK {
			t.Errorf("history of an unknown group: %d %s, want %s", a.Code, a.Body, want)
		}
		if !strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") {
			t.Errorf("Content-Type %q", a.Header.Get("Content-Type"))
		}
	}
}

func Test4_ParametersInQueryFormOrBoth(t *testing.T) {
	t.Parallel()
	g := client.Group()
	for i := range 5 {
		client.Publish(t, here(), g, numbered(i))
	}
	group := client.Values("groupName", g).Encode()
	all := group + "&position=1&size=2"
	form := "Content-Type: " + client.Form
	for what, a := range map[string]client.Answer{
		"form":                   client.Do(t, "POST", here(), "/__/history", all, form),
		"form without a type":    client.Do(t, "POST", here(), "/__/history", all),
		"form, slash":            client.Do(t, "POST", here(), "/__/history/", all, form),
		"query of a POST":        client.Do(t, "POST", here(), "/__/history?"+all, ""),
		"query of a POST, slash": client.Do(t, "POST", here(), "/__/history/?"+all, "", form),
		"query of a GET":         client.Do(t, "GET", here(), "/__/history?"+all, ""),
		"query of a GET, slash":  client.Do(t, "GET", there(), "/__/history/?"+all, ""),
		"mixed":                  client.Do(t, "POST", here(), "/__/history?"+group+"&size=2", "position=1", form),
		"unknown parameters":     client.Do(t, "POST", here(), "/__/history?x=1&code=2", all+"&y=z&msg=1", form),
		"plus sign":              client.Do(t, "POST", here(), "/__/history", group+"&position=%2B1&size=2", form),
	} {
		if what == "plus sign" && a.Code == http.StatusBadRequest {
			continue // a number with a plus sign may be refused or read
		}
		var p client.Page
		a.JSON(t, &p)
		if a.Code != http.StatusOK || p.Position != 1 {
			t.Errorf("%s: %d %s", what, a.Code, a.Body)
		}
		wantTexts(t, what, p.Data, []string{numbered(3), numbered(2)})
	}
}

func Test4_BadParametersAre400AndNamed(t *testing.T) {
	t.Parallel()
	g := client.Values("groupName", client.Group()).Encode()
	for query, name := range map[string]string{
		"":                                   "groupName",
		"groupName=":                         "groupName",
		"groupName=room":                     "groupName",
		"groupName=%2F__%2Fx":                "groupName",
		"groupName=%2Fa%7Bb":                 "groupName",
		"groupName=%2F%ff":                   "groupName",
		g + "&" + g:                          "groupName",
		g + "&position=x":                    "position",
		g + "&position=1.0":                  "position",
		g + "&position=1e3":                  "position",
		g + "&position=0x1":                  "position",
		g + "&position=%201":                 "position",
		g + "&position=1&position=1":         "position",
		g + "&position=2147483648":           "position",
		g + "&position=99999999999999999999": "position",
		g + "&size=-1":                       "size",
		g + "&size=10001":                    "size",
		g + "&size=x":                        "size",
		g + "&size=1&size=2":                 "size",
		g + "&size=99999999999999999999":     "size",
		g + "&before=a&before=b":             "before",
		g + "&before=%ff":                    "before",
	} {
		form := "Content-Type: " + client.Form
		for what, a := range map[string]client.Answer{
			"query": client.Do(t, "GET", here(), "/__/history?"+query, ""),
			"form":  client.Do(t, "POST", here(), "/__/history", query, form),
		} {
			if msg := wantError(t, what+" "+query, a, http.StatusBadRequest); !strings.Contains(strings.ToLower(msg), strings.ToLower(name)) && !strings.Contains(msg, "group name") {
				t.Errorf("%s %s: the error %q does not name %s", what, query, msg, name)
			}
		}
	}
	both := client.Do(t, "POST", here(), "/__/history?"+g+"&size=1", "size=1", "Content-Type: "+client.Form)
	if msg := wantError(t, "size in query and form", both, http.StatusBadRequest); !strings.Contains(msg, "size") {
		t.Errorf("the error %q does not name size", msg)
	}
}

func Test4_BeforePagesBackFromAMessage(t *testing.T) {
	t.Parallel()
	g := client.Group()
	for i := range 8 {
		client.Publish(t, here(), g, numbered(i))
	}
	recall(t, here(), g, uuidOf(3))
	for _, tt := range []struct {
		before int
		size   string
		want   []string
	}{
		{7, "2", reversed(numbers(5, 6))},
		{5, "1", reversed(numbers(4, 4))},
		{5, "10", []string{numbered(4), numbered(2), numbered(1), numbered(0)}},
		{3, "10", reversed(numbers(0, 2))}, // a recalled message keeps its place
		{0, "10", nil},
	} {
		p := client.History(t, there(), g, "before", uuidOf(tt.before), "size", tt.size)
		wantTexts(t, fmt.Sprintf("before message %d, size %s", tt.before, tt.size), p.Data, tt.want)
	}
	// New messages do not move the pages.
	client.Publish(t, here(), g, numbered(8))
	wantTexts(t, "before message 7, later", client.History(t, here(), g, "before", uuidOf(7), "size", "2").Data, reversed(numbers(5, 6)))
	a := client.Post(t, here(), "/__/history", client.Values("groupName", g, "before", "unknown"))
	wantError(t, "before an unknown message", a, http.StatusNotFound)
}

func Test4_NextLeadsThroughTheWholeHistory(t *testing.T) {
	t.Parallel()
	const n = 23
	g := client.Group()
	for i := range n {
		client.Publish(t, here(), g, numbered(i))
	}
	for _, start := range []int{0, -n, -5} {
		from, _ := window(n, start, 0)
		want := reversed(numbers(0, n-1))[from:]
		var got []string
		position, pages := start, 0
		for {
			p := client.History(t, there(), g, "position", strconv.Itoa(position), "size", "4")
			got = append(got, p.Data...)
			pages++
			if p.Next == nil {
				break
			}
			if pages > n {
				t.Fatalf("from %d: no end after %d pages, next is %d", start, pages, *p.Next)
			}
			position = *p.Next
		}
		wantTexts(t, fmt.Sprint("all pages from ", start), got, want)
		if want := (len(want) + 3) / 4; pages != want {
			t.Errorf("from %d: %d pages, want %d", start, pages, want)
		}
	}
}

func Test4_APageEndsEarlyAt8MiB(t *testing.T) {
	if testing.Short() {
		t.Skip("stores 9 MiB")
	}
	t.Parallel()
	g := client.Group()
	filler := strings.Repeat("x", target.limit-200)
	n := 9<<20/target.limit + 2
	m := client.Join(t, here(), g)
	for i := range n {
		m.Text(client.Data(uuidOf(i), filler))
	}
	m.Take(n)
	position, got, pages := 0, 0, 0
	for {
		a := client.Post(t, there(), "/__/history", client.Values("groupName", g, "position", strconv.Itoa(position), "size", "10000"))
		var p client.Page
		a.JSON(t, &p)
		pages++
		if len(a.Body) > 9<<20 {
			t.Errorf("a page of %d bytes", len(a.Body))
		}
		for _, text := range p.Data {
			if want := uuidOf(n - 1 - got); client.Parse(t, text).UUID != want {
				t.Fatalf("message %d of the pages is %.60s, want %s", got, text, want)
			}
			got++
		}
		if p.Next == nil {
			break
		}
		if len(p.Data) == 0 || *p.Next != position+len(p.Data) {
			t.Fatalf("page at %d has %d texts and goes on at %d", position, len(p.Data), *p.Next)
		}
		position = *p.Next
	}
	if got != n || pages < 2 {
		t.Errorf("%d texts on %d pages, want %d on more than one", got, pages, n)
	}
}

func Test4_LowLevelPacketsAreNotKept(t *testing.T) {
	t.Parallel()
	g := client.Group()
	for _, packet := range []string{"text", `{"type":"2"}`, `{"type":1,"command":3,"uuid":"a"}`, "\xff"} {
		client.Publish(t, here(), g, packet)
	}
	wantTexts(t, "history", client.History(t, there(), g).Data, nil)
}
