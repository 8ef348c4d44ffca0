package operations

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/services/tlsfiles/tlstest"
)

func TestReadyMeansThatWorkCanBeDone(t *testing.T) {
	t.Parallel()
	s := startSecure(t)
	readiness := func(ops string, want int, text string) {
		t.Helper()
		eventually(t, ops, func() string {
			code, body := tryGet(t.Context(), "http://"+ops+"/readyz")
			if code != want || !strings.Contains(body, text) {
				return fmt.Sprintf("/readyz is %d %q, want %d with %q", code, body, want, text)
			}
			return ""
		})
	}
	s.redis.Nodes[0].Pause()
	readiness(s.historyOps, http.StatusServiceUnavailable, "redis")
	s.redis.Nodes[0].Resume()
	readiness(s.historyOps, http.StatusOK, "ok")
	s.history.Kill()
	readiness(s.edgeOps, http.StatusServiceUnavailable, "relay")
	s.history.Start()
	readiness(s.edgeOps, http.StatusOK, "ok")
	if code, _ := tryGet(t.Context(), "http://"+s.edgeOps+"/livez"); code != http.StatusOK {
		t.Errorf("/livez is %d, want 200", code)
	}
}

// shown is the certificate that the edge shows now.
func (s *secure) shown(t *testing.T) *x509.Certificate {
	t.Helper()
	s.web.CloseIdleConnections()
	resp, err := s.web.Get("https://" + s.edge.Addr + "/__status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.TLS.PeerCertificates[0]
}

func TestCertificatesAreReplacedWhileAllRuns(t *testing.T) {
	t.Parallel()
	s := startSecure(t)
	before := s.shown(t)
	pair := s.authority.Server(t)
	pair.Write(t, s.dir, "server")
	s.edge.Signal(syscall.SIGHUP)
	s.history.Signal(syscall.SIGHUP)
	eventually(t, "the edge", func() string {
		if s.shown(t).Equal(before) {
			return "it shows the old certificate"
		}
		return ""
	})
	block, _ := pem.Decode(pair.Cert)
	if got := s.shown(t); string(got.Raw) != string(block.Bytes) {
		t.Error("the edge shows neither the old nor the new certificate")
	}

	// Broken files change nothing, for the edge's clients and for its relay.
	tlstest.WriteFile(t, filepath.Join(s.dir, "server.crt"), []byte("broken"))
	s.edge.Signal(syscall.SIGHUP)
	eventually(t, "the log of the edge", func() string {
		if !strings.Contains(s.edge.Log(), "reload settings: keep the previous ones") {
			return "it does not say that the previous settings stay"
		}
		return ""
	})
	if code := s.request(t, "POST", client.Group(), client.Data("1", "hello")); code != http.StatusOK {
		t.Errorf("a publish is answered with %d, want 200", code)
	}
}

func TestCheckConfigNamesAllThatIsWrong(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "edge.yaml")
	if err := os.WriteFile(file, []byte("listen: 127.0.0.1:0\nhistory: 127.0.0.1:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := run(t, "edge", nil, "-config", file, "-check-config"); code != 0 {
		t.Errorf("good settings: exit code %d, want 0: %s", code, out)
	}
	if err := os.WriteFile(file, []byte("listen: nowhere\nhistroy: x\ntls-cert: /does/not/exist\ntls-key: /neither\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out := run(t, "edge", []string{"GOTAPI_DRAIN=long"}, "-config", file, "-check-config")
	if code != 1 {
		t.Errorf("bad settings: exit code %d, want 1", code)
	}
	for _, want := range []string{"-listen", `"histroy"`, "/does/not/exist", "GOTAPI_DRAIN"} {
		if !strings.Contains(out, want) {
			t.Errorf("bad settings: nothing about %s in\n%s", want, out)
		}
	}
	for _, program := range []string{"historysvc", "gotapi-ws"} {
		if code, out := run(t, program, []string{"GOTAPI_GRPC_TLS_CERT=/does/not/exist", "GOTAPI_REDIS=redis://127.0.0.1"}, "-check-config"); code != 1 || !strings.Contains(out, "-grpc-tls-key") {
			t.Errorf("%s: exit code %d, want 1: %s", program, code, out)
		}
	}
}

func TestLogLevelChangesWhileItRuns(t *testing.T) {
	t.Parallel()
	s := startSecure(t)
	if got := get(t, "http://"+s.edgeOps+"/log-level"); got != "INFO\n" {
		t.Errorf("the level is %q, want INFO", got)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+s.edgeOps+"/log-level", strings.NewReader("debug"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := get(t, "http://"+s.edgeOps+"/log-level"); got != "DEBUG\n" {
		t.Errorf("the level is %q, want DEBUG", got)
	}
}

func TestVersionsAgree(t *testing.T) {
	t.Parallel()
	s := startSecure(t)
	var ops struct{ Version, Commit, Date, Go string }
	if err := json.Unmarshal([]byte(get(t, "http://"+s.edgeOps+"/version")), &ops); err != nil {
		t.Fatal(err)
	}
	_, printed := run(t, "edge", nil, "-version")
	want := fmt.Sprintf("edge %s (commit %s, %s, %s)\n", ops.Version, ops.Commit, ops.Date, ops.Go)
	if printed != want {
		t.Errorf("-version prints %q, want %q", printed, want)
	}
	if _, err := time.Parse(time.RFC3339, ops.Date); err != nil && ops.Date != "unknown" {
		t.Errorf("the date is %q: %v", ops.Date, err)
	}
}
