package httpserver_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/services/httpserver"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// slow is a handler whose requests last until release is closed.
type slow struct{ entered, release chan struct{} }

func (s slow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	close(s.entered)
	select {
	case <-s.release:
	case <-r.Context().Done():
	}
	_, _ = io.WriteString(w, "done")
}

func TestRequestUnderWayIsFinishedBeforeServeReturns(t *testing.T) {
	h := slow{make(chan struct{}), make(chan struct{})}
	ln := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- httpserver.Serve(ctx, &http.Server{Handler: h, ReadHeaderTimeout: time.Second}, ln, time.Minute)
	}()
	body := make(chan string, 1)
	go func() { body <- fetch(t.Context(), ln.Addr()) }()

	<-h.entered
	cancel()
	refusesConnections(t, ln.Addr())
	select {
	case err := <-served:
		t.Fatalf("Serve returned %v while a request was under way", err)
	default:
	}
	close(h.release)
	if got := <-body; got != "done" {
		t.Errorf("request under way got %q, want %q", got, "done")
	}
	if err := <-served; err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
}

func TestRequestLongerThanTheDrainIsCut(t *testing.T) {
	h := slow{make(chan struct{}), make(chan struct{})}
	ln := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- httpserver.Serve(ctx, &http.Server{Handler: h, ReadHeaderTimeout: time.Second}, ln, time.Millisecond)
	}()
	go fetch(t.Context(), ln.Addr())
	<-h.entered
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
}

func TestServeReturnsTheErrorOfItsListener(t *testing.T) {
	ln := listen(t)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if err := httpserver.Serve(t.Context(), &http.Server{ReadHeaderTimeout: time.Second}, ln, time.Second); err == nil {
		t.Error("Serve on a closed listener: no error")
	}
}

// fetch returns "" when the request fails.
func fetch(ctx context.Context, addr net.Addr) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr.String(), http.NoBody)
	if err != nil {
		return ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(body)
}

func refusesConnections(t *testing.T, addr net.Addr) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		conn, err := net.DialTimeout("tcp", addr.String(), time.Second)
		if err != nil {
			return
		}
		_ = conn.Close()
	}
	t.Fatalf("%v still accepts connections", addr)
}
