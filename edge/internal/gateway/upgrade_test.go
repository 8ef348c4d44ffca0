package gateway

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRefusedUpgradesAreLoggedWithTheirReason(t *testing.T) {
	for _, tt := range []struct {
		name, path string
		asked      bool
		prepare    func(*Handler)
		want       []string
	}{
		{"refused", "/" + strings.Repeat("a", 2000), true, nil, []string{"level=INFO", "upgrade refused", "path=/a", "status=400", `\"msg\":`}},
		{"nobody asked", "/a", false, nil, []string{"level=DEBUG", "upgrade refused"}},
		{"too many requests", "/a", true, func(h *Handler) { h.requests.TryAcquire() }, []string{"level=INFO", "status=503", "too many requests at once"}},
		{"refused by the session", "/a", true, nil, []string{"level=INFO", "status=418"}},
	} {
		var log bytes.Buffer
		rig := newRig(t, Options{LogRefusals: tt.asked, MaxRequests: 1})
		h, _ := rig.handler.(*Handler)
		h.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://host"+tt.path, http.NoBody)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		if tt.prepare != nil {
			tt.prepare(h)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		lines := log.Len()
		_, report := h.recording(httptest.NewRecorder(), r)
		report() // a connection that was taken over
		if log.Len() > lines {
			t.Errorf("%s: an upgrade that succeeds is logged", tt.name)
		}
		for _, part := range tt.want {
			if !strings.Contains(log.String(), part) {
				t.Errorf("%s: log %q, want %q in it", tt.name, log.String(), part)
			}
		}
	}
}
