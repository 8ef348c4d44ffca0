package access

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gotapi/gotapi-ws/wire/group"
)

func TestPatternsMatchSegmentBySegment(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		matches []string
		others  []string
	}{
		{"/room/1", []string{"/room/1"}, []string{"/room/1/", "/room/", "/room", "/room/11", "/Room/1", "/room//1"}},
		{"/room/1/", []string{"/room/1/"}, []string{"/room/1", "/room/1/2"}},
		{"/room/*", []string{"/room/1", "/room/a b", "/room/*", "/room/ü"}, []string{"/room/", "/room", "/room/1/", "/room/1/2", "/rooms/1"}},
		{"/room/*/", []string{"/room/1/"}, []string{"/room/1", "/room//", "/room/1/2/"}},
		{"/room/cs-*", []string{"/room/cs-1"}, []string{"/room/cs-", "/room/cs", "/room/cs-1/2"}},
		{"/room/*-cs", []string{"/room/1-cs"}, []string{"/room/-cs"}},
		{"/room/a*b", []string{"/room/axb", "/room/aab"}, []string{"/room/ab", "/room/a", "/room/axbc"}},
		{"/*/*", []string{"/a/b"}, []string{"/a", "/a/", "/a/b/", "//b"}},
		{"/room/**", []string{"/room/", "/room/1", "/room/1/", "/room/1/2/3", "/room//"}, []string{"/room", "/rooms/1", "/"}},
		{"/a/*/**", []string{"/a/b/", "/a/b/c"}, []string{"/a/b", "/a//c"}},
		{"/**", []string{"/", "/a", "/a/b/", "/timer"}, []string{""}},
		{"/", []string{"/"}, []string{"/a", "//"}},
		{"/timer", []string{"/timer"}, []string{"/timer/"}},
		{"/user/$sub/**", []string{"/user/alice/", "/user/alice/x"}, []string{"/user/alice", "/user/bob/x", "/user/$sub/x", "/user/alicex/"}},
		{"/a$b/$", []string{"/a$b/$"}, nil},
	} {
		p, err := compile(tt.pattern, "alice")
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		for _, name := range tt.matches {
			if !p.Match(group.Name(name)) {
				t.Errorf("%s does not match %s", tt.pattern, name)
			}
		}
		for _, name := range tt.others {
			if p.Match(group.Name(name)) {
				t.Errorf("%s matches %s", tt.pattern, name)
			}
		}
	}
	if new(Pattern).Match("/") {
		t.Error("the zero Pattern matches")
	}
}

func TestBadPatternsAreRefused(t *testing.T) {
	for _, text := range []string{
		"", "room", "*", "**", "/room/**/x", "/room/a**", "/**x", "/a*b*c", "/$subx", "/x-$sub", "/{room}", "/\x00", "/\xff",
		"/__/history", "/__status", "/" + strings.Repeat("x", 512),
	} {
		if _, err := compile(text, "alice"); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

// What belongs to "a/b" must not be within reach of "a", nor the other way round.
func TestSubjectsThatAreNoSegmentMatchNothing(t *testing.T) {
	for _, subject := range []string{"", "a/b", "/", "../a"} {
		if _, err := compile("/user/$sub/**", subject); !errors.Is(err, errNobody) {
			t.Errorf("subject %q: %v, want %v", subject, err, errNobody)
		}
	}
	p, err := compile("/user/$sub", "*")
	if err != nil {
		t.Fatal(err)
	}
	if !p.Match("/user/*") || p.Match("/user/bob") {
		t.Error("a subject * is not taken as it is")
	}
}

func TestMatchingAllocatesNothing(t *testing.T) {
	p, err := compile("/room/*/a-*/**", "")
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { p.Match("/room/9527/a-1/x/y") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzPattern compares Match with a regular expression that says the same.
func FuzzPattern(f *testing.F) {
	for _, s := range [][3]string{
		{"/room/*", "/room/1", ""},
		{"/room/**", "/room/1/2", ""},
		{"/u/$sub/a*b/**", "/u/x/axb/", "x"},
		{"/**", "/", ""},
		{"/", "/", ""},
		{"//*/", "//a/", ""},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, text, name, subject string) {
		p, err := compile(text, subject)
		if err != nil {
			return
		}
		if _, err := group.Parse(name); err != nil || !utf8.ValidString(subject) {
			return // a claim is JSON, and so valid UTF-8
		}
		segments := strings.Split(text, "/")
		for i, s := range segments {
			switch s {
			case "**":
				segments[i] = "(?s:.*)"
			case Subject:
				segments[i] = regexp.QuoteMeta(subject)
			default:
				segments[i] = strings.ReplaceAll(regexp.QuoteMeta(s), `\*`, "[^/]+")
			}
		}
		want, err := regexp.MatchString("^"+strings.Join(segments, "/")+"$", name)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Match(group.Name(name)); got != want {
			t.Errorf("%q for %q matches %q: %v, want %v", text, subject, name, got, want)
		}
	})
}
