package gateway

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/internal/quota"
)

// begin sends a request whose body does not come, and returns its connection.
func (r *rig) begin(target string) net.Conn {
	r.t.Helper()
	conn, err := new(net.Dialer).DialContext(r.t.Context(), "tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: edge\r\nContent-Length: 100\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\nhalf", target)
	if err != nil {
		r.t.Fatal(err)
	}
	return conn
}

// awaitBodies waits until so many bytes are held for bodies.
func awaitBodies(t *testing.T, s *quota.Share, bytes int64) {
	t.Helper()
	awaitCount(t, "bytes are held for bodies", s.Used, bytes)
}

// awaitCount waits until there are as many as wanted.
func awaitCount[N int | int64](t *testing.T, what string, count func() N, want N) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for count() != want {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d %s, want %d", count(), what, want)
		}
	}
}

// Requests whose bodies never come took all slots.
func TestBodiesThatDoNotComeKeepNobodyOut(t *testing.T) {
	for _, target := range []string{"/a", "/__/history", "/__/cancel", "/__/ttl"} {
		rig := newRig(t, Options{MaxRequests: 1, AdminSecrets: secrets("s")})
		inputs, underWay := rig.budget.Inputs, rig.handler.(*Handler).requests.InUse
		var slow []net.Conn
		for n := range int64(5) { // one after another: each takes the only slot for a moment
			slow = append(slow, rig.begin(target))
			awaitBodies(t, inputs, (n+1)*(bodyCost+100))
			awaitCount(t, "requests to "+target+" are under way", underWay, 0)
		}
		if a := rig.do("POST", "/a", "x"); a.code != 200 {
			t.Errorf("while %s waits for bodies: a publish gets %d %s", target, a.code, a.body)
		}
		for _, conn := range slow {
			_ = conn.Close()
		}
		awaitBodies(t, inputs, 0)
		awaitCount(t, "requests to "+target+" are still under way", underWay, 0) // they are answered first
	}
}

func TestBodyIsNotReadWithoutARight(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("s", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	rig := newRigFor(t, Options{}, access.Config{SecretFile: secret})
	for _, target := range []string{"/a", "/__/history?groupName=/a", "/__/cancel?groupName=/a", "/__/history", "/__/cancel?uuid=u"} {
		r := httptest.NewRequest(http.MethodPost, target, unread{t, target})
		answer := httptest.NewRecorder()
		rig.handler.ServeHTTP(answer, r)
		if answer.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d, want 401", target, answer.Code)
		}
	}
}

// unread is a body that must not be read.
type unread struct {
	t      *testing.T
	target string
}

func (u unread) Read([]byte) (int, error) {
	u.t.Errorf("%s: the body is read", u.target)
	return 0, io.EOF
}

func TestOneAddressHasAQuarterOfTheBodies(t *testing.T) {
	rig := newRig(t, Options{})
	rig.handler.(*Handler).backends.Budget = limit.NewBudget(16*4*4*(bodyCost+100), prometheus.NewRegistry())
	inputs := rig.handler.(*Handler).backends.Budget.Inputs
	for range 4 {
		rig.begin("/a")
	}
	awaitBodies(t, inputs, 4*(bodyCost+100))
	if a := rig.do("POST", "/a", "x"); a.code != http.StatusTooManyRequests {
		t.Errorf("a fifth body of this address: %d %s, want 429", a.code, a.body)
	}
}
