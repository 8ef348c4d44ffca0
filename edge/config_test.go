package edge_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge"
	"github.com/gotapi/gotapi-ws/services/tlsfiles"
	"github.com/gotapi/gotapi-ws/services/tlsfiles/tlstest"
)

func TestDefaultsAreValid(t *testing.T) {
	cfg := config()
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
}

func TestEverythingWrongIsNamedAtOnce(t *testing.T) {
	cfg := edge.Config{
		Listen:           "nowhere",
		History:          "historysvc",
		AdminSecret:      "a",
		AdminSecretFile:  "b",
		AllowedOrigins:   "example.com",
		MaxMessageBytes:  -1,
		PublishTimeout:   0,
		MemberQueueBytes: 1,
		MaxConnections:   -1,
		Drain:            -1,
		TLSCert:          "c",
		HSTS:             -1,
		HistoryTLSFiles:  tlsfiles.Paths{Cert: "d"},
		RedirectHTTP:     "80",
	}
	err := cfg.Validate()
	if err == nil {
		t.Fatal("got no error")
	}
	for _, name := range []string{
		"-listen", "-history", "-admin-secret", "-allowed-origins", "-max-message-bytes", "-publish-timeout", "-publish-queue:",
		"-member-queue-bytes", "-max-connections", "-drain", "-tls-key", "-redirect-http",
		"-hsts", "-history-tls-key",
	} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not name %s: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the error has several lines: %v", err)
	}
}

func TestAShortAdminSecretIsAWarningThatNamesTheSetting(t *testing.T) {
	const good = "0123456789abcdef0123"
	for name, tt := range map[string]struct {
		cfg  edge.Config
		want string
	}{
		"none":           {edge.Config{}, ""},
		"long enough":    {edge.Config{AdminSecret: good}, ""},
		"short":          {edge.Config{AdminSecret: "fourteen bytes"}, "-admin-secret: a secret of 14 bytes is easy to guess: use 20 or more"},
		"one of a file":  {edge.Config{AdminSecretFile: write(t, "secret", good+"\nshort\n")}, "-admin-secret-file: a secret of 5 bytes is easy to guess"},
		"a missing file": {edge.Config{AdminSecretFile: "/does/not/exist"}, ""},
	} {
		got := strings.Join(tt.cfg.Warnings(), "; ")
		if !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") || strings.Contains(got, "fourteen") {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestRunRefusesWhatItCannotUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, tt := range map[string]struct {
		change func(*edge.Config)
		want   string
	}{
		"a bad setting":             {func(c *edge.Config) { c.History = "x" }, "-history"},
		"a port that is taken":      {func(c *edge.Config) { c.Listen = taken.Addr().String() }, "-listen"},
		"no secret file":            {func(c *edge.Config) { c.AdminSecretFile = "/does/not/exist" }, "-admin-secret-file"},
		"an empty secret file":      {func(c *edge.Config) { c.AdminSecretFile = write(t, "empty", " \n") }, "-admin-secret-file"},
		"no certificate":            {func(c *edge.Config) { c.TLSCert, c.TLSKey = "/does/not/exist", "/neither" }, "-tls-cert"},
		"no history authority":      {func(c *edge.Config) { c.HistoryTLSFiles.CA = "/does/not/exist" }, "-history-tls"},
		"a redirect port in use":    {func(c *edge.Config) { certify(t, c); c.RedirectHTTP = taken.Addr().String() }, "-redirect-http"},
		"an unknown kind of target": {func(c *edge.Config) { c.History = "nonsense:///x" }, "nonsense"},
	} {
		cfg := config()
		tt.change(&cfg)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := edge.Run(ctx, cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		cancel()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want it to name %s", name, err, tt.want)
		}
	}
}

func TestTLSAndRedirect(t *testing.T) {
	t.Parallel()
	svc := newHistorysvc()
	cfg := config(svc.start(t))
	roots := certify(t, &cfg)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.RedirectHTTP = free.Addr().String()
	cfg.HSTS = time.Hour
	_ = free.Close()
	f := start(t, cfg)

	secure := &tls.Config{RootCAs: roots}
	a, _, err := dial(&websocket.Dialer{TLSClientConfig: secure}, "wss://"+f.addr+"/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })

	// The publish goes to the plain address, follows the redirect with its
	// body, and speaks HTTP/2.
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: secure, ForceAttemptHTTP2: true}}
	defer web.CloseIdleConnections()
	r, err := web.Post("http://"+cfg.RedirectHTTP+"/a", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	if r.StatusCode != http.StatusOK || r.ProtoMajor != 2 || r.Request.URL.Scheme != "https" {
		t.Errorf("got %s %s from %s: %s", r.Proto, r.Status, r.Request.URL, body)
	}
	(&client{t, a}).want(websocket.TextMessage, "hello")
	if got := r.Header.Get("Strict-Transport-Security"); got != "max-age=3600" {
		t.Errorf("got Strict-Transport-Security %q, want max-age=3600", got)
	}

	cfg.Listen = f.addr
	if err := cfg.Probe(t.Context()); err != nil {
		t.Errorf("Probe = %v, want nil", err)
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	svc := newHistorysvc()
	cfg := config(svc.start(t))
	f := start(t, cfg)
	cfg.Listen = f.addr
	if err := cfg.Probe(t.Context()); err != nil {
		t.Errorf("while it runs: got %v, want nil", err)
	}
	if err := f.stop(); err != nil {
		t.Error(err)
	}
	if err := cfg.Probe(t.Context()); err == nil {
		t.Error("after the end: got nil, want an error")
	}
}

func TestTheRedirectUnderstandsThePROXYProtocol(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = free.Close()
	cfg := config()
	certify(t, &cfg)
	cfg.RedirectHTTP = free.Addr().String()
	cfg.Limits = edge.Limits{ProxyProtocol: true, TrustedProxies: "127.0.0.1"}
	plain := &runningEdge{t: t, addr: cfg.RedirectHTTP}
	start(t, cfg)
	const get = "GET /a HTTP/1.1\r\nHost: edge\r\n\r\n"
	plain.wantRaw("without a header", get, 308)
	plain.wantRaw("with one", "PROXY TCP4 203.0.113.1 127.0.0.1 4711 80\r\n"+get, 308)
}

func TestRedirectKeepsThePath(t *testing.T) {
	t.Parallel()
	svc := newHistorysvc()
	cfg := config(svc.start(t))
	certify(t, &cfg)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.RedirectHTTP = free.Addr().String()
	_ = free.Close()
	f := start(t, cfg)
	_, port, _ := net.SplitHostPort(f.addr)
	for host, want := range map[string]string{
		"a.example":      "https://a.example:" + port,
		"a.example:8080": "https://a.example:" + port,
		"[::1]":          "https://[::1]:" + port,
	} {
		c, err := net.Dial("tcp", cfg.RedirectHTTP)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "GET //a%2Fb/../c?d=e HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		_ = c.Close()
		if got := r.Header.Get("Location"); r.StatusCode != http.StatusPermanentRedirect || got != want+"//a%2Fb/../c?d=e" {
			t.Errorf("host %s: got %d to %s, want 308 to %s", host, r.StatusCode, got, want)
		}
	}
}

// certify gives c a certificate for 127.0.0.1, and returns who trusts it.
func certify(t *testing.T, c *edge.Config) *x509.CertPool {
	t.Helper()
	authority := tlstest.NewAuthority(t)
	c.TLSCert, c.TLSKey = authority.Server(t).Write(t, t.TempDir(), "edge")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.PEM)
	return roots
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
