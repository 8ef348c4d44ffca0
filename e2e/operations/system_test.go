// Package operations tests what an operator sees of the built programs: the
// operations port, settings, logs, versions, certificates.
package operations

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
	"github.com/gotapi/gotapi-ws/services/tlsfiles/tlstest"
)

func TestMain(m *testing.M) { testbed.Main(m, nil) }

// secure is a system that speaks TLS everywhere, with its operations ports.
type secure struct {
	edge, history       *testbed.Process
	edgeOps, historyOps string
	redis               *testbed.Redis
	authority           *tlstest.Authority
	// Where the certificates are.
	dir string
	// Trusts the edge.
	web *http.Client
}

func startSecure(t *testing.T) *secure {
	t.Helper()
	dir, authority := t.TempDir(), tlstest.NewAuthority(t)
	ca := authority.Write(t, dir, "authority")
	cert, key := authority.Server(t).Write(t, dir, "server")
	mine, mineKey := authority.Client(t, time.Now().Add(time.Hour)).Write(t, dir, "client")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.PEM)

	s := &secure{
		dir: dir, authority: authority,
		redis:   testbed.StartRedis(t),
		edgeOps: testbed.FreeAddr(t), historyOps: testbed.FreeAddr(t),
		web: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: 10 * time.Second},
	}
	t.Cleanup(s.web.CloseIdleConnections)
	history, edge := testbed.FreeAddr(t), testbed.FreeAddr(t)
	s.history = startReady(t, "historysvc", s.historyOps, "-listen", history, "-redis", s.redis.URL,
		"-grpc-tls-cert", cert, "-grpc-tls-key", key, "-grpc-tls-client-ca", ca)
	s.edge = startReady(t, "edge", s.edgeOps, "-listen", edge, "-history", history, "-tls-cert", cert, "-tls-key", key,
		"-history-tls-ca", ca, "-history-tls-cert", mine, "-history-tls-key", mineKey)
	s.edge.Addr, s.history.Addr = edge, history
	return s
}

// startReady starts a program with an operations port, and waits until that
// says that it is ready.
func startReady(t *testing.T, program, ops string, args ...string) *testbed.Process {
	t.Helper()
	path := testbed.Binary(t, program)
	args = append([]string{"-ops-listen", ops}, args...)
	return testbed.StartProcess(t, program, path, func(ctx context.Context) error {
		if code, body := tryGet(ctx, "http://"+ops+"/readyz"); code != http.StatusOK {
			return fmt.Errorf("/readyz: %d %s", code, body)
		}
		return nil
	}, args...)
}

// request asks the edge, and returns the status.
func (s *secure) request(t *testing.T, method, path, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "https://"+s.edge.Addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.web.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// get returns the body of an answer that must be 200.
func get(t *testing.T, url string) string {
	t.Helper()
	code, body := tryGet(t.Context(), url)
	if code != http.StatusOK {
		t.Fatalf("get %s: %d %s", url, code, body)
	}
	return body
}

// tryGet returns the status, 0 for none, and the body or the error.
func tryGet(ctx context.Context, url string) (int, string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// run runs a program to its end, and returns its exit code and what it said.
func run(t *testing.T, program string, env []string, args ...string) (code int, output string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testbed.Binary(t, program), args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// eventually waits for a condition, which returns what it still lacks.
func eventually(t *testing.T, what string, lacks func() string) {
	t.Helper()
	testbed.Eventually(t, what, func(context.Context) error {
		if lack := lacks(); lack != "" {
			return errors.New(lack)
		}
		return nil
	})
}
