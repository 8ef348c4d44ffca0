package gateway

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestNoAnswerOverHTTP2HasHeadersOfConnections: clients reset a stream that does (RFC
// 9113, section 8.2.2).
func TestNoAnswerOverHTTP2HasHeadersOfConnections(t *testing.T) {
	t.Parallel()
	rig := newRig(t, Options{})
	server := httptest.NewUnstartedServer(rig.handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	h, _ := rig.handler.(*Handler)
	paths := append(slices.Sorted(maps.Keys(h.endpoints)), "/", "/timer", "/room/1/", "/a{", "/__status", "/__/none", "//")
	for _, path := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "OPTIONS"} {
			r, err := http.NewRequest(method, server.URL+path, strings.NewReader(""))
			if err != nil {
				t.Fatal(err)
			}
			answer, err := server.Client().Do(r)
			if err != nil {
				t.Errorf("%s %s: %v", method, path, err)
				continue
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			if answer.ProtoMajor != 2 {
				t.Fatalf("%s %s: answered over %s", method, path, answer.Proto)
			}
			for _, name := range []string{"Connection", "Upgrade", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding"} {
				if got := answer.Header[name]; got != nil {
					t.Errorf("%s %s: header %s: %q", method, path, name, got)
				}
			}
			if isGroup := path == "/" || path == "/timer" || path == "/room/1/"; isGroup && (method == "GET" || method == "HEAD") && answer.StatusCode != http.StatusUpgradeRequired {
				t.Errorf("%s %s: %d, want 426", method, path, answer.StatusCode)
			}
		}
	}
}
