package caller_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/caller"
)

const secret = "a secret that is longer than 32 bytes"

func token(t testing.TB, subject string) string {
	t.Helper()
	s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": subject, "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newCallers takes tokens and API keys, in a cookie too, and trusts one origin.
func newCallers(t testing.TB) (callers *caller.Callers, apiKey string) {
	t.Helper()
	apiKey, entry := access.NewAPIKey("backend")
	authorizer, err := access.New(access.Config{
		SecretFile: write(t, secret), APIKeysFile: write(t, entry), Claim: "gotapi", Cookie: "session",
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return caller.New(authorizer, func(o string) bool { return o == "https://app.example" }), apiKey
}

// request is one to the host chat.example; headers are names and values in turn.
func request(method string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "http://chat.example/room/1", http.NoBody)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

const protocols = "Sec-WebSocket-Protocol"

func TestCredentialsAreFoundWhereTheyMayStand(t *testing.T) {
	callers, key := newCallers(t)
	alice, bob := token(t, "alice"), token(t, "bob")
	for _, tt := range []struct {
		name    string
		upgrade bool
		headers []string
		want    string
	}{
		{"none", false, nil, ""},
		{"header", false, []string{"Authorization", "Bearer " + alice}, "alice"},
		{"header, written otherwise", true, []string{"authorization", "bearer  " + alice}, "alice"},
		{"another scheme", false, []string{"Authorization", "Basic YTpi"}, ""},
		{"API key as bearer", false, []string{"Authorization", "Bearer " + key}, "backend"},
		{"API key", false, []string{"X-API-Key", key}, "backend"},
		{"API key, upgrade", true, []string{"X-API-Key", key}, "backend"},
		{"subprotocol", true, []string{protocols, "gotapi.v1, gotapi.bearer." + alice}, "alice"},
		{"subprotocol, escaped", true, []string{protocols, "gotapi.bearer.%65" + alice[1:], protocols, "gotapi.v1"}, "alice"},
		{"subprotocol without upgrade", false, []string{protocols, "gotapi.bearer." + alice}, ""},
		{"header before subprotocol", true, []string{"Authorization", "Bearer " + bob, protocols, "gotapi.bearer." + alice}, "bob"},
		{"cookie", false, []string{"Cookie", "session=" + alice}, "alice"},
		{"another cookie", false, []string{"Cookie", "other=" + alice}, ""},
		{"header before cookie", false, []string{"Authorization", "Bearer " + bob, "Cookie", "session=" + alice}, "bob"},
	} {
		id, err := callers.Identify(request(http.MethodGet, tt.headers...), tt.upgrade)
		if err != nil || id.Name() != tt.want {
			t.Errorf("%s: %v, %v, want %q", tt.name, id, err, tt.want)
		}
	}
	// Never from a place that is written into logs on its way.
	r := httptest.NewRequest(http.MethodGet, "http://chat.example/room/1?token="+alice+"&access_token="+alice, http.NoBody)
	if id, err := callers.Identify(r, true); err != nil || id.Name() != "" {
		t.Errorf("a token in the query: %v, %v", id, err)
	}
}

func TestBadCredentialsAreRefusedAlsoWhereNoneIsNeeded(t *testing.T) {
	callers, _ := newCallers(t)
	for name, headers := range map[string][]string{
		"header":                  {"Authorization", "Bearer nonsense"},
		"empty header":            {"X-API-Key", "gotapi_nonsense"},
		"subprotocol":             {protocols, "gotapi.bearer.nonsense"},
		"subprotocol, unreadable": {protocols, "gotapi.bearer.%zz"},
		"subprotocol, empty":      {protocols, "gotapi.v1, gotapi.bearer."},
		"cookie":                  {"Cookie", "session=nonsense"},
	} {
		headers = append(headers, "Origin", "http://chat.example")
		_, err := callers.Identify(request(http.MethodGet, headers...), true)
		var denied *access.DeniedError
		if !errors.As(err, &denied) || denied.Status != http.StatusUnauthorized {
			t.Errorf("%s: %v, want 401", name, err)
		}
	}
}

// A browser adds cookies to what pages of strangers send.
func TestPagesOfStrangersCannotUseTheCookie(t *testing.T) {
	callers, _ := newCallers(t)
	alice := token(t, "alice")
	for _, tt := range []struct {
		name    string
		method  string
		upgrade bool
		headers []string
		ok      bool
	}{
		{"own page posts", "POST", false, []string{"Origin", "http://chat.example"}, true},
		{"own page behind TLS posts", "POST", false, []string{"Origin", "https://chat.example"}, true},
		{"trusted page posts", "POST", false, []string{"Origin", "https://app.example"}, true},
		{"a stranger's page posts", "POST", false, []string{"Origin", "https://evil.example"}, false},
		{"a sandboxed page posts", "POST", false, []string{"Origin", "null"}, false},
		{"a post from nowhere", "POST", false, nil, false},
		{"own page connects", "GET", true, []string{"Origin", "http://chat.example"}, true},
		{"a stranger's page connects", "GET", true, []string{"Origin", "https://evil.example"}, false},
		{"a look-alike connects", "GET", true, []string{"Origin", "https://chat.example.evil"}, false},
		{"a connection from nowhere", "GET", true, nil, false},
		{"own page reads", "GET", false, []string{"Sec-Fetch-Site", "same-origin"}, true},
		{"somebody types the address", "GET", false, []string{"Sec-Fetch-Site", "none"}, true},
		{"a stranger's page reads", "GET", false, []string{"Sec-Fetch-Site", "cross-site"}, false},
		{"a stranger's page reads with CORS", "GET", false, []string{"Origin", "https://evil.example"}, false},
	} {
		headers := append([]string{"Cookie", "session=" + alice}, tt.headers...)
		id, err := callers.Identify(request(tt.method, headers...), tt.upgrade)
		if tt.ok && (err != nil || id.Name() != "alice") {
			t.Errorf("%s: %v", tt.name, err)
		}
		var denied *access.DeniedError
		if !tt.ok && (!errors.As(err, &denied) || denied.Status != http.StatusForbidden) {
			t.Errorf("%s: %v, want 403", tt.name, err)
		}
		// What is not added by itself may come from anywhere.
		bearer := append([]string{"Authorization", "Bearer " + alice}, tt.headers...)
		if id, err := callers.Identify(request(tt.method, bearer...), tt.upgrade); err != nil || id.Name() != "alice" {
			t.Errorf("%s, with a header: %v", tt.name, err)
		}
	}
}

func TestWhereEverythingIsOpenNobodyIsAsked(t *testing.T) {
	authorizer, err := access.New(access.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	callers := caller.New(authorizer, func(string) bool { return false })
	r := request(http.MethodPost, "Authorization", "Bearer nonsense", "Cookie", "session=x", "Origin", "https://evil.example")
	if id, err := callers.Identify(r, true); err != nil || id.May(access.Publish, "/room") != nil || callers.Checked() {
		t.Errorf("%v, %v", id, err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = callers.Identify(r, true) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzIdentify(f *testing.F) {
	callers, _ := newCallers(f)
	alice, err := json.Marshal(token(f, "alice"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("Bearer "+string(alice), "gotapi.v1, gotapi.bearer."+string(alice), "session="+string(alice), "https://app.example")
	f.Add("", "gotapi.bearer.%4", "session=\"", "null")
	f.Fuzz(func(t *testing.T, authorization, protocol, cookie, origin string) {
		r := request(http.MethodGet, "Authorization", authorization, protocols, protocol, "Cookie", cookie, "Origin", origin)
		id, err := callers.Identify(r, true)
		if (id == nil) == (err == nil) {
			t.Errorf("%v, %v", id, err)
		}
	})
}
