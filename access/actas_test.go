package access

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func TestActAsMakesTheUserTheAuthorAndNothingElse(t *testing.T) {
	const room = group.Name("/room/1")
	bot := identityOf(t, `{"publish":["/room/*"],"recall":"own","act_as":["alice","bob"]}`, "bot")
	as, err := bot.ActAs("alice")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := as.By(), (stream.Author{Name: "alice"}); got != want {
		t.Errorf("the author is %+v, want %+v", got, want)
	}
	if string(as.Author()) != string(authorOf("user", "alice")) || as.Name() != "bot" || as.ActsFor() != "alice" {
		t.Errorf("author %x, name %q, acts for %q", as.Author(), as.Name(), as.ActsFor())
	}
	if limit, err := as.Recall(room); err != nil || string(limit.Author) != string(authorOf("user", "alice")) {
		t.Errorf("may recall %+v, %v, want the messages of alice", limit, err)
	}
	if as.May(Publish, room) != nil || as.May(Publish, "/other") == nil {
		t.Error("the rights are not those of the credential")
	}
	if bot.By() != (stream.Author{Name: "bot"}) || bot.ActsFor() != "" {
		t.Errorf("the caller itself has changed: %+v", bot.By())
	}
}

func TestActAsIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		id     *Identity
		user   string
		status int
	}{
		"another user":         {identityOf(t, `{"act_as":["bob"]}`, "bot"), "alice", http.StatusForbidden},
		"no right":             {identityOf(t, `{"publish":["/**"]}`, "bot"), "alice", http.StatusForbidden},
		"anonymous":            {&Identity{}, "alice", http.StatusUnauthorized},
		"no access control":    {newOpen(0), "alice", http.StatusUnauthorized},
		"no name":              {identityOf(t, `{"act_as":"*"}`, "bot"), "", http.StatusBadRequest},
		"a name that is long":  {identityOf(t, `{"act_as":"*"}`, "bot"), strings.Repeat("x", maxNameBytes+1), http.StatusBadRequest},
		"a name that is bytes": {identityOf(t, `{"act_as":"*"}`, "bot"), "\xff", http.StatusBadRequest},
	} {
		_, err := tt.id.ActAs(tt.user)
		var denied *DeniedError
		if !errors.As(err, &denied) || denied.Status != tt.status {
			t.Errorf("%s: %v, want status %d", name, err, tt.status)
		}
	}
	if _, err := identityOf(t, `{"act_as":"*"}`, "bot").ActAs("anyone"); err != nil {
		t.Errorf("every user: %v", err)
	}
}

func TestTheNameOfAnAuthor(t *testing.T) {
	const key = `keys: [{name: shop, sha256: "` + "0000000000000000000000000000000000000000000000000000000000000000" + `"}]`
	keys, err := parseAPIKeys([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		id   *Identity
		want stream.Author
	}{
		"a user":             {identityOf(t, `{}`, "alice"), stream.Author{Name: "alice"}},
		"a token of nobody":  {identityOf(t, `{}`, ""), stream.Author{}},
		"an API key":         {keys[0].identity, stream.Author{Name: "shop", Key: true}},
		"no access control":  {newOpen(0), stream.Author{}},
		"a service of ours":  {System(), stream.Author{}},
		"without credential": {&Identity{}, stream.Author{}},
	} {
		if got := tt.id.By(); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

func TestActAsIsReadStrictly(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"act_as":"*"}`: true, `{"act_as":["alice"]}`: true, `{"act_as":[]}`: true,
		`{"act_as":"alice"}`: false, `{"act_as":true}`: false, `{"act_as":[""]}`: false, `{"act_as":[1]}`: false,
	} {
		var g Grant
		err := json.Unmarshal([]byte(text), &g)
		if err == nil {
			err = g.check()
		}
		if (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := parsePolicy([]byte("anonymous: {act_as: '*'}")); err == nil {
		t.Error("a policy lets callers without a credential act for users")
	}
}
