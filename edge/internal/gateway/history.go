package gateway

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/pages"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// serveHistory answers with a page of history. grpc-gateway has no part in it: it
// would encode each page again.
func serveHistory(from *pages.Pages, limits *pageLimits, clients *limit.Limits, log *slog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := parseForm(w, r); err != nil {
			writeFormError(w, err)
			return
		}
		var query historyv1.GetHistoryRequest
		if err := (parser{}).Parse(&query, r.Form, nil); err != nil {
			httpjson.WriteError(w, http.StatusBadRequest, err.Error())
			return
		}
		known := conditionOf(r)
		permit := pagePermit{limits: limits, client: clients.Key(r, access.FromContext(r.Context()).Name())}
		defer permit.release()
		if !permit.toFetch(r.Context(), from.Expect(&query)) {
			writeTooManyPages(w, r)
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
		if !permit.toSend(r.Context(), len(page.Body)) {
			writeTooManyPages(w, r)
			return
		}
		writePage(w, r, unchanged, page)
	}
}

// writeTooManyPages answers a request that has waited in vain, or whose client has not
// waited.
func writeTooManyPages(w http.ResponseWriter, r *http.Request) {
	if r.Context().Err() != nil {
		w.WriteHeader(clientGone)
		return
	}
	httpjson.WriteError(w, http.StatusServiceUnavailable, "too many requests for pages of history")
}

// conditionOf returns the version that a client has. A POST has none: old programs ask
// so, which do not know the answer "not modified".
func conditionOf(r *http.Request) condition {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return condition{}
	}
	return parseIfNoneMatch(r.Header["If-None-Match"])
}

// writePage answers with the page, or with 304 if it is unchanged: the client has it.
func writePage(w http.ResponseWriter, r *http.Request, unchanged bool, page pages.Page) {
	h := w.Header()
	// It may be kept if it is asked for each time; where callers are known, only by the
	// caller.
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
	h.Set("Content-Type", httpjson.ContentType)
	h.Set("Content-Length", strconv.Itoa(len(page.Body)))
	w.WriteHeader(http.StatusOK)
	writeInPieces(w, page.Body)
}

const (
	// A client must take a piece of a page within pieceTimeout: slow is not stuck, but one
	// that takes nothing holds the page no longer.
	pagePiece    = 256 << 10
	pieceTimeout = 10 * time.Second
)

// writeInPieces writes b, each piece with a deadline of its own if b has several. It
// ends early when the client has gone.
func writeInPieces(w http.ResponseWriter, b []byte) {
	control := http.NewResponseController(w)
	for several := len(b) > pagePiece; len(b) > 0; {
		piece := b[:min(len(b), pagePiece)]
		if several {
			_ = control.SetWriteDeadline(time.Now().Add(pieceTimeout)) // without one, that of the server holds
		}
		if _, err := w.Write(piece); err != nil { //nolint:gosec // JSON, and labelled so
			return
		}
		b = b[len(piece):]
	}
}

var (
	revalidate        = []string{"no-cache"}
	revalidatePrivate = []string{"private, no-cache"}
)
