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

func TestV2IsForWebSocketsOnly(t *testing.T) {
	rig := newRig(t, Options{})
	for _, tt := range []struct {
		method, path string
		upgrade      bool
		want         int
	}{
		{"GET", "/__/v2", true, http.StatusSwitchingProtocols},
		{"GET", "/__/v2/", true, http.StatusSwitchingProtocols},
		{"GET", "/__/v2", false, http.StatusUpgradeRequired},
		{"POST", "/__/v2", true, http.StatusMethodNotAllowed},
		{"GET", "/__/%76%32", true, http.StatusNotFound},
		{"GET", "/__/v2/x", true, http.StatusNotFound},
		{"GET", "/__/history", true, http.StatusBadRequest},
	} {
		r := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, nil)
		if tt.upgrade {
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "websocket")
		}
		w := httptest.NewRecorder()
		rig.handler.ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%s %s, upgrade %t: %d, want %d", tt.method, tt.path, tt.upgrade, w.Code, tt.want)
		}
	}
}
