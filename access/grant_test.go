package access

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func identityOf(t *testing.T, grant, subject string) *Identity {
	t.Helper()
	var g Grant
	if err := json.Unmarshal([]byte(grant), &g); err != nil {
		t.Fatalf("%s: %v", grant, err)
	}
	rights, err := g.compile(subject)
	if err != nil {
		t.Fatalf("%s: %v", grant, err)
	}
	return &Identity{name: subject, known: true, rights: rights, author: authorOf("user", subject), window: time.Minute}
}

func TestGrantsGiveTheirRightsAndNoOthers(t *testing.T) {
	for _, tt := range []struct {
		grant string
		// Of join, publish, read, recall own, recall any, administer: in /room/1.
		want string
	}{
		{`{}`, "------"},
		{`{"join":["/room/*"]}`, "j-----"},
		{`{"publish":["/room/*"]}`, "-p----"},
		{`{"read":["/room/*"]}`, "--r---"},
		{`{"publish":["/room/*"],"recall":"own"}`, "-p-o--"},
		{`{"publish":["/room/*"],"recall":"any"}`, "-p--y-"},
		{`{"publish":["/room/*"],"recall":"none"}`, "-p----"},
		{`{"publish":["/other/*"],"recall":"any"}`, "------"},
		{`{"recall":"own"}`, "------"},
		{`{"recall":{"own":["/room/*"]}}`, "---o--"},
		{`{"recall":{"any":["/room/*"]}}`, "----y-"},
		{`{"recall":{"any":["/room/*"],"own":["/**"]}}`, "----y-"},
		{`{"admin":true}`, "-----a"},
		{`{"admin":false}`, "------"},
		{`{"admin":["/room/*"]}`, "-----a"},
		{`{"admin":["/other/*"]}`, "------"},
		{`{"join":["/other","/room/$sub","/room/*"],"read":["/room/$sub"]}`, "j-----"},
		{`{"something":"new","join":["/room/*"]}`, "j-----"},
	} {
		id := identityOf(t, tt.grant, "alice")
		var got strings.Builder
		mark := func(yes bool, letter string) {
			if !yes {
				letter = "-"
			}
			got.WriteString(letter)
		}
		const room = group.Name("/room/1")
		mark(id.May(Join, room) == nil, "j")
		mark(id.May(Publish, room) == nil, "p")
		mark(id.May(Read, room) == nil, "r")
		limit, err := id.Recall(room)
		mark(err == nil && limit.Author != nil, "o")
		mark(err == nil && limit.Author == nil, "y")
		mark(id.May(Admin, room) == nil, "a")
		if got.String() != tt.want {
			t.Errorf("%s: %s, want %s", tt.grant, &got, tt.want)
		}
	}
}

func TestBadGrantsAreRefused(t *testing.T) {
	for _, text := range []string{
		`{"join":"/room/*"}`, `{"recall":"all"}`, `{"recall":["/room"]}`, `{"recall":{"mine":[]}}`, `{"admin":"yes"}`,
		`{"join":["room"]}`, `{"recall":{"own":["x"]}}`, `{"admin":["**"]}`, `[]`,
		`{"join":["/` + strings.Repeat(`x","/`, maxPatterns) + `"]}`,
	} {
		var g Grant
		err := json.Unmarshal([]byte(text), &g)
		if err == nil {
			err = g.check()
		}
		if err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

func TestRecallLimits(t *testing.T) {
	const room = group.Name("/room/1")
	alice := identityOf(t, `{"publish":["/room/*"],"recall":"own"}`, "alice")
	nameless := identityOf(t, `{"publish":["/room/*"],"recall":"own"}`, "")
	moderator := identityOf(t, `{"publish":["/room/*"],"recall":"any"}`, "mod")
	anonymous := &Identity{rights: Rights{RecallAny: everything}, window: time.Minute, author: nobody}
	for name, tt := range map[string]struct {
		id   *Identity
		want Limit
		ok   bool
	}{
		"own":                      {alice, Limit{Author: authorOf("user", "alice"), Windowed: true, Within: time.Minute}, true},
		"own, without a name":      {nameless, Limit{}, false},
		"any":                      {moderator, Limit{}, true},
		"anonymous, any":           {anonymous, Limit{Windowed: true, Within: time.Minute}, true},
		"open with a window":       {newOpen(time.Minute), Limit{Windowed: true, Within: time.Minute}, true},
		"open without a window":    {newOpen(0), Limit{Windowed: true}, true},
		"a service of ours":        {System(), Limit{}, true},
		"who was never identified": {FromContext(t.Context()), Limit{}, false},
	} {
		got, err := tt.id.Recall(room)
		if ok := err == nil; ok != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestRefusalsTellStrangersToSayWhoTheyAre(t *testing.T) {
	known, unknown := identityOf(t, `{}`, "alice"), FromContext(t.Context())
	for _, tt := range []struct {
		err  error
		want int
	}{
		{known.May(Join, "/room"), 403},
		{unknown.May(Join, "/room"), 401},
		{known.MayAdminister(), 403},
		{unknown.MayAdminister(), 401},
		{newOpen(0).MayAdminister(), 401},
	} {
		var r *DeniedError
		if !errors.As(tt.err, &r) || r.Status != tt.want {
			t.Errorf("%v: want status %d", tt.err, tt.want)
		}
	}
}

func TestAuthorsOfDifferentNamesDiffer(t *testing.T) {
	seen := make(map[string]string)
	for _, kind := range []string{"user", "key"} {
		for _, name := range []string{"alice", "bob", "user", "key", "a\x00b"} {
			a := string(authorOf(kind, name))
			if len(a) != authorBytes || a == string(nobody) || seen[a] != "" {
				t.Errorf("author of %s %q is that of %q, or nobody", kind, name, seen[a])
			}
			seen[a] = kind + " " + name
		}
	}
}

func FuzzGrant(f *testing.F) {
	f.Add(`{"join":["/room/*"],"publish":["/user/$sub/**"],"recall":{"any":["/a"]},"admin":true}`, "alice")
	f.Add(`{"recall":"own","admin":["/x"]}`, "")
	f.Fuzz(func(t *testing.T, text, subject string) {
		var g Grant
		if json.Unmarshal([]byte(text), &g) != nil {
			return
		}
		rights, err := g.compile(subject)
		if err != nil {
			return
		}
		if n := len(rights.Join); n > len(g.Join) {
			t.Errorf("%d patterns of %d", n, len(g.Join))
		}
	})
}

func FuzzPolicyAndAPIKeys(f *testing.F) {
	f.Add([]byte("anonymous:\n  join: [/a]\n"))
	f.Add([]byte("keys:\n  - name: a\n    sha256: 00\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = parsePolicy(b)
		_, _ = parseAPIKeys(b)
		_, _ = parseJWKS(b, true)
		_, _ = parsePEM(b)
	})
}

func TestCallersHaveTheNameThatMembersSee(t *testing.T) {
	for name, tt := range map[string]struct {
		by   *Identity
		want stream.Author
	}{
		"a user":           {&Identity{name: "alice", known: true}, stream.Author{Name: "alice"}},
		"an API key":       {&Identity{name: "alice", known: true, key: true}, stream.Author{Name: "alice", Key: true}},
		"a token for none": {&Identity{known: true}, stream.Author{}},
		"nobody":           {&Identity{}, stream.Author{}},
		"a service":        {System(), stream.Author{}},
	} {
		if got := tt.by.By(); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

func TestMayAnyNeedsARight(t *testing.T) {
	pattern := everything
	for name, tt := range map[string]struct {
		rights Rights
		known  bool
		want   int
	}{
		"join":                {Rights{Join: pattern}, true, 0},
		"publish":             {Rights{Publish: pattern}, false, 0},
		"read":                {Rights{Read: pattern}, true, 0},
		"nothing":             {Rights{}, true, 403},
		"nothing, and nobody": {Rights{}, false, 401},
		"only to administer":  {Rights{Admin: pattern}, true, 403},
	} {
		err := (&Identity{known: tt.known, rights: tt.rights}).MayAny()
		if code, _ := Refusal(err); err != nil && code != tt.want || (err != nil) != (tt.want != 0) {
			t.Errorf("%s: %v, want %d", name, err, tt.want)
		}
	}
}
