package redisstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history/historytest"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/services/tlsfiles/tlstest"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const password = "hunter2-and-more"

// documentedUser is the user that docs/redis.md tells operators to make, as an
// argument of redis-server.
func documentedUser(t *testing.T, rights ...string) []string {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "redis.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```acl\nuser (.*?)\n```").FindSubmatch(doc)
	if block == nil {
		t.Fatal("docs/redis.md has no user")
	}
	user := strings.Replace(string(block[1]), "PASSWORD", password, 1)
	return append([]string{"--user"}, append(strings.Fields(user), rights...)...)
}

// denials returns what a server has refused by its ACL.
func denials(t *testing.T, s *redistest.Server) string {
	t.Helper()
	answer, err := s.Do("ACL LOG")
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// authority makes files for servers, and settings for their clients.
func authority(t *testing.T) (redistest.TLS, func() *tls.Config) {
	t.Helper()
	a, dir := tlstest.NewAuthority(t), t.TempDir()
	var files redistest.TLS
	files.Cert, files.Key = a.Server(t).Write(t, dir, "redis")
	files.CA = a.Write(t, dir, "ca")
	own := a.Client(t, time.Now().Add(time.Hour))
	files.ClientCert, files.ClientKey = own.Write(t, dir, "client")
	pair, err := tls.X509KeyPair(own.Cert, own.Key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.PEM)
	return files, func() *tls.Config {
		return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: []tls.Certificate{pair}}
	}
}

// TestContractAsTheDocumentedUserOverTLS runs everything that a store must do,
// with just the rights that are documented, on a server that speaks TLS only.
func TestContractAsTheDocumentedUserOverTLS(t *testing.T) {
	files, settings := authority(t)
	server := redistest.StartTLS(t, files, documentedUser(t)...)
	login := Login{Password: secret(password), TLS: settings}
	historytest.Run(t, func(*testing.T) historytest.Opener {
		return func(t *testing.T, o historytest.Options, l history.Listener) historytest.Store {
			t.Helper()
			return open(t, Options{Connection: Connection{URL: "rediss://gotapi@" + server.Addr, Login: login}, History: historyOf(o)}, l)
		}
	})
	t.Cleanup(func() {
		if log := denials(t, server); log != "*0" {
			t.Errorf("the server has refused something: %s entries", log)
		}
	})
}

func TestAClusterIsUsedAsTheDocumentedUserOverTLS(t *testing.T) {
	files, settings := authority(t)
	cluster := redistest.StartTLSCluster(t, files)
	for _, n := range cluster.Nodes {
		user := documentedUser(t)
		if answer, err := n.Do("ACL SETUSER " + strings.Join(user[1:], " ")); err != nil || answer != "+OK" {
			t.Fatalf("%s, %v", answer, err)
		}
	}
	url := "rediss+cluster://gotapi:" + password + "@" + strings.TrimPrefix(cluster.URL(), "redis+cluster://")
	l := &hearing{subscribed: make(chan group.Name, 100), events: make(chan stream.Event, 100)}
	s := open(t, Options{Connection: Connection{URL: url, Login: Login{TLS: settings}}}, l)
	for range 5 { // on several nodes
		g := room(t)
		s.Subscribe(g)
		wait(t, l.subscribed)
		must(t, s, g, "a")
		wait(t, l.events)
		if err := s.Recall(t.Context(), g, "a", history.Limit{}, stream.Author{}); err != nil {
			t.Error(err)
		}
		wait(t, l.events)
	}
	if err := s.Report(t.Context(), 1, true, map[group.Name]uint32{"/g": 1}); err != nil {
		t.Error(err)
	}
	for _, n := range cluster.Nodes {
		if log := denials(t, n); log != "*0" {
			t.Errorf("a node has refused something: %s entries", log)
		}
	}
}

// TestSentinelsHaveAPasswordOfTheirOwn logs in at both, each with its password.
func TestSentinelsHaveAPasswordOfTheirOwn(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t, append(documentedUser(t), "--requirepass", "operator")...)
	sentinel := redistest.StartSentinel(t, "mymaster", master, "requirepass guarded", "sentinel auth-pass mymaster operator")
	url := "redis+sentinel://" + sentinel.Addr + "/0?master_name=mymaster&username=gotapi"
	s := open(t, Options{Connection: Connection{URL: url, Login: Login{Password: secret(password), SentinelPassword: secret("guarded")}}}, nil)
	must(t, s, room(t), "a")
	all := Connection{URL: url, Login: Login{Password: secret(password), SentinelPassword: secret("guarded")}, Acks: Acks{Replicas: AllReplicas}}
	if got := refusal(t, Options{Connection: all}); got != "" {
		t.Errorf("the Sentinel does not say how many replicas there are: %s", got)
	}
	for _, wrong := range []Login{{Password: secret("x"), SentinelPassword: secret("guarded")}, {Password: secret(password), SentinelPassword: secret("x")}} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if s, err := Open(ctx, Options{Connection: Connection{URL: url, Login: wrong}}, quiet(t), prometheus.NewRegistry()); err == nil {
			_ = s.Close()
			t.Errorf("%+v are taken", wrong)
		}
		cancel()
	}
}

func TestARedisThatDoesNotWantUsIsNamedWithoutThePassword(t *testing.T) {
	t.Parallel()
	// The first handshake that needs the machine's authorities reads them, which takes as long
	// as there are many: not within the 2 s that it has to connect.
	if _, err := x509.SystemCertPool(); err != nil {
		t.Fatal(err)
	}
	files, settings := authority(t)
	_, foreign := authority(t)
	secure := redistest.StartTLS(t, files, documentedUser(t)...)
	plain := redistest.Start(t, documentedUser(t, "-lpush", "-smembers")...)
	noChannels := redistest.Start(t, documentedUser(t, "resetchannels")...)
	noInfo := redistest.Start(t, documentedUser(t, "-info")...)
	anonymous := func() *tls.Config {
		c := settings()
		c.Certificates = nil
		return c
	}
	otherName := func() *tls.Config {
		c := settings()
		c.ServerName = "redis.example"
		return c
	}
	for name, tt := range map[string]struct {
		url  string
		tls  func() *tls.Config
		want string
	}{
		"a wrong password":        {"rediss://gotapi:" + password + "x@" + secure.Addr, settings, "WRONGPASS"},
		"another user":            {"rediss://nobody:" + password + "@" + secure.Addr, settings, "WRONGPASS"},
		"an unknown authority":    {"rediss://gotapi:" + password + "@" + secure.Addr, foreign, "unknown authority"},
		"the machine's authority": {"rediss://gotapi:" + password + "@" + secure.Addr, nil, "unknown authority"},
		"another name":            {"rediss://gotapi:" + password + "@" + secure.Addr, otherName, "redis.example"},
		"no certificate of ours":  {"rediss://gotapi:" + password + "@" + secure.Addr, anonymous, "cannot be reached"},
		"no TLS":                  {"redis://gotapi:" + password + "@" + secure.Addr, nil, "if it requires TLS"},
		"TLS where there is none": {"rediss://gotapi:" + password + "@" + plain.Addr, settings, "tls handshake"},
		"a forbidden command":     {"redis://gotapi:" + password + "@" + plain.Addr, nil, "may not run these commands on the service's keys and channels: lpush (docs/redis.md)"},
		"forbidden channels":      {"redis://gotapi:" + password + "@" + noChannels.Addr, nil, "publish, subscribe"},
		"no INFO":                 {"redis://gotapi:" + password + "@" + noInfo.Addr, nil, "NOPERM"},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			s, err := Open(t.Context(), Options{Connection: Connection{URL: tt.url, Login: Login{TLS: tt.tls}}},
				slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), prometheus.NewRegistry())
			if err == nil {
				_ = s.Close()
				t.Fatal("it is opened")
			}
			if text := err.Error(); !strings.Contains(text, tt.want) || strings.Contains(text, "\n") {
				t.Errorf("%q, want %q in one line", text, tt.want)
			}
			if strings.Contains(err.Error()+log.String(), password) {
				t.Errorf("the password shows: %v\n%s", err, log.String())
			}
		})
	}
}

func TestVerificationIsSkippedOnlyWhenAskedForAndNotInSilence(t *testing.T) {
	t.Parallel()
	files, settings := authority(t)
	server := redistest.StartTLS(t, files, "--tls-auth-clients", "no")
	var log strings.Builder
	s, err := Open(t.Context(), Options{Connection: Connection{URL: "rediss://" + server.Addr + "?skip_verify=true"}},
		slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if !strings.Contains(log.String(), "verification of redis is disabled") {
		t.Errorf("the log does not warn: %s", log.String())
	}
	log.Reset()
	if s, err = Open(t.Context(), Options{Connection: Connection{URL: "rediss://" + server.Addr, Login: Login{TLS: settings}}},
		slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if strings.Contains(log.String(), "verification of redis is disabled") {
		t.Errorf("the log warns: %s", log.String())
	}
}

func secret(text string) func() string { return func() string { return text } }
