package config_test

import (
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/services/config"
)

type settings struct {
	Listen string
	Limit  int
	Wait   time.Duration
	Quiet  bool
}

func newFlags(s *settings) *flag.FlagSet {
	fs := flag.NewFlagSet("prog", flag.ContinueOnError)
	fs.StringVar(&s.Listen, "listen", ":1", "where to listen, an `address`")
	fs.IntVar(&s.Limit, "read-limit", 10, "bytes")
	fs.DurationVar(&s.Wait, "wait", time.Second, "how long")
	fs.BoolVar(&s.Quiet, "quiet", false, "say less")
	return fs
}

func yamlFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOneAndTwoDashesMeanTheSame(t *testing.T) {
	want := settings{Listen: ":2", Limit: 20, Wait: time.Minute, Quiet: true}
	for _, args := range [][]string{
		{"-listen", ":2", "-read-limit=20", "-wait", "1m", "-quiet"},
		{"--listen", ":2", "--read-limit=20", "--wait", "1m", "--quiet"},
	} {
		var got settings
		if err := config.Parse(newFlags(&got), args); err != nil {
			t.Fatalf("Parse(%q): %v", args, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", args, diff)
		}
	}
}

func TestCommandLineBeatsEnvironmentBeatsFile(t *testing.T) {
	t.Setenv("GOTAPI_READ_LIMIT", "30")
	t.Setenv("GOTAPI_LISTEN", ":3")
	t.Setenv("GOTAPI_NOT_OURS", "x")
	path := yamlFile(t, "read-limit: 40\nlisten: ':4'\nwait: 4s\n")

	var got settings
	if err := config.Parse(newFlags(&got), []string{"-listen", ":2", "-config", path}); err != nil {
		t.Fatal(err)
	}
	want := settings{Listen: ":2", Limit: 30, Wait: 4 * time.Second}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestFileIsReadAsItStandsThere(t *testing.T) {
	for text, want := range map[string]settings{
		"":                  {},
		"# nothing\n":       {},
		"listen: 0123\n":    {Listen: "0123"}, // a number for YAML, and another one
		"listen: 1e3\n":     {Listen: "1e3"},
		"listen: 'yes'\n":   {Listen: "yes"},
		"listen: yes\n":     {Listen: "yes"},
		"listen:\n":         {},
		"listen: null\n":    {},
		"quiet: yes\n":      {Quiet: true},
		"quiet: 'true'\n":   {Quiet: true},
		"read-limit: 1_0\n": {Limit: 10},
		"listen: &a x\n":    {Listen: "x"},
		"---\nlisten: x\n":  {Listen: "x"},
		"listen: x\n...\n":  {Listen: "x"},
	} {
		got, fs := settings{}, flag.NewFlagSet("", flag.ContinueOnError)
		fs.StringVar(&got.Listen, "listen", "", "")
		fs.IntVar(&got.Limit, "read-limit", 0, "")
		fs.BoolVar(&got.Quiet, "quiet", false, "")
		if err := config.Parse(fs, []string{"-config", yamlFile(t, text)}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestConfigFileCanComeFromTheEnvironment(t *testing.T) {
	t.Setenv("GOTAPI_CONFIG", yamlFile(t, "quiet: true\n"))
	var got settings
	if err := config.Parse(newFlags(&got), nil); err != nil {
		t.Fatal(err)
	}
	if !got.Quiet {
		t.Error("quiet: true in the file was not read")
	}
}

func TestBadSettingIsOneLineThatNamesIt(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		env  string
		want string
	}{
		{name: "unknown flag", args: []string{"-nope"}, want: "nope"},
		{name: "bad flag value", args: []string{"-read-limit", "many"}, want: "read-limit"},
		{name: "argument", args: []string{"start"}, want: `"start"`},
		{name: "bad variable", env: "many", want: "GOTAPI_READ_LIMIT"},
		{name: "missing file", args: []string{"-config", "no/such/file"}, want: "-config: open no/such/file"},
		{name: "unknown key", args: []string{"-config", yamlFile(t, "nope: 1\n")}, want: "nope"},
		{name: "bad key value", args: []string{"-config", yamlFile(t, "wait: long\n")}, want: "wait"},
		{name: "not YAML", args: []string{"-config", yamlFile(t, "a: b: c\n- d\n")}, want: "YAML"},
		{name: "not settings", args: []string{"-config", yamlFile(t, "- a\n- b\n")}, want: "YAML"},
		{name: "a list", args: []string{"-config", yamlFile(t, "listen: [':1', ':2']\n")}, want: "listen: want one value"},
		{name: "twice", args: []string{"-config", yamlFile(t, "listen: ':1'\nlisten: ':2'\n")}, want: "listen: set twice"},
		{name: "two documents", args: []string{"-config", yamlFile(t, "listen: ':1'\n---\nwait: 1s\n")}, want: "one YAML document"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("GOTAPI_READ_LIMIT", tt.env)
			var s settings
			err := config.Parse(newFlags(&s), tt.args)
			if err == nil {
				t.Fatal("Parse: no error")
			}
			if got := err.Error(); !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
				t.Errorf("Parse: %q, want one line with %q", got, tt.want)
			}
		})
	}
}

func TestABadValueIsToldWhatIsExpected(t *testing.T) {
	for name, tt := range map[string]struct{ flag, value, want string }{
		"duration":       {"wait", "10", `not a duration such as 10s or 1h30m`},
		"number":         {"read-limit", "32k", `not a whole number`},
		"huge number":    {"read-limit", "99999999999999999999", `the number is too large`},
		"switch":         {"quiet", "perhaps", `not true or false`},
		"fraction":       {"share", "a half", `not a number`},
		"log level":      {"log", "loud", `not debug, info, warn or error`},
		"of its own":     {"level", "x", `no such level`},
		"changes loaded": {"rate", "fast", `not a number`},
	} {
		for where, parse := range map[string]func(fs *flag.FlagSet) error{
			"command line": func(fs *flag.FlagSet) error { return config.Parse(fs, []string{"-" + tt.flag + "=" + tt.value}) },
			"environment": func(fs *flag.FlagSet) error {
				t.Setenv(config.EnvName(tt.flag), tt.value)
				defer t.Setenv(config.EnvName(tt.flag), "")
				return config.Parse(fs, nil)
			},
			"file": func(fs *flag.FlagSet) error {
				return config.Parse(fs, []string{"-config", yamlFile(t, tt.flag+": "+strconv.Quote(tt.value)+"\n")})
			},
		} {
			fs := newFlags(&settings{})
			fs.Float64("share", 0.5, "a share")
			fs.Float64("rate", 1, "a rate")
			fs.TextVar(new(slog.Level), "log", slog.LevelInfo, "a log level")
			fs.Func("level", "a level", func(string) error { return errors.New("no such level") })
			config.MarkReloadable(fs, "rate")
			err := parse(fs)
			if err == nil || !strings.Contains(err.Error(), tt.flag) && !strings.Contains(err.Error(), config.EnvName(tt.flag)) || !strings.HasSuffix(err.Error(), tt.want) {
				t.Errorf("%s, %s: got %v, want the setting's name and %q", name, where, err, tt.want)
			}
			if !config.Reloadable(fs.Lookup("rate")) {
				t.Errorf("%s, %s: a mark is lost", name, where)
			}
		}
	}
}

func TestActionsComeFromTheCommandLineOnly(t *testing.T) {
	t.Setenv("GOTAPI_VERSION", "1.2.3")
	for _, tt := range []struct {
		args []string
		want bool
	}{{nil, false}, {[]string{"-version"}, true}, {[]string{"--version"}, true}} {
		fs := newFlags(&settings{})
		version := config.Action(fs, "version", "print the version")
		if err := config.Parse(fs, tt.args); err != nil {
			t.Fatalf("Parse(%q): %v", tt.args, err)
		}
		if *version != tt.want {
			t.Errorf("Parse(%q): version %t, want %t", tt.args, *version, tt.want)
		}
	}
}

func TestHelpNamesDefaultsAndVariables(t *testing.T) {
	fs := newFlags(&settings{})
	config.Action(fs, "version", "print the version")
	if err := config.Parse(fs, []string{"-h"}); !errors.Is(err, config.ErrHelp) {
		t.Fatalf("Parse(-h) = %v, want ErrHelp", err)
	}
	var b strings.Builder
	if err := config.WriteHelp(&b, fs, "does a thing"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"prog: does a thing",
		"-listen address\n        where to listen, an address\n        default :1, environment GOTAPI_LISTEN\n",
		"default 1s, environment GOTAPI_WAIT",
		"default none, environment GOTAPI_CONFIG",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("help lacks %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "GOTAPI_VERSION") {
		t.Errorf("help offers a variable for an action:\n%s", b.String())
	}
}

func TestAllThatIsWrongIsNamedAtOnce(t *testing.T) {
	t.Setenv("GOTAPI_READ_LIMIT", "many")
	t.Setenv("GOTAPI_QUIET", "perhaps")
	path := yamlFile(t, "wait: long\nnope: 1\nread-limit: 7\n")
	err := config.Parse(newFlags(&settings{}), []string{"-config", path, "extra"})
	var wrong config.Errors
	if !errors.As(err, &wrong) || len(wrong) != 5 {
		t.Fatalf("got %q, want five problems", err)
	}
	for _, want := range []string{`"extra"`, "GOTAPI_READ_LIMIT", "GOTAPI_QUIET", "wait", `"nope"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
}

func TestTheCommandLineIsReadToItsEnd(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"-read-limit", "many", "-wait", "long", "-quiet=perhaps"}, []string{"read-limit", "wait", "quiet"}},
		{[]string{"-nope", "-wait", "long"}, []string{"nope", "wait"}},
		{[]string{"-nope", "value", "-wait", "long"}, []string{"nope", "wait"}},
		{[]string{"-nope=value", "stray", "-wait", "long"}, []string{"nope", `"stray"`, "wait"}},
		{[]string{"---nope", "-wait", "long"}, []string{"---nope", "wait"}},
		{[]string{"stray", "-wait", "long"}, []string{`"stray"`, "wait"}},
	} {
		fs := newFlags(&settings{})
		version := config.Action(fs, "version", "print the version")
		err := config.Parse(fs, append(tt.args, "-version"))
		var wrong config.Errors
		if !errors.As(err, &wrong) || len(wrong) != len(tt.want) {
			t.Errorf("%q: %q, want problems with %q", tt.args, wrong, tt.want)
			continue
		}
		for i, want := range tt.want {
			if !strings.Contains(wrong[i], want) {
				t.Errorf("%q: problem %d is %q, want %q in it", tt.args, i+1, wrong[i], want)
			}
		}
		if !*version {
			t.Errorf("%q: the last flag was not read", tt.args)
		}
	}
}

// Otherwise the 0 that package flag leaves may be wrong once more.
func TestABadValueLeavesTheOneBefore(t *testing.T) {
	t.Setenv("GOTAPI_WAIT", "long")
	want := settings{Listen: ":1", Limit: 10, Wait: time.Second}
	for _, bad := range []string{"many", "99999999999999999999"} {
		var got settings
		if err := config.Parse(newFlags(&got), []string{"-read-limit", bad}); err == nil {
			t.Fatal("no error")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", bad, diff)
		}
	}
}

func TestUnknownVariablesAreFoundButThoseOfKubernetesAreNot(t *testing.T) {
	fs := newFlags(&settings{})
	config.Action(fs, "version", "print the version")
	got := config.UnknownVariables(fs, []string{
		"GOTAPI_LISTEN=:1", "GOTAPI_LISTNE=:1", "GOTAPI_VERSION=1", "PATH=/bin", "GOTAPI_=x",
		"GOTAPI_EDGE_SERVICE_HOST=10.0.0.1", "GOTAPI_EDGE_SERVICE_PORT=80", "GOTAPI_EDGE_SERVICE_PORT_HTTP=80",
		"GOTAPI_EDGE_PORT=tcp://10.0.0.1:80", "GOTAPI_EDGE_PORT_80_TCP=tcp://10.0.0.1:80", "GOTAPI_EDGE_PORT_80_TCP_ADDR=10.0.0.1",
	})
	if diff := cmp.Diff([]string{"GOTAPI_LISTNE", "GOTAPI_"}, got); diff != "" {
		t.Errorf("unknown (-want +got):\n%s", diff)
	}
}

func TestChangesAreToldApart(t *testing.T) {
	read := func(args ...string) *flag.FlagSet {
		fs := newFlags(&settings{})
		config.Action(fs, "version", "print the version")
		config.MarkReloadable(fs, "read-limit", "quiet")
		if err := config.Parse(fs, args); err != nil {
			t.Fatal(err)
		}
		return fs
	}
	before := config.Values(read("-read-limit", "1", "-wait", "1s"))
	got := config.Compare(before, read("-read-limit", "2", "-quiet", "-wait", "2s", "-version"))
	want := config.Changes{Reloadable: []string{"quiet", "read-limit"}, Fixed: []string{"wait"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func TestReferenceSaysWhatCanBeReloaded(t *testing.T) {
	fs := newFlags(&settings{})
	config.Action(fs, "version", "print the version")
	config.MarkReloadable(fs, "read-limit")
	var b strings.Builder
	if err := config.WriteReference(&b, fs); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| `-listen address` | `GOTAPI_LISTEN` | `:1` |  | where to listen, an address |\n",
		"| `-read-limit int` | `GOTAPI_READ_LIMIT` | `10` | yes | bytes |\n",
		"| `-version` | | | | print the version |\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the reference lacks %q:\n%s", want, b.String())
		}
	}
}
