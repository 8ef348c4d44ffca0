package edge

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/services/telemetry/telemetrytest"
)

func TestAPanicIsAnErrorInTheLogAndEndsOneConnectionOnly(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	logged := new(telemetrytest.Log)
	s := newServer("http", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			panic("a fault")
		}
	}), ln, nil, 0, 0, slog.New(slog.NewTextHandler(logged, nil)))
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(ln) }()
	// A request over a connection that was used before would be sent twice.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, ok := range map[string]bool{"/bad": false, "/good": true} {
		r, err := client.Get("http://" + ln.Addr().String() + path)
		if (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
		if err == nil {
			_ = r.Body.Close()
		}
	}
	_ = s.http.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("the server ended with %v", err)
	}
	if text := logged.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "a fault") || !strings.Contains(text, "server_test.go") {
		t.Errorf("the log has %q, want one error with the fault and where it is", text)
	}
}
