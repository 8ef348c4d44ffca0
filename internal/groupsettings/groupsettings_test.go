package groupsettings_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	"github.com/gotapi/gotapi-ws/wire/group"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func limit() int { return 1000 }

func open(t *testing.T, content string) *groupsettings.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "groups.yaml")
	write(t, path, content)
	f, err := groupsettings.Open(path, limit, "test", slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTheFirstEntryThatMatchesCounts(t *testing.T) {
	f := open(t, `
- match: /room/9527/
  cap: 5
- match: /room/**
  store: false
  retention: 720h
  names: false
  recall-window: 2m
  max-message-bytes: 1000
  limit-messages: 2.5
  hooks: before
- match: /room/other
  cap: 7
`)
	for name, want := range map[group.Name]*groupsettings.Entry{
		"/room/9527/": {Number: 1, Match: "/room/9527/", Settings: groupsettings.Settings{Cap: new(5)}},
		"/room/other": {Number: 2, Match: "/room/**", Settings: groupsettings.Settings{
			Store: new(false), Retention: new(720 * time.Hour), Names: new(false), RecallWindow: new(2 * time.Minute),
			MaxMessageBytes: new(1000), LimitMessages: new(2.5), Hooks: new(groupsettings.HooksBefore),
		}},
		"/elsewhere": {},
	} {
		if diff := cmp.Diff(want, f.Of(name), cmpopts.IgnoreUnexported(groupsettings.Entry{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	var absent *groupsettings.File
	if e := absent.Of("/room/1"); e.Number != 0 || e.Store != nil || absent.Failure() != nil || absent.Path() != "" {
		t.Errorf("without a file: %+v", e)
	}
}

func TestAFileMayHaveNoEntries(t *testing.T) {
	for _, content := range []string{"", "# nothing yet\n", "[]\n", "---\n"} {
		if e := open(t, content).Of("/a"); e.Number != 0 {
			t.Errorf("%q: %+v", content, e)
		}
	}
}

func TestWhatIsWrongNamesTheEntryTheKeyAndWhatToDo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "groups.yaml")
	for content, want := range map[string]string{
		"\xef\xbb\xbf[]":                                     "groups.yaml begins with a byte order mark: save it",
		"- [":                                                "groups.yaml: not YAML: yaml: line",
		"match: /a":                                          `not a list: begin each entry with "- match: PATTERN"`,
		"[]\n---\n[]":                                        "more than one document: put all entries into one list",
		"- /a":                                               "entry 1 (line 1): not names with values: write match: PATTERN",
		"- cap: 5":                                           "entry 1 (line 1): match: missing: name a group or a pattern",
		"- match: /a\n- match: room":                         `entry 2 (line 2): match: pattern "room": `,
		"- match: /user/$sub/**":                             "entry 1 (line 1): match: pattern \"/user/$sub/**\": $sub has no meaning here",
		"- match: /a\n  capp: 5":                             "entry 1 (line 1): capp: no such setting: use match, store, cap,",
		"- match: /a\n  presence: counts":                    "presence: no such setting",
		"- match: /a\n  cursors: own":                        "cursors: no such setting",
		"- match: /a\n  cap: 5\n  cap: 6":                    "cap: twice: remove one",
		"- match: /a\n  cap:":                                "cap: has no single value: write cap: VALUE",
		"- match: /a\n  cap: [1]":                            "cap: has no single value",
		"- match: /a\n  cap: 0":                              `cap: "0" is not a number of messages, at least 1`,
		"- match: /a\n  cap: many":                           `cap: "many" is not a number of messages`,
		"- match: /a\n  store: no":                           `store: "no" is not true or false`,
		"- match: /a\n  retention: 30":                       `retention: "30" is not a time of at least 1s`,
		"- match: /a\n  retention: 1ms":                      `retention: "1ms" is not a time of at least 1s`,
		"- match: /a\n  recall-window: -2m":                  `recall-window: "-2m" is not a time of at least 1s`,
		"- match: /a\n  limit-messages: .nan":                `limit-messages: ".nan" is not a number of messages per second`,
		"- match: /a\n  limit-messages: NaN":                 `limit-messages: "NaN" is not a number of messages per second`,
		"- match: /a\n  hooks: all":                          `hooks: "all" is not before, after, both or none`,
		"- match: /a\n  max-message-bytes: 1001":             "max-message-bytes: 1001 is more than the flag -max-message-bytes allows (1000): lower it, or raise the flag",
		strings.Repeat("- match: /a\n", 257):                 "257 entries: at most 256 are allowed",
		"- match: /a\n  <<: {cap: 5}":                        "<<: has no single value",
		"- match: &x /a\n- match: *x":                        "entry 2 (line 2): match: has no single value",
		"- match: /a\n  \"edit-window\": 1m":                 "edit-window: no such setting",
		"- match: /a\n  names: null":                         "names: has no single value",
		"- match: /a\n  max-message-bytes: 9999999999999999": `max-message-bytes: "9999999999999999" is not a number of bytes`,
	} {
		write(t, path, content)
		err := groupsettings.Check(path, limit())
		if err == nil || !strings.HasPrefix(err.Error(), "-groups-file: ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want one line with %q", content, err, want)
		}
	}
	if err := groupsettings.Check(path+".none", limit()); !os.IsNotExist(err) && !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
	if err := groupsettings.Check("", limit()); err != nil {
		t.Errorf("no path: %v", err)
	}
}

func TestABrokenFileLeavesTheLastGoodOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "groups.yaml")
	write(t, path, "- match: /a\n  cap: 1\n")
	var log strings.Builder
	reg := prometheus.NewRegistry()
	f, err := groupsettings.Open(path, limit, "test", slog.New(slog.NewTextHandler(&log, nil)), reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		content string
		want    int
		refused float64
		says    string
	}{
		{"- match: /a\n  cap: 2\n", 2, 0, "new settings of groups are in use"},
		{"- match: /a\n  cap: two\n", 2, 1, "reload settings of groups: keep the previous ones"},
		{"- match: /a\n  cap: 3\n", 3, 0, "new settings of groups are in use"},
	} {
		write(t, path, step.content)
		log.Reset()
		f.Reload()
		f.Reload() // says nothing new
		if got := *f.Of("/a").Cap; got != step.want {
			t.Errorf("after %q: cap %d, want %d", step.content, got, step.want)
		}
		if said := log.String(); !strings.Contains(said, step.says) || strings.Count(said, "\n") != 1 {
			t.Errorf("after %q: the log is %q, want %q once", step.content, said, step.says)
		}
		want := "# HELP gotapi_test_groups_file_refused 1 while -groups-file cannot be used, and its last good content is.\n" +
			"# TYPE gotapi_test_groups_file_refused gauge\ngotapi_test_groups_file_refused " + map[float64]string{0: "0\n", 1: "1\n"}[step.refused]
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
			t.Errorf("after %q: %v", step.content, err)
		}
		if failed := f.Failure() != nil; failed != (step.refused == 1) {
			t.Errorf("after %q: failure %v", step.content, f.Failure())
		}
	}
}

func TestExplainNamesWhereAValueIsFrom(t *testing.T) {
	before, both := groupsettings.HooksBefore, groupsettings.HooksBoth
	got := []groupsettings.Value{
		groupsettings.Explain("cap", new(5), 10, "-history-cap"),
		groupsettings.Explain("cap", nil, 10, "-history-cap"),
		groupsettings.Explain("retention", new(720*time.Hour), 0, "-history-retention"),
		groupsettings.ExplainHooks(&both, groupsettings.HooksBefore),
		groupsettings.ExplainHooks(&before, groupsettings.HooksAfter),
		groupsettings.ExplainHooks(nil, groupsettings.HooksBoth),
	}
	want := []groupsettings.Value{
		{"cap", "5", "file"},
		{"cap", "10", "-history-cap"},
		{"retention", "720h0m0s", "file"},
		{"hooks", "before", "file"},
		{"hooks", "none", "file"},
		{"hooks", "both", "-hook-before-url, -hook-after-url"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func BenchmarkOf(b *testing.B) {
	path := filepath.Join(b.TempDir(), "groups.yaml")
	if err := os.WriteFile(path, []byte(strings.Repeat("- match: /room/*/archive\n  cap: 5\n", 20)), 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := groupsettings.Open(path, limit, "test", slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		f.Of("/room/9527/")
	}
}
