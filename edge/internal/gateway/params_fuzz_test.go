package gateway

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// FuzzHistoryParameters compares the parser with a plain reading of section 4
// of docs/protocol.md. Either each parameter comes at most once and is valid, and the
// request has its value; or the error names an invalid parameter.
func FuzzHistoryParameters(f *testing.F) {
	for _, query := range []string{
		"groupName=/room/9527/&position=-50&size=50",
		"groupName=/a&before=u",
		"groupName=/a&groupName=/a",
		"groupName=/timer",
		"groupName=%2F%7B",
		"groupName=/a&size=10001",
		"groupName=/a&size=0&position=-2147483648",
		"groupName=/a&size=%2B5",
		"groupName=/a&position=9999999999999999999999",
		"groupName=/a&position=&size=",
		"groupName=/a&before=%9f",
		"groupName=/a&after=&after=x",
		"groupName=/a&after=u&meta=1",
		"groupName=/a&meta=2",
		"groupName=/a&ttl=&uuid=",
		"",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return // refused before the parser sees it
		}
		var got historyv1.GetHistoryRequest
		err = parser{}.Parse(&got, values, nil)
		bad := faults(values)
		if err != nil {
			name, why, _ := strings.Cut(err.Error(), ": ")
			if !bad[name] || why == "" {
				t.Fatalf("%q: error %q, want one about %v", query, err, bad)
			}
			return
		}
		if len(bad) > 0 {
			t.Fatalf("%q: accepted, although %v are bad", query, bad)
		}
		if got.GetGroupName() != values.Get("groupName") || got.GetBefore() != values.Get("before") ||
			got.GetAfter() != values.Get("after") || got.GetMeta() != (values.Get("meta") == "1") ||
			!asks(values, "position", int64(got.GetPosition()), true) ||
			!asks(values, "size", int64(got.GetSize()), got.Size != nil) {
			t.Fatalf("%q: understood as %v", query, &got)
		}
	})
}

// faults are the parameters that are at fault.
func faults(values url.Values) map[string]bool {
	bad := make(map[string]bool)
	for _, name := range []string{"groupName", "position", "size", "before", "after", "meta"} {
		if len(values[name]) > 1 {
			bad[name] = true
		}
	}
	if g, err := group.Parse(values.Get("groupName")); err != nil || !g.Publishable() {
		bad["groupName"] = true
	}
	if n, err := strconv.ParseInt(values.Get("position"), 10, 32); values.Has("position") && (err != nil || n != int64(int32(n))) {
		bad["position"] = true
	}
	if n, err := strconv.ParseInt(values.Get("size"), 10, 64); values.Has("size") && (err != nil || n < 0 || n > 10000) {
		bad["size"] = true
	}
	for _, name := range []string{"before", "after"} {
		if !utf8.ValidString(values.Get(name)) {
			bad[name] = true
		}
	}
	if meta := values.Get("meta"); meta != "" && meta != "0" && meta != "1" {
		bad["meta"] = true
	}
	for _, name := range []string{"offset", "bytes", "uuid", "ttl"} { // of other endpoints
		if strings.Join(values[name], "") != "" {
			bad[name] = true
		}
	}
	return bad
}

// asks reports whether a number stands for the parameter: its value, or absence.
func asks(values url.Values, name string, got int64, given bool) bool {
	if !values.Has(name) {
		return got == 0
	}
	want, err := strconv.ParseInt(values.Get(name), 10, 64)
	return err == nil && given && got == want
}
