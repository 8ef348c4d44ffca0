package gateway

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
)

// endpoint is one of the server's own paths under /__/.
type endpoint struct {
	label string
	// Upper case, as in the header Allow.
	methods []string
	// Admin endpoints need that right or the secret, and are not for other origins' pages.
	admin bool
	serve http.HandlerFunc
}

// Methods of endpoints. OPTIONS is added by withMethods.
var (
	reading    = []string{http.MethodGet, http.MethodHead}
	posting    = []string{http.MethodPost}
	everything = slices.Concat(reading, posting)
)

// newEndpoints returns all endpoints by their paths.
func (h *Handler) newEndpoints(history, mapped http.Handler) map[string]endpoint {
	zip := newGzipWriters().withGzip
	all := map[string]endpoint{
		"/__/history":  {"history", everything, false, zip(h.withCaller(history, mayRead))},
		"/__/publish":  {"publish", posting, false, h.publishByName},
		"/__/cancel":   {"cancel", posting, false, h.withCaller(mapped, mayRecall)},
		"/__/ttl":      {"ttl", posting, true, h.requireAdmin(mapped)},
		groupsPath:     {"groups", reading, true, zip(h.requireAdmin(mapped))},
		eventsPath:     {"events", []string{http.MethodGet, http.MethodPost}, false, h.serveEvents},
		"/__/version":  {"version", reading, false, h.serveVersion},
		"/__/services": {"services", reading, true, h.requireAdmin(http.HandlerFunc(h.serveServices))},
	}
	maps.Copy(all, h.operatorEndpoints())
	for path, serve := range h.backends.Console.Endpoints() {
		all[path] = endpoint{"console", reading, false, serve}
	}
	return all
}

// route finds what the request is for.
func (h *Handler) route(w http.ResponseWriter, r *http.Request) {
	switch {
	case isUpgrade(r):
		h.upgrade(w, r)
	case isV2(r):
		h.counted("v2", w, r, h.withCORS(withMethods(reading, serveNoV2)))
	case isEndpoint(r):
		h.serveEndpoint(w, r, strings.TrimSuffix(r.URL.Path, "/"))
	default:
		h.counted("group", w, r, h.withCORS(h.serveGroup))
	}
}

// isEndpoint reports whether r is for one of the server's own paths.
func isEndpoint(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/__/") }

// isLiteral reports whether the path was written without needless percent-encoding. The
// server's own paths must be: rules of proxies and logs look for them as they are.
func isLiteral(r *http.Request) bool { return r.URL.RawPath == "" }

func (h *Handler) serveEndpoint(w http.ResponseWriter, r *http.Request, path string) {
	e, ok := h.endpoints[path]
	if !ok || !isLiteral(r) {
		h.counted("other", w, r, h.withCORS(func(w http.ResponseWriter, _ *http.Request) {
			httpjson.WriteError(w, http.StatusNotFound, "no endpoint has this path")
		}))
		return
	}
	serve := withMethods(e.methods, e.serve)
	if !e.admin {
		serve = h.withCORS(serve)
	}
	h.counted(e.label, w, r, serve)
}

// withMethods answers other methods with 405, and a plain OPTIONS with what is
// allowed.
func withMethods(methods []string, serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(methods, r.Method) {
			serve(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(methods, ", ")+", OPTIONS")
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		httpjson.WriteError(w, http.StatusMethodNotAllowed, "this method is not allowed here")
	}
}

// withCORS lets pages of other origins call serve, and answers their preflights.
func (h *Handler) withCORS(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h.reloadable.Load().cors.ServeHTTP(w, r, serve)
	}
}

func (h *Handler) serveVersion(w http.ResponseWriter, _ *http.Request) {
	httpjson.Write(w, http.StatusOK, h.backends.Version)
}

// servicesTimeout bounds what all history services may take to answer.
const servicesTimeout = 2 * time.Second

func (h *Handler) serveServices(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), servicesTimeout)
	defer cancel()
	answer, err := h.backends.Services(ctx)
	if err != nil {
		httpjson.WriteError(w, http.StatusInternalServerError, "cannot list the services")
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	httpjson.Write(w, http.StatusOK, answer)
}

// statusPath answers whatever else happens.
const statusPath = "/__status"

func serveStatus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte("status ok!")) // the client may have gone
}
