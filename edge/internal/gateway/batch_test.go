package gateway

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const ndjson = "Content-Type: " + contentTypeLines

// lineOf is a line that publishes a data packet.
func lineOf(group, uuid string) string {
	packet, _ := json.Marshal(fmt.Sprintf(`{"type":2,"uuid":%q}`, uuid))
	return fmt.Sprintf(`{"group":%q,"packet":%s}`, group, packet)
}

// batch posts lines, and returns the results, each in short: its code, and the group if it
// has one.
func (r *rig) batch(lines ...string) (results []string) {
	r.t.Helper()
	got := r.do("POST", "/__/publish", strings.Join(lines, "\n"), ndjson)
	var answer struct {
		Code    int
		Results []struct {
			Code  int
			Group string
		}
	}
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil || got.code != 200 || answer.Code != 200 {
		r.t.Fatalf("got %d %s, want 200 with results", got.code, got.body)
	}
	for _, one := range answer.Results {
		results = append(results, strings.TrimSpace(fmt.Sprint(one.Code, " ", one.Group)))
	}
	return results
}

func (r *rig) wantBatch(want []string, lines ...string) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.batch(lines...)); diff != "" {
		r.t.Errorf("results (-want +got):\n%s", diff)
	}
}

func TestBatchAnswersInTheOrderOfTheBody(t *testing.T) {
	rig := newRig(t, Options{})
	rig.answer = func(p *relay.Publication) relay.Result {
		switch p.UUID {
		case "old":
			return relay.Result{Outcome: relay.Duplicate, Seq: 3, At: 1700000000000}
		case "bad":
			return relay.Result{Outcome: relay.Invalid, Reason: "no"}
		}
		return relay.Result{Outcome: relay.Accepted, Seq: 7, At: 1700000000007}
	}
	binary := base64.StdEncoding.EncodeToString([]byte("\xff\x00"))
	got := rig.do("POST", "/__/publish", strings.Join([]string{
		lineOf("/a", "u1"), "", `{"groups":["/b","/a"],"packet":"hello","later":[1]}`, lineOf("/b", "old") + "\r",
		lineOf("/b", "bad"), `{"packetBase64":"` + binary + `","group":"/a"}`,
	}, "\n")+"\n", ndjson+"; charset=utf-8")
	want := `{"code":200,"results":[` +
		`{"code":200,"group":"/a","stored":true,"uuid":"u1","duplicate":false,"seq":7,"at":1700000000007},` +
		`{"code":200,"group":"/b","stored":false},{"code":200,"group":"/a","stored":false},` +
		`{"code":200,"group":"/b","stored":true,"uuid":"old","duplicate":true,"seq":3,"at":1700000000000},` +
		`{"code":400,"group":"/b","msg":"no"},` +
		`{"code":200,"group":"/a","stored":false}]}`
	if got.code != 200 || got.body != want || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("got %d %s\nwant 200 %s", got.code, got.body, want)
	}
	if diff := cmp.Diff([]int{6}, rig.batches); diff != "" {
		t.Errorf("published at once (-want +got):\n%s", diff)
	}
	var published []string
	for _, p := range rig.published {
		published = append(published, fmt.Sprintf("%s %q", p.Group, p.Payload))
	}
	wantPublished := []string{
		`/a "{\"type\":2,\"uuid\":\"u1\"}"`, `/a "hello"`, `/a "\xff\x00"`,
		`/b "hello"`, `/b "{\"type\":2,\"uuid\":\"old\"}"`, `/b "{\"type\":2,\"uuid\":\"bad\"}"`,
	}
	if diff := cmp.Diff(wantPublished, published); diff != "" {
		t.Errorf("published, of each group together and in order (-want +got):\n%s", diff)
	}
	if kind := rig.published[2].Kind; kind != stream.Binary {
		t.Errorf("the last packet is of kind %v, want binary", kind)
	}
}

func TestABadLineIsRefusedAlone(t *testing.T) {
	large := strings.Repeat("x", 1001)
	for text, want := range map[string]string{
		`{"group":"/a","packet":"x"`:                              `{"code":400,"msg":"the line is not a JSON object"}`,
		`["/a","x"]`:                                              `{"code":400,"msg":"the line is not a JSON object"}`,
		"{\"group\":\"/a\",\"packet\":\"\xff\"}":                  `{"code":400,"msg":"the line is not a JSON object"}`,
		`{"packet":"x"}`:                                          `{"code":400,"msg":"group: missing"}`,
		`{"groups":[],"packet":"x"}`:                              `{"code":400,"msg":"groups: not an array of names"}`,
		`{"groups":"/a","packet":"x"}`:                            `{"code":400,"msg":"groups: not an array of names"}`,
		`{"groups":[1],"packet":"x"}`:                             `{"code":400,"msg":"groups: not a string of valid Unicode"}`,
		`{"group":"/a","groups":["/a"],"packet":"x"}`:             `{"code":400,"msg":"group and groups exclude each other"}`,
		`{"group":"room","packet":"x"}`:                           `{"code":400,"msg":"group: `,
		`{"group":"/a"}`:                                          `{"code":400,"group":"/a","msg":"packet: missing"}`,
		`{"group":"/a","packet":{"type":2}}`:                      `{"code":400,"group":"/a","msg":"packet: not a string of valid Unicode"}`,
		`{"group":"/a","packet":"\ud800"}`:                        `{"code":400,"group":"/a","msg":"packet: not a string of valid Unicode"}`,
		`{"group":"/a","packet":"x","packet":"y"}`:                `{"code":400,"group":"/a","msg":"packet: given more than once"}`,
		`{"group":"/a","packet":"x","packetBase64":"eA=="}`:       `{"code":400,"group":"/a","msg":"packet and packetBase64 exclude each other"}`,
		`{"group":"/a","packetBase64":"eA"}`:                      `{"code":400,"group":"/a","msg":"packetBase64: not base64"}`,
		`{"group":"/a","packet":""}`:                              `{"code":400,"group":"/a","msg":"the packet is empty"}`,
		`{"group":"/a","packet":"{\"type\":1,\"command\":1}"}`:    `{"code":400,"group":"/a","msg":"only the server`,
		`{"group":"/a","packet":"{\"type\":1,\"command\":5}"}`:    `{"code":400,"group":"/a","msg":"this command works`,
		`{"group":"/a","packet":"{\"type\":2,\"uuid\":\"\\n\"}"}`: `{"code":400,"group":"/a","msg":"a uuid is`,
		`{"group":"/a","packet":"` + large + `"}`:                 `{"code":413,"group":"/a","msg":"the packet is too large"}`,
		`{"group":"/","packet":"x"}`:                              `{"code":403,"group":"/","msg":"`,
		`{"group":"/timer","packet":"x"}`:                         `{"code":403,"group":"/timer","msg":"`,
		`{"groups":["/a","bad"],"packet":"x"}`:                    `{"code":200,"group":"/a","stored":false},{"code":400,"msg":"group: `,
	} {
		rig := newRig(t, Options{})
		got := rig.do("POST", "/__/publish", text+"\n"+lineOf("/a", "next"), ndjson)
		next := `,{"code":200,"group":"/a","stored":true,"uuid":"next","duplicate":false,"seq":1,"at":0}]}`
		if got.code != 200 || !strings.HasPrefix(got.body, `{"code":200,"results":[`+want) || !strings.HasSuffix(got.body, next) {
			t.Errorf("%s: got %d %s, want %s, and the next line published", text, got.code, got.body, want)
		}
	}
}

func TestABodyThatIsNoBatchIsOneError(t *testing.T) {
	many := strings.Repeat(lineOf("/a", "u")+"\n", 1001)
	groups := `{"groups":[` + strings.Repeat(`"/a",`, 1000) + `"/a"],"packet":"x"}`
	for _, tt := range []struct {
		name, body string
		code       int
		why        string
	}{
		{"nothing", "", 400, "no line of the body"},
		{"empty lines", "\n \r\n", 400, "no line of the body"},
		{"an array", "[" + lineOf("/a", "u") + "]", 400, "no line of the body"},
		{"a text", "hello\nworld\n", 400, "no line of the body"},
		{"too many lines", many, 413, "more than 1000"},
		{"too many groups", groups, 413, "more than 1000"},
		{"too large", strings.Repeat(" ", maxBatchBytes) + lineOf("/a", "u"), 413, "too large"},
	} {
		rig := newRig(t, Options{})
		got := rig.do("POST", "/__/publish", tt.body, ndjson)
		wantError(t, tt.name, got, tt.code)
		if !strings.Contains(got.body, tt.why) || len(rig.published) > 0 {
			t.Errorf("%s: got %s, want %q and nothing published", tt.name, got.body, tt.why)
		}
	}
	got := newRig(t, Options{}).do("POST", "/__/publish", lineOf("/a", "u"), ndjson, "Content-Encoding: gzip")
	wantError(t, "compressed", got, 415)
}

func TestThousandLinesOfFourMegabytesAreABatch(t *testing.T) {
	rig := newRig(t, Options{MaxMessageBytes: 1 << 20})
	pad := strings.Repeat("x", maxBatchBytes/maxBatch-64)
	lines := make([]string, maxBatch)
	want := make([]string, maxBatch)
	for n := range lines {
		lines[n], want[n] = fmt.Sprintf(`{"group":"/a","packet":"%04d%s"}`, n, pad), "200 /a"
	}
	rig.wantBatch(want, lines...)
	for n, p := range rig.published {
		if got := string(p.Payload[:4]); got != fmt.Sprintf("%04d", n) {
			t.Fatalf("packet %d is %s", n, got)
		}
	}
	if len(rig.batches) < 2 {
		t.Errorf("all were published at once, which no frame takes")
	}
}

func TestABodyOfAGroupIsOnePacketWhateverItsType(t *testing.T) {
	for _, target := range []string{"/a", "/__/publish?groupName=/a"} {
		rig := newRig(t, Options{})
		got := rig.do("POST", target, lineOf("/b", "u"), ndjson)
		if got.body != `{"code":200,"group":"/a","stored":false}` || len(rig.published) != 1 {
			t.Errorf("%s: got %d %s, want one packet", target, got.code, got.body)
		}
	}
}

func TestAfterARefusalThatMayPassTheRestOfTheGroupIsKeptBack(t *testing.T) {
	for _, outcome := range []relay.Outcome{relay.Busy, relay.Unavailable, relay.Unchecked, relay.Unknown} {
		rig := newRig(t, Options{})
		rig.answer = func(p *relay.Publication) relay.Result {
			if p.UUID == "refused" {
				return relay.Result{Outcome: outcome, Reason: "why"}
			}
			return relay.Result{Outcome: relay.Accepted}
		}
		var lines, want []string
		for n := range 200 { // two runs
			uuid, code := fmt.Sprint(n), "200 /a"
			switch {
			case n == 100:
				uuid, code = "refused", fmt.Sprint(outcome.Code(), " /a")
			case n >= 128:
				code = "503 /a"
			}
			lines, want = append(lines, lineOf("/a", uuid)), append(want, code)
		}
		lines, want = append(lines, lineOf("/b", "u")), append(want, "200 /b")
		rig.wantBatch(want, lines...)
	}
}

func TestRefusalsForGoodKeepNothingBack(t *testing.T) {
	rig := newRig(t, Options{})
	rig.answer = func(p *relay.Publication) relay.Result {
		switch p.UUID {
		case "denied":
			return relay.Result{Outcome: relay.Denied}
		case "bad":
			return relay.Result{Outcome: relay.Invalid}
		}
		return relay.Result{Outcome: relay.Accepted}
	}
	rig.wantBatch([]string{"403 /a", "200 /a", "400 /a", "200 /a"},
		lineOf("/a", "denied"), lineOf("/a", "1"), lineOf("/a", "bad"), lineOf("/a", "2"))
}

func TestEachLineCountsForLimits(t *testing.T) {
	rig := newRig(t, Options{})
	limits := limit.New(limit.Settings{GroupMessages: 1}, nil, prometheus.NewRegistry()) // two at once
	rig.handler.(*Handler).backends.Limits = limits
	got := rig.do("POST", "/__/publish", strings.Join([]string{
		lineOf("/a", "1"), lineOf("/a", "2"), lineOf("/a", "3"), lineOf("/a", "4"), lineOf("/b", "1"),
	}, "\n"), ndjson)
	var answer struct {
		Results []struct{ Code, RetryAfter int }
	}
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil {
		t.Fatal(err)
	}
	var codes []int
	for _, r := range answer.Results {
		codes = append(codes, r.Code)
	}
	if diff := cmp.Diff([]int{200, 200, 429, 503, 200}, codes); diff != "" {
		t.Fatalf("codes (-want +got):\n%s", diff)
	}
	if again := answer.Results[2].RetryAfter; again < 1 || again > 1000 {
		t.Errorf("retryAfter is %d ms, want up to a second", again)
	}
}

func TestEachLineNeedsTheRight(t *testing.T) {
	rig := newRigFor(t, Options{}, rightsOf(t, `{"anonymous": {"publish": ["/open/**"]}}`))
	rig.wantBatch([]string{"200 /open/1", "401 /closed", "200 /open/1"},
		lineOf("/open/1", "1"), lineOf("/closed", "1"), lineOf("/open/1", "2"))
	none := newRigFor(t, Options{}, rightsOf(t, `{"anonymous": {"join": ["/open/**"]}}`))
	wantError(t, "no right anywhere", none.do("POST", "/__/publish", lineOf("/open/1", "1"), ndjson), 401)
	if len(none.published) > 0 {
		t.Error("something was published")
	}
}

// unanswered is a Publisher that gives no results.
type unanswered struct{ published []*relay.Publication }

func (u *unanswered) Publish(batch ...*relay.Publication) {
	u.published = append(u.published, batch...)
}

func TestLinesWithoutAResultInTimeAreUnknown(t *testing.T) {
	rig := newRig(t, Options{PublishTimeout: 2 * time.Second})
	handler := rig.handler.(*Handler)
	synctest.Test(t, func(t *testing.T) {
		silent := &unanswered{}
		handler.backends.Publisher = silent
		var lines []string
		for n := range 129 {
			lines = append(lines, lineOf("/a", fmt.Sprint(n)))
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/__/publish", strings.NewReader(strings.Join(lines, "\n")))
		r.Header.Set("Content-Type", contentTypeLines)
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, r)
		w := recorder.Body.String()
		if got := strings.Count(w, `{"code":504,`); got != 128 {
			t.Errorf("%d lines are unknown, want the 128 that were published", got)
		}
		if got := strings.Count(w, `{"code":503,`); got != 1 {
			t.Errorf("%d lines were kept back, want 1", got)
		}
		for _, p := range silent.published {
			p.End(relay.Result{Outcome: relay.Accepted}) // too late
		}
	})
}

func TestABatchHoldsBudgetUntilItIsAnswered(t *testing.T) {
	rig := newRig(t, Options{})
	inputs := rig.budget.Inputs
	var held int64
	rig.answer = func(*relay.Publication) relay.Result {
		held = inputs.Used()
		return relay.Result{Outcome: relay.Accepted}
	}
	body := lineOf("/a", "1") + "\n" + lineOf("/a", "2")
	if got := rig.do("POST", "/__/publish", body, ndjson); got.code != 200 {
		t.Fatalf("got %d %s", got.code, got.body)
	}
	if want := int64(2*len(body) + 2*itemCost); held != want {
		t.Errorf("held %d bytes while it was published, want %d", held, want)
	}
	chunked := fmt.Sprintf("POST /__/publish HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n%s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", ndjson, len(body), body)
	if got := rig.raw("POST", chunked); got.code != 200 {
		t.Errorf("in chunks: got %d %s", got.code, got.body)
	}
	// The server has answered before the handler ends.
	awaitBodies(t, inputs, 0)
	small := newRig(t, Options{})
	small.handler.(*Handler).backends.Budget = limit.NewBudget(64<<10, prometheus.NewRegistry())
	for range 4 { // a quarter each
		if _, ok := small.handler.(*Handler).backends.Budget.Inputs.TryAcquire("", 4<<10); !ok {
			t.Fatal("the budget is used up already")
		}
	}
	wantError(t, "no budget", small.do("POST", "/__/publish", body, ndjson), http.StatusTooManyRequests)
}

// rightsOf are those of callers without a credential.
func rightsOf(t *testing.T, policy string) access.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	return access.Config{PolicyFile: path}
}

// FuzzParseLine checks that a line that is taken says what encoding/json reads in it.
func FuzzParseLine(f *testing.F) {
	for _, text := range []string{
		lineOf("/a", "u"), `{"groups":["/a","/b"],"packet":"x"}`, `{"group":"/a","packetBase64":"/wA="}`, `{}`, `[]`, ``,
		`{"group":"\u002fa","p\u0061cket":"\ud83d\ude00"}`, `{"group":"/a","packet":"x","packet":"y"}`, `{"Group":"/a","packet":"x"}`,
		`{"group":null,"packet":"x"}`, `{"groups":[],"packet":""}`, `{"groups":[["/a"]],"packet":"x"}`, `{"group":"/a","packet":"\ud800"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l, object := parseLine(text)
		var want map[string]json.RawMessage
		isObject := utf8.Valid(text) && json.Unmarshal(text, &want) == nil && want != nil
		if object != isObject {
			t.Fatalf("an object: %t, want %t", object, isObject)
		}
		if l.wrong != "" {
			return
		}
		var groups []string
		var group, plain string
		var binary []byte
		for key, to := range map[string]any{"group": &group, "groups": &groups, "packet": &plain, "packetBase64": &binary} {
			if value, ok := want[key]; ok {
				if err := json.Unmarshal(value, to); err != nil {
					t.Fatalf("%s was taken: %v", key, err)
				}
			}
		}
		if _, ok := want["group"]; ok {
			groups = append(groups, group)
		}
		if !slices.Equal(l.groups, groups) || string(l.packet) != plain+string(binary) {
			t.Errorf("groups %q and packet %q, want %q and %q", l.groups, l.packet, groups, plain+string(binary))
		}
	})
}
