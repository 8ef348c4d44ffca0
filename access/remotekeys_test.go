package access

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// issuer is where keys are fetched from, in memory.
type issuer struct {
	mu      sync.Mutex
	body    string
	status  int
	hangs   bool
	fetches int
}

// RoundTrip implements http.RoundTripper.
func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	i.fetches++
	body, status, hangs := i.body, i.status, i.hangs
	i.mu.Unlock()
	if hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if status == 0 {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (i *issuer) set(body string, status int, hangs bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.body, i.status, i.hangs = body, status, hangs
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// hanging is an issuer that does not answer.
const hanging = ""

// maxAge is how old keys may be in these tests.
const maxAge = 24 * time.Hour

// rotating runs an Authorizer in a bubble whose keys come from an issuer, which has
// that body first.
func rotating(t *testing.T, body string, test func(t *testing.T, g *Authorizer, from *issuer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, Config{JWKSURL: "https://id.example/jwks", JWKSRefresh: 5 * time.Minute, JWKSMaxAge: maxAge})
		from := &issuer{body: body, status: 200, hangs: body == hanging}
		g.remote.client.Transport = from
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = g.Run(ctx) })
		defer running.Wait()
		defer cancel()
		test(t, g, from)
	})
}

func TestARotationIsNoticedByTheFirstTokenOfTheNewKey(t *testing.T) {
	pairs := keyPairs(t)
	rsaKey, edKey := pairs["RS256"], pairs["EdDSA"]
	rotating(t, jwksOf(t, map[string]any{"one": rsaKey.private.Public()}), func(t *testing.T, g *Authorizer, from *issuer) {
		before, after := signed(t, rsaKey.method, rsaKey.private, "one", nil), signed(t, edKey.method, edKey.private, "two", nil)
		if _, err := g.Identify(t.Context(), before); err != nil {
			t.Fatalf("the first token waits for the first fetch: %v", err)
		}
		time.Sleep(time.Minute)
		from.set(jwksOf(t, map[string]any{"two": edKey.private.Public()}), 200, false)
		if _, err := g.Identify(t.Context(), after); err != nil {
			t.Errorf("a token of the new key: %v", err)
		}
		_, err := g.Identify(t.Context(), before)
		wantRefusal(t, "a token of a key that is gone", err, 401)
	})
}

func TestForgedKeyIDsFetchRarely(t *testing.T) {
	pairs := keyPairs(t)
	rotating(t, jwksOf(t, map[string]any{"one": pairs["ES256"].private.Public()}), func(t *testing.T, g *Authorizer, from *issuer) {
		synctest.Wait()
		began := time.Now()
		for range 1000 {
			forged := signed(t, pairs["EdDSA"].method, pairs["EdDSA"].private, "forged", nil)
			_, err := g.Identify(t.Context(), forged)
			wantRefusal(t, "a forged key id", err, 401)
			time.Sleep(10 * time.Millisecond)
		}
		if n, limit := from.count(), 2+int(time.Since(began)/fetchPause); n > limit {
			t.Errorf("%d fetches in %v, want at most %d", n, time.Since(began), limit)
		}
	})
}

func TestTheLastGoodKeysOutliveAnOutage(t *testing.T) {
	pair := keyPairs(t)["ES256"]
	rotating(t, jwksOf(t, map[string]any{"one": pair.private.Public()}), func(t *testing.T, g *Authorizer, from *issuer) {
		synctest.Wait()
		for name, outage := range map[string]func(){
			"refuses":       func() { from.set("", 0, false) },
			"fails":         func() { from.set("oops", 500, false) },
			"redirects":     func() { from.set("", 302, false) },
			"hangs":         func() { from.set("", 200, true) },
			"answers wrong": func() { from.set("<html>", 200, false) },
			"has no keys":   func() { from.set(`{"keys":[]}`, 200, false) },
			"has too much":  func() { from.set(`{"keys":[`+strings.Repeat(" ", maxFetchBytes)+"]}", 200, false) },
		} {
			outage()
			time.Sleep(20 * time.Minute)
			g.tokens.clear()
			token := signed(t, pair.method, pair.private, "one", nil)
			if _, err := g.Identify(t.Context(), token); err != nil {
				t.Errorf("while the issuer %s: %v", name, err)
			}
		}
	})
}

func TestWithoutAnyKeysYetTheCallerIsToTryAgain(t *testing.T) {
	pair := keyPairs(t)["ES256"]
	rotating(t, hanging, func(t *testing.T, g *Authorizer, from *issuer) {
		began := time.Now()
		_, err := g.Identify(t.Context(), signed(t, pair.method, pair.private, "one", nil))
		wantRefusal(t, "while the issuer hangs", err, 503)
		if d := time.Since(began); d > askTimeout {
			t.Errorf("it took %v to say so", d)
		}
		from.set(jwksOf(t, map[string]any{"one": pair.private.Public()}), 200, false)
		time.Sleep(fetchTimeout + fetchPause + time.Second)
		if _, err := g.Identify(t.Context(), signed(t, pair.method, pair.private, "one", nil)); err != nil {
			t.Errorf("when the issuer is back: %v", err)
		}
	})
}

// A secret in a public place is none.
func TestSecretsAreNotTakenFromAURL(t *testing.T) {
	rotating(t, jwksOf(t, map[string]any{"s": []byte(secret)}), func(t *testing.T, g *Authorizer, _ *issuer) {
		_, err := g.Identify(t.Context(), hs256(t, nil))
		wantRefusal(t, "a secret from a URL", err, 503)
	})
}

func TestErrorsOfFetchesDoNotShowTheURL(t *testing.T) {
	for name, from := range map[string]*issuer{"refuses": {}, "fails": {status: 500}} {
		cfg := Config{JWKSURL: "https://user:hunter2@id.example/jwks?key=hunter2", JWKSRefresh: time.Hour}
		r := newRemoteKeys(&cfg, slog.New(slog.DiscardHandler), func() {})
		r.client.Transport = from
		if _, err := r.get(t.Context(), r.client); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the issuer %s: error %v, want one without what the URL holds", name, err)
		}
	}
}

func TestKeysAreFetchedOverHTTP(t *testing.T) {
	pair := keyPairs(t)["EdDSA"]
	var fetches atomic.Int32
	body := jwksOf(t, map[string]any{"one": pair.private.Public()})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	g := newGuard(t, Config{JWKSURL: server.URL, JWKSRefresh: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	id, err := g.Identify(t.Context(), signed(t, pair.method, pair.private, "one", nil))
	if err != nil || id.Name() != "alice" || fetches.Load() != 1 {
		t.Errorf("%v, %v after %d fetches", id, err, fetches.Load())
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
}

func TestKeysDoNotOutliveTheirMaximalAge(t *testing.T) {
	pair := keyPairs(t)["ES256"]
	keys := jwksOf(t, map[string]any{"one": pair.private.Public()})
	for name, outage := range map[string]func(from *issuer){
		"is down":     func(from *issuer) { from.set("", 0, false) },
		"hangs":       func(from *issuer) { from.set("", 200, true) },
		"has no keys": func(from *issuer) { from.set(`{"keys":[]}`, 200, false) },
	} {
		rotating(t, keys, func(t *testing.T, g *Authorizer, from *issuer) {
			synctest.Wait()
			token := signed(t, pair.method, pair.private, "one", jwt.MapClaims{"exp": time.Now().Add(10 * maxAge).Unix()})
			outage(from)
			time.Sleep(maxAge - time.Minute)
			if _, err := g.Identify(t.Context(), token); err != nil {
				t.Errorf("while the issuer %s, before the age: %v", name, err)
			}
			time.Sleep(2 * time.Minute)
			_, err := g.Identify(t.Context(), token) // it was verified before
			wantRefusal(t, "while the issuer "+name+", after the age", err, 503)
			from.set(keys, 200, false)
			time.Sleep(time.Minute)
			if _, err := g.Identify(t.Context(), token); err != nil {
				t.Errorf("when the issuer is back after it %s: %v", name, err)
			}
		})
	}
}

func TestUnknownKeyIDsHoldNothingWhileTheURLHangs(t *testing.T) {
	pairs := keyPairs(t)
	rotating(t, jwksOf(t, map[string]any{"one": pairs["ES256"].private.Public()}), func(t *testing.T, g *Authorizer, from *issuer) {
		synctest.Wait()
		time.Sleep(time.Minute)
		from.set("", 200, true)
		forged := signed(t, pairs["EdDSA"].method, pairs["EdDSA"].private, "forged", nil)
		var waiting sync.WaitGroup
		var held atomic.Int64
		ask := func() {
			began := time.Now()
			_, err := g.Identify(t.Context(), forged)
			wantRefusal(t, "an unknown key while the issuer hangs", err, 503)
			held.Add(int64(time.Since(began)))
		}
		for range 1000 {
			waiting.Go(ask)
		}
		waiting.Wait()
		if most := maxAsking * askTimeout; time.Duration(held.Load()) > most {
			t.Errorf("1000 requests were held for %v altogether, want at most %v", time.Duration(held.Load()), most)
		}
		// That fetch hangs on: nobody waits for it.
		began := time.Now()
		ask()
		if d := time.Since(began); d > 0 {
			t.Errorf("a request was held for %v by a fetch that had long hung", d)
		}
		token := signed(t, pairs["ES256"].method, pairs["ES256"].private, "one", nil)
		if _, err := g.Identify(t.Context(), token); err != nil {
			t.Errorf("a token of a known key: %v", err)
		}
	})
}

func TestTheAuthoritiesOfTheKeysURLCanBeChosen(t *testing.T) {
	pair := keyPairs(t)["ES256"]
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, jwksOf(t, map[string]any{"one": pair.private.Public()}))
	}))
	defer server.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for path, trusted := range map[string]bool{"": false, write(t, "ca.crt", string(ca)): true} {
		g := newGuard(t, Config{JWKSURL: server.URL, JWKSRefresh: time.Hour, JWKSCA: path})
		if err := g.remote.fetch(t.Context()); (err == nil) != trusted {
			t.Errorf("authorities %q: fetch = %v", path, err)
		}
	}
	wrong := Config{JWKSURL: server.URL, JWKSCA: write(t, "ca.crt", "no certificate"), Claim: "gotapi"}
	if _, err := New(wrong, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "auth-jwks-ca") {
		t.Errorf("a file without a certificate: %v", err)
	}
}
