package standalone_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge"
	"github.com/gotapi/gotapi-ws/historysvc"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/services/config"
	"github.com/gotapi/gotapi-ws/services/tlsfiles/tlstest"
)

// hardened is everything around the two services of docs/security.md, as the
// operator would have it: files, an issuer of tokens, a moderator, Redis.
type hardened struct {
	dir       string
	authority *tlstest.Authority
	signer    *ecdsa.PrivateKey
	apiKey    string
	checked   atomic.Int32
	// In the place of what stands in the docs.
	places *strings.Replacer
}

const hookSecret = "a secret of the hook, random"

func newHardened(t *testing.T) *hardened {
	t.Helper()
	h := &hardened{dir: t.TempDir(), authority: tlstest.NewAuthority(t)}
	var err error
	if h.signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	h.authority.Write(t, h.dir, "internal-ca")
	h.authority.Server(t).Write(t, h.dir, "edge")
	h.authority.Server(t).Write(t, h.dir, "history")
	h.authority.Client(t, time.Now().Add(time.Hour)).Write(t, h.dir, "edge-internal")
	key, entry := access.NewAPIKey("billing")
	h.apiKey = key
	for name, content := range map[string]string{
		"service-token": serviceToken, "admin-secret": "an admin secret that is long enough", "hook-secret": hookSecret,
		"redis-password": "a password of Redis", "api-keys.yaml": entry, "policy.yaml": "anonymous: {}\n",
	} {
		tlstest.WriteFile(t, filepath.Join(h.dir, name), []byte(content))
	}
	issuer := httptest.NewServer(http.HandlerFunc(h.keys))
	t.Cleanup(issuer.Close)
	moderation := httptest.NewServer(h.moderate(t))
	t.Cleanup(moderation.Close)
	h.places = strings.NewReplacer(
		"/etc/gotapi", h.dir, "0.0.0.0:443", "127.0.0.1:0", "0.0.0.0:80", "127.0.0.1:0", "0.0.0.0:5998", "127.0.0.1:0",
		"https://id.example.com/.well-known/jwks.json", issuer.URL,
		"https://moderation.internal/hook", moderation.URL,
		"rediss://redis.internal:6379", "rediss://"+h.redis(t),
	)
	return h
}

// redis imitates one with TLS and a password.
func (h *hardened) redis(t *testing.T) (addr string) {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(filepath.Join(h.dir, "history.crt"), filepath.Join(h.dir, "history.key"))
	if err != nil {
		t.Fatal(err)
	}
	m := miniredis.NewMiniRedis()
	m.RequireAuth("a password of Redis")
	if err := m.StartTLS(&tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m.Addr()
}

// keys answers as an issuer of tokens does.
func (h *hardened) keys(w http.ResponseWriter, _ *http.Request) {
	encode := func(n *big.Int) string {
		return base64.RawURLEncoding.EncodeToString(n.FillBytes(make([]byte, 32)))
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"keys": []map[string]string{{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "one",
		"x": encode(h.signer.X), "y": encode(h.signer.Y), //nolint:staticcheck // what the standard of the set calls them
	}}})
}

func (h *hardened) moderate(t *testing.T) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte(hookSecret))
		fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), body)
		if r.Header.Get("Webhook-Signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			t.Error("the hook is asked without the right signature")
		}
		h.checked.Add(1)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (h *hardened) token(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	all := jwt.MapClaims{
		"iss": "https://id.example.com", "aud": "chat", "sub": "alice", "exp": time.Now().Add(time.Hour).Unix(),
		"gotapi": map[string]any{"join": []string{"/room/*"}, "publish": []string{"/room/*"}, "read": []string{"/room/*"}, "recall": "own"},
	}
	for name, value := range claims {
		all[name] = value
	}
	unsigned := jwt.NewWithClaims(jwt.SigningMethodES256, all)
	unsigned.Header["kid"] = "one"
	s, err := unsigned.SignedString(h.signer)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// settings are those of one of the files in docs/security.md, with the places of
// this test, and more.
func (h *hardened) settings(t *testing.T, name string, register func(*flag.FlagSet), more ...string) {
	t.Helper()
	docs := readFile(t, "..", "docs", "security.md")
	found := regexp.MustCompile("(?s)`" + regexp.QuoteMeta(name) + "`:\n\n```yaml\n(.*?)```").FindStringSubmatch(docs)
	if found == nil {
		t.Fatalf("docs/security.md has no %s", name)
	}
	path := filepath.Join(h.dir, name)
	if err := os.WriteFile(path, []byte(h.places.Replace(found[1])), 0o600); err != nil {
		t.Fatal(err)
	}
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	register(fs)
	if err := config.Parse(fs, append([]string{"-config", path}, more...)); err != nil {
		t.Fatal(err)
	}
}

// start runs both services and returns their addresses.
func (h *hardened) start(t *testing.T) (face, history string) {
	t.Helper()
	log, ready := slog.New(slog.DiscardHandler), make(chan net.Addr, 1)
	var hc historysvc.Config
	h.settings(t, "historysvc.yaml", hc.RegisterFlags)
	hc.Embedded, hc.OnReady = true, func(a net.Addr) { ready <- a }
	serve(t, func(ctx context.Context) error { return historysvc.Run(ctx, hc, log, prometheus.NewRegistry()) })
	history = await(t, ready).String()

	var ec edge.Config
	h.settings(t, "edge.yaml", ec.RegisterFlags, "-history", history, "-drain", "10ms")
	ec.OnReady = func(a net.Addr) { ready <- a }
	serve(t, func(ctx context.Context) error { return edge.Run(ctx, ec, log, prometheus.NewRegistry()) })
	return await(t, ready).String(), history
}

func TestTheHardenedConfigurationOfTheDocs(t *testing.T) {
	t.Parallel()
	h := newHardened(t)
	face, history := h.start(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(readFile(t, h.dir, "internal-ca.crt")))
	trust := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}, Timeout: 20 * time.Second}
	do := func(method, path, body string, headers ...string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "https://"+face+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp
	}
	alice := h.token(t, nil)
	bearer := []string{"Authorization", "Bearer " + alice}
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}

	t.Run("who has the right gets in", func(t *testing.T) {
		if code := do(http.MethodPost, "/room/1", said("a", "hello"), bearer...).StatusCode; code != http.StatusOK {
			t.Errorf("publish: %d", code)
		}
		if code := do(http.MethodPost, "/room/1", said("b", "hello"), "X-API-Key", h.apiKey).StatusCode; code != http.StatusOK {
			t.Errorf("publish with the API key: %d", code)
		}
		if n := h.checked.Load(); n != 2 {
			t.Errorf("the hook was asked %d times, want 2", n)
		}
		if code := do(http.MethodPost, "/__/cancel", "groupName=/room/1&uuid=a", append(form, bearer...)...).StatusCode; code != http.StatusOK {
			t.Errorf("recall: %d", code)
		}
		resp := do(http.MethodGet, "/room/1", "", "Accept", "text/html")
		for name, want := range map[string]string{
			"Strict-Transport-Security": "max-age=31536000", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'none'",
		} {
			if got := resp.Header.Get(name); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	})

	t.Run("the doors are shut", func(t *testing.T) {
		cookie := []string{"Cookie", "__Host-session=" + alice, "Origin"}
		for name, tt := range map[string]struct {
			method, path, body string
			headers            []string
			want               int
		}{
			"no token":                   {"POST", "/room/1", "x", nil, 401},
			"no token, history":          {"GET", "/__/history?groupName=/room/1", "", nil, 401},
			"another group":              {"POST", "/other", "x", bearer, 403},
			"a token for somebody else":  {"POST", "/room/1", "x", []string{"Authorization", "Bearer " + h.token(t, jwt.MapClaims{"aud": "mail"})}, 401},
			"an old token":               {"POST", "/room/1", "x", []string{"Authorization", "Bearer " + h.token(t, jwt.MapClaims{"exp": 1})}, 401},
			"a token in the query":       {"POST", "/room/1?token=" + alice, "x", nil, 401},
			"the API key's message":      {"POST", "/__/cancel", "groupName=/room/1&uuid=b", append(form, bearer...), 403},
			"a cookie, another's page":   {"POST", "/room/1", "x", append(cookie, "https://evil.example"), 403},
			"a cookie, the page allowed": {"POST", "/room/1", "x", append(cookie, "https://app.example.com"), 200},
			"administration":             {"GET", "/__/groups", "", bearer, 403},
			"administration, no secret":  {"GET", "/__/groups", "", nil, 401},
		} {
			if code := do(tt.method, tt.path, tt.body, tt.headers...).StatusCode; code != tt.want {
				t.Errorf("%s: %d, want %d", name, code, tt.want)
			}
		}
		if origin := do(http.MethodGet, "/__/history?groupName=/room/1", "", "Origin", "https://evil.example").Header.Get("Access-Control-Allow-Origin"); origin != "" {
			t.Errorf("pages of %q may read answers", origin)
		}
		for name, header := range map[string]http.Header{
			"no token":              {},
			"another's page":        {"Origin": {"https://evil.example"}, "Authorization": {"Bearer " + alice}},
			"a cookie from nowhere": {"Cookie": {"__Host-session=" + alice}},
		} {
			d := websocket.Dialer{TLSClientConfig: trust}
			conn, resp, err := d.DialContext(t.Context(), "wss://"+face+"/room/1", header)
			if err == nil {
				_ = conn.Close()
				t.Errorf("a WebSocket, %s: connected", name)
			}
			_ = resp.Body.Close()
		}
		conn, err := net.Dial("tcp", face)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /__status HTTP/1.0\r\n\r\n")
		if b, _ := io.ReadAll(conn); strings.Contains(string(b), "status ok!") {
			t.Error("the edge answers without TLS")
		}
	})

	t.Run("gRPC is for services and users", func(t *testing.T) {
		cert, err := tls.LoadX509KeyPair(filepath.Join(h.dir, "edge-internal.crt"), filepath.Join(h.dir, "edge-internal.key"))
		if err != nil {
			t.Fatal(err)
		}
		shown := trust.Clone()
		shown.Certificates = []tls.Certificate{cert}
		call := func(cfg *tls.Config, credential string, publish bool) error {
			c, err := grpc.NewClient(history, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ctx := t.Context()
			if credential != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+credential)
			}
			if publish {
				_, err = historyv1.NewHistoryServiceClient(c).Publish(ctx, &historyv1.PublishRequest{GroupName: "/room/1", Packet: []byte(said("grpc", "hello"))})
				return err
			}
			_, err = historyv1.NewHistoryServiceClient(c).GetHistory(ctx, &historyv1.GetHistoryRequest{GroupName: "/room/1"})
			return err
		}
		for name, tt := range map[string]struct {
			cfg        *tls.Config
			credential string
			ok         bool
		}{
			"a certificate and the service token": {shown, serviceToken, true},
			"a certificate and a user's token":    {shown, alice, true},
			"a certificate and nonsense":          {shown, "nonsense", false},
			"no certificate":                      {trust, serviceToken, false},
		} {
			if err := call(tt.cfg, tt.credential, false); (err == nil) != tt.ok {
				t.Errorf("%s: %v", name, err)
			}
		}
		before := h.checked.Load()
		if err := call(shown, alice, true); err != nil || h.checked.Load() != before+1 {
			t.Errorf("publish over gRPC: %v, the hook was asked %d times, want once", err, h.checked.Load()-before)
		}
	})
}
