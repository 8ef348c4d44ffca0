package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/cli"
)

// operated is an imitation of what the admin API answers.
type operated struct {
	asked  []string
	alarms string
	// Rounds in which all groups were listed, and how many messages busy gets in each.
	rounds, busy int
}

func (o *operated) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.asked = append(o.asked, r.Method+" "+r.URL.Path)
	switch r.URL.Path {
	case "/__/status":
		_, _ = fmt.Fprintf(w, `{"code":200,"store":{"kind":"redis","version":"7.0.15","mode":"single","nodes":1,"usedBytes":3221225472,
			"maxBytes":4294967296,"evictionPolicy":"noeviction","clients":12,"replicas":1,"uptime":200000},
			"service":{"version":"v1.2","uptime":90},
			"services":[{"address":"10.0.0.1:5998","host":"h:5998","version":"v1.2","commit":"0123456789abcdef","streams":1},
				{"address":"10.0.0.2:5998","version":"v1.1","silent":true}],
			"edges":[{"id":"ab","host":"e:4998","version":"v1.2","commit":"0123","members":3,"groups":2}],"alarms":[%s]}`, o.alarms)
	case "/__/group":
		_, _ = fmt.Fprintf(w, `{"code":200,"group":%q,"members":2,"messages":7,"bytes":2048,"seq":9,"recalls":1,"oldestAt":0,"newestAt":1,"expiresIn":60}`, r.FormValue("groupName"))
	case "/__/config":
		_, _ = fmt.Fprintf(w, `{"code":200,"group":%q,"edge":{"host":"e:4998","file":"","entry":0,"match":"","settings":[{"name":"hooks","value":"none","from":"default"}],"refused":""},
			"service":{"host":"h:5998","file":"/f.yaml","entry":2,"match":"/room/*","settings":[{"name":"cap","value":"5","from":"file"},{"name":"retention","value":"0s","from":"-history-retention"}],"refused":"entry 3: cap: \u001b[2J"}}`, r.FormValue("groupName"))
	case "/__/groups":
		_, _ = w.Write([]byte(`{"code":200,"groups":[{"name":"/busy","members":1},{"name":"/quiet","members":9}]}`))
	case "/__/stored": // in two pages, of which the second repeats a group
		if r.FormValue("page") == "" {
			o.rounds++
			_, _ = fmt.Fprintf(w, `{"code":200,"groups":[{"name":"/busy","messages":5,"bytes":100,"seq":%d}],"next":"0.7"}`, o.rounds*o.busy)
			return
		}
		_, _ = w.Write([]byte(`{"code":200,"groups":[{"name":"/busy","messages":5,"bytes":100,"seq":1},{"name":"/quiet","messages":3,"bytes":5000,"seq":8}],"next":""}`))
	case "/__/purge":
		_, _ = w.Write([]byte(`{"code":200,"messages":7}`))
	}
}

func TestStatusEndsWithExitCode1IfThereIsAnAlarm(t *testing.T) {
	o := &operated{}
	srv := httptest.NewServer(o)
	defer srv.Close()
	got := gotapi(t.Context(), nil, "", "status", "--url", srv.URL)
	want := "store            redis 7.0.15 single, up 2d\n" +
		"                 3.0 GiB of 4.0 GiB, noeviction, 0 keys evicted\n" +
		"                 1 master, 1 replica, 12 connections\n" +
		"history service  h:5998 v1.2 (0123456789ab), 1 edge\n" +
		"history service  10.0.0.2:5998 does not answer, or is not ready\n" +
		"edge ab          e:4998 v1.2 (0123), 3 members in 2 groups\n" +
		"alarms           none\n"
	if diff := cmp.Diff(outcome{0, want, ""}, got, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	o.alarms = `{"name":"GotapiRedisMemory","text":"\\u001b[2Jfull"}`
	got = gotapi(t.Context(), nil, "", "status", "--url", srv.URL)
	if got.code != cli.ExitFailed || !strings.Contains(got.out, "GotapiRedisMemory  ") || strings.Contains(got.out, "\x1b") || got.err != "" {
		t.Errorf("with an alarm: %+v", got)
	}
}

// embedded is what the server with the embedded store knows of it.
const embedded = `{"code":200,"store":{"kind":"embedded","version":"","mode":"","nodes":1,"usedBytes":0,"maxBytes":0,"evictionPolicy":"",
	"evictedKeys":0,"clients":0,"replicas":0,"uptime":0},"service":{"host":"h:5998","commit":"0123","version":"v1.2","uptime":1},"edges":[{"host":"h:4998","version":"v1.2","commit":"0123","id":"ab","members":1,"groups":1}],"alarms":[]}`

func answering(t *testing.T, status int, body string) (url string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestStatusOfTheEmbeddedStoreSaysOnlyWhatIsKnown(t *testing.T) {
	got := gotapi(t.Context(), nil, "", "status", "--url", answering(t, http.StatusOK, embedded))
	want := "store            embedded, in memory: a restart empties it\n" +
		"history service  h:5998 v1.2 (0123), up 1s\n" +
		"edge ab          h:4998 v1.2 (0123), 1 member in 1 group\n" +
		"alarms           none\n"
	if diff := cmp.Diff(outcome{0, want, ""}, got, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Nobody knows the members while the store is down: 0 would say that all have left.
func TestStatusWithoutAStoreDoesNotCountMembers(t *testing.T) {
	const body = `{"code":200,"store":{"kind":""},"services":[],"edges":[{"id":"ab","host":"h:4998","version":"v1.2","commit":"0123"}],
		"alarms":[{"name":"GotapiRedisDown","text":"down"}]}`
	got := gotapi(t.Context(), nil, "", "status", "--url", answering(t, http.StatusOK, body))
	want := "store    cannot be reached\nedge ab  h:4998 v1.2 (0123)\nGotapiRedisDown  down\n"
	if diff := cmp.Diff(outcome{cli.ExitFailed, want, ""}, got, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatAStoreSaysCannotMoveTheCursor(t *testing.T) {
	const body = `{"code":200,"store":{"kind":"redis\u001b[2J","version":"\u001b[3J","mode":"\u001b[4J","evictionPolicy":"\u001b[5J"}}`
	got := gotapi(t.Context(), nil, "", "status", "--url", answering(t, http.StatusOK, body))
	if strings.Contains(got.out, "\x1b") || !strings.Contains(got.out, "[5J") {
		t.Errorf("%+v", got)
	}
}

func TestARefusedOperatorIsToldWhatTheServerAndTheCommandNeed(t *testing.T) {
	for status, msg := range map[int]string{401: "the admin secret is missing", 403: "the admin endpoints are off"} {
		url := answering(t, status, fmt.Sprintf(`{"code":%d,"msg":%q}`, status, msg))
		for _, command := range []string{"status", "groups", "groups /r", "groups --sort bytes", "top", "purge /r", "purge /r --yes", "ttl /r 1h"} {
			got := gotapi(t.Context(), nil, "", append(strings.Fields(command), "--url", url)...)
			if got.code != cli.ExitNotAllowed || !strings.Contains(got.err, msg) || !strings.Contains(got.err, "-admin-secret-file F") || !strings.Contains(got.err, "--token-file F") {
				t.Errorf("%d, gotapi %s: %+v", status, command, got)
			}
		}
	}
	for _, ops := range []string{"http://127.0.0.1:1", answering(t, 404, ""), answering(t, 426, ""), answering(t, 200, "<!doctype html>")} {
		for _, command := range []string{"who /r", "why"} {
			got := gotapi(t.Context(), nil, "", append(strings.Fields(command), "--ops", ops)...)
			if got.code == cli.ExitOK || !strings.Contains(got.err, "-ops-listen 127.0.0.1:9090") {
				t.Errorf("gotapi %s --ops %s: %+v", command, ops, got)
			}
		}
	}
}

func TestEdgesWithoutMembersOrRefusalsSaySo(t *testing.T) {
	ops := answering(t, http.StatusOK, `{"total":0,"members":[],"refusals":[]}`)
	for command, want := range map[string]string{"who /room/9527/": "nobody is in /room/9527/\n", "why": "nothing was refused\n"} {
		args := append(strings.Fields(command), "--ops", ops)
		if diff := cmp.Diff(outcome{0, "", want}, gotapi(t.Context(), nil, "", args...), cmp.AllowUnexported(outcome{})); diff != "" {
			t.Errorf("gotapi %s (-want +got):\n%s", command, diff)
		}
		if got := gotapi(t.Context(), nil, "", append(args, "--json")...); got != (outcome{}) {
			t.Errorf("gotapi %s --json: %+v, want nothing", command, got)
		}
	}
}

func TestGroupsAreSortedByWhatTheyCost(t *testing.T) {
	srv := httptest.NewServer(&operated{busy: 50})
	defer srv.Close()
	for order, want := range map[string]string{"name": "/busy", "members": "/quiet", "bytes": "/quiet", "rate": "/busy"} {
		got := gotapi(t.Context(), nil, "", "groups", "--sort", order, "--interval", "100ms", "-n", "1", "--json", "--url", srv.URL)
		var one struct {
			Name string
			Rate float64
		}
		if err := json.Unmarshal([]byte(got.out), &one); err != nil || one.Name != want || (one.Rate > 0) != (order == "rate") {
			t.Errorf("--sort %s: %+v, want %s", order, got, want)
		}
	}
}

func TestTopShowsEachRound(t *testing.T) {
	o := &operated{busy: 50}
	srv := httptest.NewServer(o)
	defer srv.Close()
	got := gotapi(t.Context(), nil, "", "top", "--count", "2", "--interval", "100ms", "--url", srv.URL)
	if got.code != cli.ExitOK || strings.Count(got.out, "rate/s") != 2 || strings.Count(got.out, "  /busy\n") != 2 || o.rounds != 3 {
		t.Errorf("%d rounds: %+v", o.rounds, got)
	}
}

func TestConfigSaysWhereEachSettingIsFrom(t *testing.T) {
	srv := httptest.NewServer(&operated{})
	defer srv.Close()
	got := gotapi(t.Context(), nil, "", "config", "--group", "/room/1", "--url", srv.URL)
	want := "edge e:4998: no -groups-file\n" +
		"  hooks  none  default\n" +
		"history service h:5998: entry 2 (/room/*) of /f.yaml\n" +
		"  refused  entry 3: cap: \\u001b[2J\n" +
		"  cap        5   file\n" +
		"  retention  0s  -history-retention\n"
	if diff := cmp.Diff(outcome{0, want, ""}, got, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := gotapi(t.Context(), nil, "", "config", "--group", "/room/1", "--json", "--url", srv.URL); !strings.Contains(got.out, `"name":"cap","value":"5","from":"file"`) {
		t.Errorf("--json: %+v", got)
	}
	if got := gotapi(t.Context(), nil, "", "config", "--url", srv.URL); got.code != cli.ExitUsage || !strings.Contains(got.err, "--group") {
		t.Errorf("without --group: %+v", got)
	}
}

func TestPurgeAsksForYes(t *testing.T) {
	o := &operated{}
	srv := httptest.NewServer(o)
	defer srv.Close()
	got := gotapi(t.Context(), nil, "", "purge", "/room", "--url", srv.URL)
	if got.code != cli.ExitUsage || !strings.Contains(got.err, "/room has 7 messages and 2 members: --yes deletes") || !cmp.Equal(o.asked, []string{"GET /__/group"}) {
		t.Errorf("without --yes: %+v, asked %q", got, o.asked)
	}
	got = gotapi(t.Context(), nil, "", "purge", "/room", "--yes", "--url", srv.URL)
	if got.code != cli.ExitOK || got.out != "/room  7 messages deleted\n" || o.asked[1] != "POST /__/purge" {
		t.Errorf("with --yes: %+v, asked %q", got, o.asked)
	}
}

func TestAGroupIsShownWithItsMemoryAndAge(t *testing.T) {
	srv := httptest.NewServer(&operated{})
	defer srv.Close()
	got := gotapi(t.Context(), nil, "", "groups", "/room", "--url", srv.URL)
	for _, want := range []string{"members   2\n", "messages  7\n", "memory    2.0 KiB\n", "newest    number 9, ", "oldest    of unknown age\n", "recalled  1\n", "expires   in 1m0s\n"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is missing in %+v", want, got)
		}
	}
	if !strings.Contains(got.err, "only with -auth-... or -recall-window") {
		t.Errorf("no word on why an age is unknown: %q", got.err)
	}
	got = gotapi(t.Context(), nil, "", "groups", "/room", "--url", answering(t, http.StatusOK, `{"code":200,"group":"/room"}`))
	if !strings.Contains(got.out, "newest    none\noldest    none\n") || got.err != "" {
		t.Errorf("an empty group: %+v", got)
	}
}

func TestWhyAsksEveryOperationsPort(t *testing.T) {
	edge := func(body string) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/refusals" {
				w.WriteHeader(http.StatusNotFound)
			}
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(srv.Close)
		return srv.URL
	}
	one := edge(`{"refusals":[{"what":"packet","code":429,"reason":"too many messages","group":"/a","user":"bob","address":"10.0.0.1","count":7,"last":"2030-01-01T00:00:01Z"}]}`)
	two := edge(`{"refusals":[{"what":"upgrade","code":503,"reason":"\u001b[2Jfull","group":"/b","count":1,"last":"2030-01-01T00:00:02Z"}]}`)
	got := gotapi(t.Context(), nil, "", "why", "--ops", one, "--ops", two)
	lines := strings.Split(got.out, "\n")
	if got.code != cli.ExitOK || len(lines) != 4 || !strings.Contains(lines[1], "503") || !strings.Contains(lines[2], "too many messages") || strings.Contains(got.out, "\x1b") {
		t.Errorf("why: %+v", got)
	}
	got = gotapi(t.Context(), nil, "", "why", "--ops", one, "--ops", two, "--user", "bob", "--json")
	if got.code != cli.ExitOK || strings.Count(got.out, "\n") != 1 || !strings.Contains(got.out, `"edge":"127.0.0.1:`) {
		t.Errorf("why --user: %+v", got)
	}
	if got = gotapi(t.Context(), nil, "", "why", "--ops", one+"/elsewhere"); got.code != cli.ExitNotFound {
		t.Errorf("a port of something else: %+v", got)
	}
	if got = gotapi(t.Context(), nil, "", "why", "--ops", "http://127.0.0.1:1"); got.code != cli.ExitUnreachable {
		t.Errorf("a port where nobody listens: %+v", got)
	}
}
