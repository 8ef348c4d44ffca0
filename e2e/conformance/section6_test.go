package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

func Test6_StatusOfAnyMethod(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH"} {
		if a := client.Do(t, method, here(), "/__status", ""); a.Code != http.StatusOK || a.Body != "status ok!" {
			t.Errorf("%s /__status: %d %q", method, a.Code, a.Body)
		}
	}
	if a := client.Do(t, "HEAD", here(), "/__status?x=1", ""); a.Code != http.StatusOK || a.Body != "" {
		t.Errorf("HEAD /__status: %d %q", a.Code, a.Body)
	}
}

func Test6_AGroupWithoutUpgradeIs426(t *testing.T) {
	t.Parallel()
	for _, path := range []string{client.Group(), "/", "/timer", "/a:b/", "//"} {
		for _, headers := range [][]string{nil, {"Accept: application/json"}, {"Accept: */*"}} {
			a := client.Do(t, "GET", here(), path, "", headers...)
			wantError(t, "GET "+path, a, http.StatusUpgradeRequired)
			if up := a.Header.Get("Upgrade"); !strings.EqualFold(up, "websocket") {
				t.Errorf("GET %s: header Upgrade is %q, want websocket (RFC 9110, 15.5.22)", path, up)
			}
		}
	}
}

func Test6_HeadIsGetWithoutABody(t *testing.T) {
	t.Parallel()
	for path, code := range map[string]int{client.Group(): http.StatusUpgradeRequired, "/__/nothing": http.StatusNotFound} {
		if a := client.Do(t, "HEAD", here(), path, ""); a.Code != code || a.Body != "" {
			t.Errorf("HEAD %s: %d %q, want %d and no body", path, a.Code, a.Body, code)
		}
	}
}

func Test6_UpgradesThatAreNotRight(t *testing.T) {
	t.Parallel()
	g := client.Group()
	upgrade := []string{"Connection: Upgrade", "Upgrade: websocket"}
	key := "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
	for what, headers := range map[string][]string{
		"no key":        append(upgrade, "Sec-WebSocket-Version: 13"),
		"bad key":       append(upgrade, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x"),
		"other version": append(upgrade, "Sec-WebSocket-Version: 12", key),
	} {
		request := "GET " + g + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n"
		a := client.Raw(t, "GET", here(), request)
		if a.Code < 400 || a.Code >= 500 {
			t.Errorf("%s: %d %s", what, a.Code, a.Body)
			continue
		}
		wantErrorBody(t, what, a)
	}
}

func Test6_ErrorsAreJSONAndSayTheStatus(t *testing.T) {
	t.Parallel()
	form := "Content-Type: " + client.Form
	for _, tt := range []struct {
		method, target, body string
		code                 int
	}{
		{"GET", "/__/", "", http.StatusNotFound},
		{"GET", "/__/nothing", "", http.StatusNotFound},
		{"POST", "/__/nothing", "x=1", http.StatusNotFound},
		{"POST", "/__/history//", "", http.StatusNotFound},
		{"POST", "/__/History", "", http.StatusNotFound},
		{"GET", "/__/cancel", "", http.StatusMethodNotAllowed},
		{"PUT", "/__/history", "", http.StatusMethodNotAllowed},
		{"DELETE", "/__/cancel/", "", http.StatusMethodNotAllowed},
		{"GET", "/__/ttl", "", http.StatusMethodNotAllowed},
		{"POST", "/__/groups", "", http.StatusMethodNotAllowed},
		{"POST", "/__/history", "groupName=%zz", http.StatusBadRequest},
		{"POST", "/__/history?groupName=%zz", "", http.StatusBadRequest},
		{"POST", "/__/history", "", http.StatusBadRequest},
		{"POST", "/__/cancel", "", http.StatusBadRequest},
		{"POST", "/%7B", "x", http.StatusBadRequest},
		{"POST", "/%00", "x", http.StatusBadRequest},
		{"POST", "/%ff", "x", http.StatusBadRequest},
		{"GET", "/%7B", "", http.StatusBadRequest},
	} {
		wantError(t, tt.method+" "+tt.target, client.Do(t, tt.method, here(), tt.target, tt.body, form), tt.code)
	}
}

func Test6_AMethodThatIsNotAllowedNamesThoseThatAre(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{"/__/history": "GET", "/__/cancel": "POST", "/__/ttl": "POST", "/__/groups": "GET"} {
		a := client.Do(t, "PUT", here(), target, "")
		wantError(t, "PUT "+target, a, http.StatusMethodNotAllowed)
		if allow := a.Header.Get("Allow"); !strings.Contains(allow, want) {
			t.Errorf("PUT %s: Allow is %q, want %s in it", target, allow, want)
		}
	}
}

func Test6_ALargeFormIs413(t *testing.T) {
	t.Parallel()
	body := "groupName=%2Fa&x=" + strings.Repeat("x", 2<<20)
	wantError(t, "a form of 2 MiB", client.Do(t, "POST", here(), "/__/history", body, "Content-Type: "+client.Form), http.StatusRequestEntityTooLarge)
}

func Test6_ABrowserGetsAPage(t *testing.T) {
	t.Parallel()
	g := client.Group()
	a := client.Do(t, "GET", here(), g, "", "Accept: text/html,application/xhtml+xml,*/*;q=0.8")
	if a.Code != http.StatusOK || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
		t.Errorf("GET %s as a browser: %d %s", g, a.Code, a.Header.Get("Content-Type"))
	}
}

func Test6_AnyOriginMayReadWithoutCredentials(t *testing.T) {
	t.Parallel()
	g := client.Group()
	origin := "Origin: https://elsewhere.example"
	for what, a := range map[string]client.Answer{
		"publish":       client.Do(t, "POST", here(), g, "x", origin),
		"history":       client.Do(t, "GET", here(), "/__/history?"+client.Values("groupName", g).Encode(), "", origin),
		"error":         client.Do(t, "POST", here(), "/__/history", "", origin),
		"recall":        client.Do(t, "POST", here(), "/__/cancel", "groupName=%2Fa&uuid=b", "Content-Type: "+client.Form, origin),
		"empty publish": client.Do(t, "POST", here(), g, "", origin),
	} {
		if got := a.Header.Get("Access-Control-Allow-Origin"); got != "*" && got != "https://elsewhere.example" {
			t.Errorf("%s: Access-Control-Allow-Origin is %q", what, got)
		}
		if got := a.Header.Get("Access-Control-Allow-Credentials"); got != "" {
			t.Errorf("%s: Access-Control-Allow-Credentials is %q", what, got)
		}
	}
}

func Test6_PreflightsAreAnswered(t *testing.T) {
	t.Parallel()
	for _, target := range []string{client.Group(), "/__/history", "/__/cancel/"} {
		a := client.Do(t, "OPTIONS", here(), target, "", "Origin: https://elsewhere.example", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type")
		if a.Code != http.StatusOK && a.Code != http.StatusNoContent {
			t.Errorf("preflight of %s: %d %s", target, a.Code, a.Body)
		}
		if o, m, h := a.Header.Get("Access-Control-Allow-Origin"), a.Header.Get("Access-Control-Allow-Methods"), a.Header.Get("Access-Control-Allow-Headers"); o == "" || !strings.Contains(m, "POST") || !strings.Contains(strings.ToLower(h), "content-type") {
			t.Errorf("preflight of %s: origin %q, methods %q, headers %q", target, o, m, h)
		}
	}
}

func Test6_AnyOriginMayConnect(t *testing.T) {
	t.Parallel()
	m := client.Join(t, here(), client.Group(), client.Header("Origin", "https://elsewhere.example"))
	m.Text(`{"type":1,"command":5,"uuid":"p"}`)
	m.Want(client.Pong("p"))
}

func Test6_AdminEndpointsNeedTheSecret(t *testing.T) {
	secret := needSecret(t)
	t.Parallel()
	g := client.Group()
	client.Publish(t, here(), g, numbered(0))
	ttl := client.Values("groupName", g, "ttl", "3600")
	for what, a := range map[string]client.Answer{
		"ttl, none":            client.Post(t, here(), "/__/ttl", ttl),
		"groups, none":         client.Do(t, "GET", here(), "/__/groups", ""),
		"ttl, wrong":           client.Post(t, here(), "/__/ttl", with(ttl, "secret", secret+"x")),
		"groups, wrong":        client.Do(t, "GET", here(), "/__/groups?secret=x", ""),
		"groups, wrong bearer": client.Do(t, "GET", here(), "/__/groups", "", "Authorization: Bearer "+secret[1:]),
		"groups, other scheme": client.Do(t, "GET", here(), "/__/groups", "", "Authorization: Basic "+secret),
		"groups, empty":        client.Do(t, "GET", here(), "/__/groups?secret=", ""),
	} {
		if a.Code != http.StatusUnauthorized && a.Code != http.StatusForbidden {
			t.Errorf("%s: %d %s, want 401 or 403", what, a.Code, a.Body)
			continue
		}
		wantErrorBody(t, what, a)
	}
	bearer := "Authorization: Bearer " + secret
	for what, a := range map[string]client.Answer{
		"ttl, form":      client.Post(t, here(), "/__/ttl", with(ttl, "secret", secret)),
		"ttl, slash":     client.Post(t, here(), "/__/ttl/", with(ttl, "secret", secret)),
		"ttl, query":     client.Do(t, "POST", here(), "/__/ttl?"+with(ttl, "secret", secret).Encode(), ""),
		"ttl, bearer":    client.Do(t, "POST", here(), "/__/ttl?"+ttl.Encode(), "", bearer),
		"groups, query":  client.Do(t, "GET", here(), "/__/groups?"+client.Values("secret", secret).Encode(), ""),
		"groups, bearer": client.Do(t, "GET", here(), "/__/groups", "", bearer),
	} {
		if a.Code != http.StatusOK {
			t.Errorf("%s: %d %s, want 200", what, a.Code, a.Body)
		}
	}
}

func with(form url.Values, pairs ...string) url.Values {
	more := client.Values(pairs...)
	for name, values := range form {
		more[name] = values
	}
	return more
}

func Test6_BadTTLsAre400(t *testing.T) {
	secret := needSecret(t)
	t.Parallel()
	g := client.Group()
	for _, ttl := range []string{"", "0", "-1", "x", "1.5", "99999999999999999999"} {
		form := client.Values("groupName", g, "ttl", ttl, "secret", secret)
		wantError(t, "ttl "+ttl, client.Post(t, here(), "/__/ttl", form), http.StatusBadRequest)
	}
	wantError(t, "no ttl", client.Post(t, here(), "/__/ttl", client.Values("groupName", g, "secret", secret)), http.StatusBadRequest)
	wantError(t, "no group", client.Post(t, here(), "/__/ttl", client.Values("ttl", "1", "secret", secret)), http.StatusBadRequest)
	wantError(t, "illegal group", client.Post(t, here(), "/__/ttl", client.Values("groupName", "x", "ttl", "1", "secret", secret)), http.StatusBadRequest)
}

func Test6_AnExpiredHistoryIsEmpty(t *testing.T) {
	secret := needSecret(t)
	t.Parallel()
	g, kept := client.Group(), client.Group()
	for _, name := range []string{g, kept} {
		client.Publish(t, here(), name, numbered(0))
	}
	a := client.Post(t, here(), "/__/ttl", client.Values("groupName", g, "ttl", "1", "secret", secret))
	var body map[string]any
	a.JSON(t, &body)
	if _, ok := body["msg"].(string); a.Code != http.StatusOK || body["code"] != 200.0 || !ok {
		t.Fatalf("ttl: %d %s", a.Code, a.Body)
	}
	eventually(t, "the history to expire", func() error {
		if p := client.History(t, there(), g); len(p.Data) > 0 {
			return fmt.Errorf("history still has %q", p.Data)
		}
		return nil
	})
	wantTexts(t, "another group's history", client.History(t, here(), kept).Data, numbers(0, 0))
	m := client.Join(t, there(), g)
	client.Publish(t, here(), g, numbered(1))
	m.Want(numbered(1))
}

// eventually is testbed.Eventually for what is asked for without a context.
func eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	testbed.Eventually(t, what, func(context.Context) error { return ask() })
}

func Test6_GroupsAreThoseOfTheWholeSystem(t *testing.T) {
	secret := needSecret(t)
	t.Parallel()
	g := client.Group() + "/é<>&\""
	all := join(t, g, 3)
	for i := range target.edges {
		eventually(t, "three members", func() error { return countIs(t, i, g, 3) })
	}
	a := client.Do(t, "GET", here(), "/__/groups?secret="+url.QueryEscape(secret), "")
	if !strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("Content-Type %q, want text/plain", a.Header.Get("Content-Type"))
	}
	if n := strings.Count("\n"+a.Body+"\n", "\n"+g+"\n"); n != 1 {
		t.Errorf("the group is %d times in %.300q", n, a.Body)
	}
	all[0].Leave()
	eventually(t, "two members", func() error { return countIs(t, 1, g, 2) })
	all[1].Leave()
	all[2].Leave()
	eventually(t, "no member", func() error { return countIs(t, 0, g, 0) })
}

func countIs(t *testing.T, edgeNumber int, group string, want int) error {
	t.Helper()
	a := client.Do(t, "GET", edge(edgeNumber), "/__/groups", "", "Authorization: Bearer "+target.secret, "Accept: application/json")
	var list struct {
		Code   int
		Groups *[]struct {
			Name    string
			Members int
		}
	}
	if err := json.Unmarshal([]byte(a.Body), &list); err != nil || list.Code != http.StatusOK || list.Groups == nil {
		t.Fatalf("groups as JSON: %d %s", a.Code, a.Body)
	}
	got := 0
	for _, g := range *list.Groups {
		if g.Name == group {
			got = g.Members
		}
	}
	if got != want {
		return fmt.Errorf("edge %d counts %d members, want %d", edgeNumber, got, want)
	}
	return nil
}
