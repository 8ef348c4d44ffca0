package gateway

import (
	"log/slog"
	"net/http"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/pages"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// serveHistory answers with a page of history. grpc-gateway has no part in it: it
// would have each page encoded anew.
func serveHistory(from *pages.Pages, turns *turns, log *slog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := parseForm(w, r); err != nil {
			writeFormError(w, err)
			return
		}
		var query historyv1.GetHistoryRequest
		if err := (parser{}).Parse(&query, r.Form, nil); err != nil {
			WriteError(w, http.StatusBadRequest, err.Error())
			return
		}
		known := conditionOf(r)
		turn := turn{of: turns}
		defer turn.end()
		if !turn.toFetch(r.Context()) {
			WriteError(w, http.StatusServiceUnavailable, tooManyPages)
			return
		}
		page, err := from.Get(r.Context(), &query, known.only())
		if err != nil {
			writeCallError(r.Context(), w, r.URL.Path, err, log)
			return
		}
		unchanged := known.holds(page.Version)
		if unchanged {
			page.Body = nil
		}
		if !turn.toSend(r.Context(), len(page.Body)) {
			WriteError(w, http.StatusServiceUnavailable, tooManyPages)
			return
		}
		writePage(w, r, unchanged, page)
	}
}

const tooManyPages = "too many pages of history are asked for"

// conditionOf is the version that a client has. Only what reads may be answered
// with "not modified"; POST is how old programs ask, which know of no such answer.
func conditionOf(r *http.Request) condition {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return condition{}
	}
	return parseIfNoneMatch(r.Header["If-None-Match"])
}

// writePage answers with the page, or with 304 if it is unchanged: the client has it.
func writePage(w http.ResponseWriter, r *http.Request, unchanged bool, page pages.Page) {
	h := w.Header()
	// May be kept, but is to be asked for each time; by nobody but the caller, if we
	// know who that is.
	h["Cache-Control"] = revalidate
	if access.FromContext(r.Context()).Known() {
		h["Cache-Control"] = revalidatePrivate
	}
	if page.Version != "" {
		h.Set("Etag", weakTag(page.Version))
	}
	if unchanged {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	writeJSON(w, http.StatusOK, page.Body)
}

var (
	revalidate        = []string{"no-cache"}
	revalidatePrivate = []string{"private, no-cache"}
)
