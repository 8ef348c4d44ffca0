package gotapi_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
)

func TestServerURLs(t *testing.T) {
	for url, want := range map[string]string{
		"http://127.0.0.1:4998":      "",
		"wss://chat.example.com/":    "",
		"https://example.com/chat":   "",
		"http://example.com/?after":  "gotapi: the server's URL must be scheme://host:port, or end in the path that a proxy serves it under",
		"127.0.0.1:4998":             "gotapi: the server's URL is malformed",
		"ftp://example.com":          `gotapi: scheme "ftp" of the server's URL is not one of http, https, ws, wss`,
		"http://":                    "gotapi: the server's URL has no host",
		"http://user:pw@example.com": "gotapi: the server's URL must not hold a user or password; use Options.Token",
	} {
		_, err := gotapi.New(url, gotapi.Options{})
		if got := errorText(err); got != want {
			t.Errorf("New(%q): %q, want %q", url, got, want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestPublishOverHTTPIsRepeatedOnlyWhenThatIsSafe(t *testing.T) {
	for _, tt := range []struct {
		name, packet string
		codes        []int // of the answers, one after another
		tries, code  int
	}{
		{"stored at once", data("1"), []int{200}, 1, 0},
		{"put off, unknown, broken, stored", data("1"), []int{503, 504, 500, 429, 200}, 5, 0},
		{"not allowed", data("1"), []int{403}, 1, 403},
		{"low-level, certainly not done", "hello", []int{503, 429, 200}, 3, 0},
		{"low-level, outcome unknown", "hello", []int{504}, 1, 504},
		{"no uuid, outcome unknown", `{"type":2,"body":{}}`, []int{504}, 1, 504},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tries := 0
			c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if string(body) != tt.packet || r.RequestURI != "/room" || r.Header.Get("Authorization") != "Bearer secret-token" {
					t.Errorf("got %s %q, Authorization %q", r.RequestURI, body, r.Header.Get("Authorization"))
				}
				code := tt.codes[min(tries, len(tt.codes)-1)]
				tries++
				w.WriteHeader(code)
				_ = json.NewEncoder(w).Encode(map[string]any{"code": code, "msg": "why", "group": "/room", "stored": true, "uuid": "1"})
			}))
			_, err := c.Publish(t.Context(), "/room", []byte(tt.packet))
			if gotapi.CodeOf(err) != tt.code || (err == nil) != (tt.code == 0) || tries != tt.tries {
				t.Errorf("%d tries and %v, want %d and code %d", tries, err, tt.tries, tt.code)
			}
		})
	}
}

func TestPublishSaysTheLastErrorWhenItsTimeIsOver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		cancel() // while the client waits to try again, or before
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	_, err := c.Publish(ctx, "/room", []byte(data("1")))
	if err == nil {
		t.Error("published")
	}
}

func TestReads(t *testing.T) {
	var asked []string
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, strings.TrimSpace(r.Method+" "+r.RequestURI+" "+string(body)+" "+r.Header.Get("Accept")))
		switch r.URL.Path {
		case "/__/history":
			_, _ = w.Write([]byte(`{"code":200,"position":0,"msg":"","data":["b","a"],"next":2}`))
		case "/__/groups":
			_, _ = w.Write([]byte(`{"code":200,"groups":[{"name":"/room","members":3}]}`))
		case "/__/cancel":
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"code":404,"msg":"no such message"}`))
		default:
			_, _ = w.Write([]byte(`{"code":200,"msg":"ok"}`))
		}
	}))
	next := 2
	page, err := c.History(t.Context(), "/room", gotapi.PageRequest{Position: -50, Size: 50})
	if diff := cmp.Diff(gotapi.Page{Packets: []string{"b", "a"}, Next: &next}, page); err != nil || diff != "" {
		t.Errorf("history: %v (-want +got):\n%s", err, diff)
	}
	for _, r := range []gotapi.PageRequest{{Before: "u&1", Size: 2}, {}} {
		if _, err = c.History(t.Context(), "/room", r); err != nil {
			t.Error(err)
		}
	}
	groups, err := c.Groups(t.Context())
	if diff := cmp.Diff([]gotapi.GroupInfo{{Name: "/room", Members: 3}}, groups); err != nil || diff != "" {
		t.Errorf("groups: %v (-want +got):\n%s", err, diff)
	}
	if err := c.Recall(t.Context(), "/room", "1"); gotapi.CodeOf(err) != http.StatusNotFound {
		t.Errorf("recall: %v, want code 404", err)
	}
	if err := c.SetTTL(t.Context(), "/room", 90*time.Second); err != nil {
		t.Error(err)
	}
	want := []string{
		"POST /__/history groupName=%2Froom&position=-50&size=50",
		"POST /__/history before=u%261&groupName=%2Froom&size=2",
		"POST /__/history groupName=%2Froom&position=0", // of the server's size, not of none
		"GET /__/groups  application/json",
		"POST /__/cancel groupName=%2Froom&uuid=1",
		"POST /__/ttl groupName=%2Froom&ttl=90",
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestAPageSaysWhenAndWho(t *testing.T) {
	answer := `"meta":[{"seq":2,"at":1800000000123,"by":"alice"},{"seq":1,"at":0,"key":"shop"}],"pos":"P"`
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("meta") != "1" {
			t.Errorf("asked with meta=%q", r.FormValue("meta"))
		}
		_, _ = io.WriteString(w, `{"code":200,"position":0,"msg":"","data":["b","a"],`+answer+`}`)
	}))
	page, err := c.History(t.Context(), "/room", gotapi.PageRequest{Meta: true})
	want := gotapi.Page{Packets: []string{"b", "a"}, Position: "P", Meta: []gotapi.Meta{
		{Seq: 2, At: time.UnixMilli(1_800_000_000_123), By: "alice"}, {Seq: 1, Key: "shop"},
	}}
	if diff := cmp.Diff(want, page); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	answer = `"next":1` // of an older server
	for page, err := range gotapi.Pages(t.Context(), c, "/room", gotapi.PageRequest{Meta: true}) {
		if err != nil || len(page.Meta) > 0 || len(page.Packets) != 2 {
			t.Errorf("of an older server: %+v, %v", page, err)
		}
		break
	}
}

func TestErrorsNeverShowTheTokenOrTheURL(t *testing.T) {
	c, err := gotapi.New("http://127.0.0.1:1", gotapi.Options{Token: "secret-token"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.History(t.Context(), "/room", gotapi.PageRequest{Size: 1})
	if err == nil || strings.Contains(err.Error(), "secret-token") || strings.Contains(err.Error(), "http://") {
		t.Errorf("got %v", err)
	}
}

func TestDataPacketsAreWhatTheServerTakesForOne(t *testing.T) {
	packet, err := gotapi.DataPacket("u-1", map[string]any{"data": "<b>"})
	if want := `{"type":2,"uuid":"u-1","body":{"data":"\u003cb\u003e"}}`; err != nil || string(packet) != want {
		t.Errorf("got %s, %v, want %s", packet, err, want)
	}
	for _, body := range []any{"text", nil, 1, func() {}} {
		if _, err := gotapi.DataPacket("u-1", body); err == nil && body != nil {
			t.Errorf("body %v was taken", body)
		}
	}
	for _, uuid := range []string{"", "a\x00b", strings.Repeat("x", 129)} {
		if _, err := gotapi.DataPacket(uuid, struct{}{}); err == nil {
			t.Errorf("uuid %q was taken", uuid)
		}
	}
	text, uuid, err := gotapi.TextPacket("hello")
	if want := `{"type":2,"uuid":"` + uuid + `","body":{"data":"hello"}}`; string(text) != want || uuid == "" || err != nil {
		t.Errorf("got %s, %v, want %s", text, err, want)
	}
}

func TestTextThatIsNotUTF8IsRefused(t *testing.T) {
	for _, text := range []string{"\xff", "a\xc3", "\xff\xfeh\x00", "\xed\xa0\x80"} {
		if data, _, err := gotapi.TextPacket(text); gotapi.CodeOf(err) != http.StatusBadRequest {
			t.Errorf("text %q: %s, %v", text, data, err)
		}
		for _, body := range []any{
			map[string]any{"data": []any{text}},
			map[string]string{text: ""},
			struct{ Deep *string }{&text},
			json.RawMessage(`{"data":"` + text + `"}`),
		} {
			if data, err := gotapi.DataPacket("u", body); err == nil {
				t.Errorf("body %q became %s", body, data)
			}
		}
		if data, err := gotapi.DataPacket(text, struct{}{}); err == nil {
			t.Errorf("uuid %q became %s", text, data)
		}
	}
	for _, text := range []string{"\ufffd", `\ufffd`, `\\ufffd`, "\"\\", "\u2028<&>\x00\n"} {
		data, _, err := gotapi.TextPacket(text)
		var p struct{ Body struct{ Data string } }
		if json.Unmarshal(data, &p) != nil || p.Body.Data != text {
			t.Errorf("text %q became %s, %v", text, data, err)
		}
	}
	if _, err := gotapi.DataPacket("u", json.RawMessage(`{"data":"\ufffd"}`)); err != nil {
		t.Errorf("an escaped U+FFFD: %v", err)
	}
}
