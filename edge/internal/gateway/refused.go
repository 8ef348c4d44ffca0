package gateway

import (
	"bytes"
	"cmp"
	"encoding/json"
	"log/slog"
	"net/http"

	"github.com/gotapi/gotapi-ws/internal/refusals"
)

const (
	// maxRefusal is how much is kept of the body of a refusal: longer ones have long
	// names in them.
	maxRefusal = 1 << 10
	// mostLogged bytes of it are logged: ours are shorter.
	mostLogged = 300
)

// refusalRecorder keeps what an answer refuses with.
type refusalRecorder struct {
	recorder
	body []byte
	// The group that a form named, if there was one.
	group string
}

// noteGroup tells the refusalRecorder below w which group a form names.
func noteGroup(w http.ResponseWriter, group string) {
	for {
		switch below := w.(type) {
		case *refusalRecorder:
			below.group = group
			return
		case interface{ Unwrap() http.ResponseWriter }:
			w = below.Unwrap()
		default:
			return
		}
	}
}

// Write implements http.ResponseWriter.
func (r *refusalRecorder) Write(b []byte) (int, error) {
	if r.code >= http.StatusBadRequest && r.body == nil {
		r.body = bytes.Clone(b[:min(len(b), maxRefusal)])
	}
	return r.recorder.Write(b)
}

// recording returns a writer for the answer to r. If that is a refusal, report logs and
// remembers it.
func (h *Handler) recording(w http.ResponseWriter, r *http.Request) (_ http.ResponseWriter, report func()) {
	upgrade := isUpgrade(r)
	if h.backends.Refused == nil && !upgrade {
		return w, func() {}
	}
	rec := &refusalRecorder{recorder: recorder{ResponseWriter: w}}
	return rec, func() {
		if rec.code < http.StatusBadRequest || rec.code == clientGone {
			return
		}
		if upgrade {
			h.logRefusedUpgrade(rec, r)
		}
		if h.backends.Refused != nil {
			h.backends.Refused.Add(h.refusal(rec, r, upgrade))
		}
	}
}

func (h *Handler) logRefusedUpgrade(rec *refusalRecorder, r *http.Request) {
	level := slog.LevelDebug
	if h.reloadable.Load().LogRefusals {
		level = slog.LevelInfo
	}
	if !h.log.Enabled(r.Context(), level) {
		return
	}
	h.log.Log(r.Context(), level, "upgrade refused",
		"address", h.backends.Limits.Address(r), "path", r.URL.Path, "status", rec.code, "answer", string(rec.body[:min(len(rec.body), mostLogged)]))
}

// refusal returns the answer to r as operators see it.
func (h *Handler) refusal(rec *refusalRecorder, r *http.Request, upgrade bool) refusals.Refusal {
	refusal := refusals.Refusal{What: "http " + r.Method, Code: rec.code, Group: r.URL.Path, Address: h.backends.Limits.Address(r)}
	var said struct{ Msg string }
	if json.Unmarshal(rec.body, &said) == nil {
		refusal.Reason = said.Msg
	}
	switch {
	case upgrade:
		refusal.What = "upgrade"
	case isEndpoint(r):
		refusal.What += " " + r.URL.Path
		refusal.Group = cmp.Or(rec.group, r.URL.Query().Get(groupName))
	}
	return refusal
}
