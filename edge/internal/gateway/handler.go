package gateway

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/cors"
	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/caller"
	"github.com/gotapi/gotapi-ws/edge/internal/console"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/pages"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// Options of a Handler.
type Options struct {
	// Largest body of a publish, bytes.
	MaxMessageBytes int64
	// Requests under way at one time, those for a WebSocket until they are
	// answered; more are refused with 503. 10,000. Reconfigure leaves it as it is.
	MaxRequests int
	// Bytes of pages of history that are kept; 0: none are. Reconfigure leaves it
	// as it is.
	PageCache int
	// Opens the admin endpoints; "" keeps them shut.
	AdminSecret string
	// Origins whose pages may read answers, as in rs/cors: "*", or a list in
	// which each entry may hold one "*". None: nobody's.
	AllowedOrigins []string
}

// Backends are what the Handler hands requests to.
type Backends struct {
	// Limits of clients; nil: none.
	Limits *limit.Limits
	// Callers knows who sends requests.
	Callers *caller.Callers
	// Publish is relay.Client.Publish.
	Publish func(*relay.Publication)
	History *Forwarder
	// Console has the pages for browsers.
	Console *console.Console
	// Tracer makes spans of requests; nil: none.
	Tracer trace.Tracer
	// Version is what the edge was built from, as a JSON object.
	Version []byte
	// Upgrade answers a request to open a WebSocket in a group, of a caller who may
	// join it.
	Upgrade func(w http.ResponseWriter, r *http.Request, g group.Name, id *access.Identity)
}

// Handler serves everything that comes over HTTP.
type Handler struct {
	opts      atomic.Pointer[options]
	backends  Backends
	log       *slog.Logger
	metrics   *metrics
	endpoints map[string]endpoint
	requests  limit.Slots
	pages     turns
	// The number of the last publication over HTTP.
	published atomic.Uint32
}

// options are Options with what is made of them.
type options struct {
	Options
	cors *cors.Cors
	// SHA-256 of the admin secret.
	secret [sha256.Size]byte
}

// Reconfigure uses opts for the requests that come from now on.
func (h *Handler) Reconfigure(opts Options) {
	h.opts.Store(&options{opts, newCORS(opts.AllowedOrigins), sha256.Sum256([]byte(opts.AdminSecret))})
}

// MaxMessageBytes is what the Options in use say.
func (h *Handler) MaxMessageBytes() int64 { return h.opts.Load().MaxMessageBytes }

// endpoint is one of the server's own paths under /__/.
type endpoint struct {
	label string
	// Upper case, as in the header Allow.
	methods []string
	// Admin endpoints need that right or the secret, and are not for other origins' pages.
	admin bool
	serve http.HandlerFunc
}

// New makes a Handler. The only error is a fault of the generated code.
func New(ctx context.Context, b Backends, opts Options, log *slog.Logger, reg prometheus.Registerer) (*Handler, error) {
	if opts.MaxRequests == 0 {
		opts.MaxRequests = defaultRequests
	}
	if b.Limits == nil {
		b.Limits = limit.New(limit.Settings{}, prometheus.NewRegistry())
	}
	h := &Handler{
		backends: b, log: log,
		requests: limit.NewSlots(opts.MaxRequests), pages: newTurns(),
	}
	h.metrics = newMetrics(reg, h)
	h.Reconfigure(opts)
	rest, err := newREST(ctx, b.History, log)
	if err != nil {
		return nil, err
	}
	history := serveHistory(pages.New(b.History, marshalHistory, opts.PageCache, reg), &h.pages, log)
	get := []string{http.MethodGet, http.MethodHead}
	post := []string{http.MethodPost}
	h.endpoints = map[string]endpoint{
		"/__/history": {"history", slices.Concat(get, post), false, h.asCaller(history)},
		"/__/cancel":  {"cancel", post, false, h.asCaller(rest)},
		"/__/ttl":     {"ttl", post, true, h.asAdmin(rest)},
		groupsPath:    {"groups", get, true, h.asAdmin(rest)},
	}
	h.endpoints["/__/version"] = endpoint{"version", get, false, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, b.Version)
	}}
	for path, serve := range b.Console.Endpoints() {
		h.endpoints[path] = endpoint{"console", get, false, serve}
	}
	return h, nil
}

// statusPath answers whatever else happens.
const statusPath = "/__status"

// route finds what the request is for.
func (h *Handler) route(w http.ResponseWriter, r *http.Request) {
	switch {
	case isEndpoint(r):
		h.serveEndpoint(w, r, strings.TrimSuffix(r.URL.Path, "/"))
	case isUpgrade(r):
		h.upgrade(w, r)
	default:
		h.counted("group", w, r, h.public(h.serveGroup))
	}
}

func serveStatus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte("status ok!")) // the client may have gone
}

func (h *Handler) serveEndpoint(w http.ResponseWriter, r *http.Request, path string) {
	e, ok := h.endpoints[path]
	if !ok {
		h.counted("other", w, r, h.public(func(w http.ResponseWriter, _ *http.Request) {
			WriteError(w, http.StatusNotFound, "there is nothing under this path")
		}))
		return
	}
	serve := allowing(e.methods, func(w http.ResponseWriter, r *http.Request) {
		e.serve(w, at(path, r))
	})
	if !e.admin {
		serve = h.public(serve)
	}
	h.counted(e.label, w, r, serve)
}

// at is r under exactly that path.
func at(path string, r *http.Request) *http.Request {
	r2 := r.WithContext(r.Context())
	url := *r.URL
	url.Path, url.RawPath = path, ""
	r2.URL = &url
	return r2
}

// allowing answers other methods with 405, and a plain OPTIONS with what is
// allowed.
func allowing(methods []string, serve http.HandlerFunc) http.HandlerFunc {
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
		WriteError(w, http.StatusMethodNotAllowed, "this method is not allowed here")
	}
}

// public lets pages of other origins call serve, and answers their preflights.
func (h *Handler) public(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h.opts.Load().cors.ServeHTTP(w, r, serve)
	}
}

// groupMethods are those of a group's path. OPTIONS is added by allowing.
var groupMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost}

func (h *Handler) serveGroup(w http.ResponseWriter, r *http.Request) {
	g, err := group.Parse(r.URL.Path)
	if err != nil {
		WriteError(w, http.StatusBadRequest, err.Error())
		return
	}
	allowing(groupMethods, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			h.publish(w, r, g)
			return
		}
		w.Header().Add("Vary", "Accept")
		if wantsPage(r) {
			h.backends.Console.ServePage(w, r, g)
			return
		}
		serveNoUpgrade(w)
	})(w, r)
}

// wantsPage says whether r, a GET or HEAD of a group, comes from a person's
// browser. Who asks for an upgrade that is none does not want a page in its place.
func wantsPage(r *http.Request) bool {
	return accepts(r, "text/html") && len(r.Header["Upgrade"]) == 0
}

// serveNoUpgrade answers a GET of a group that does not ask for a WebSocket.
func serveNoUpgrade(w http.ResponseWriter) {
	w.Header().Set("Upgrade", "websocket")
	w.Header().Set("Connection", "Upgrade")
	WriteError(w, http.StatusUpgradeRequired, "a group is joined over a WebSocket; POST publishes to it")
}

func (h *Handler) upgrade(w http.ResponseWriter, r *http.Request) {
	r, end := h.follow("upgrade", w, r)
	defer end(0)
	g, err := group.Parse(r.URL.Path)
	if err != nil {
		h.metrics.count("upgrade", http.StatusBadRequest)
		WriteError(w, http.StatusBadRequest, err.Error())
		return
	}
	id, err := h.backends.Callers.Identify(r, true)
	if err == nil {
		err = mayEnter(id, g)
	}
	if err != nil {
		h.metrics.count("upgrade", writeDenied(w, err))
		return
	}
	h.backends.Upgrade(w, r, g, id)
}

// isEndpoint says whether r is for one of the server's own paths.
func isEndpoint(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/__/") }

// isUpgrade says whether r asks for a WebSocket, which no path of the server's own is:
// there the headers mean nothing.
func isUpgrade(r *http.Request) bool {
	return r.Method == http.MethodGet && !isEndpoint(r) &&
		hasToken(r.Header["Connection"], "upgrade") && hasToken(r.Header["Upgrade"], "websocket")
}

// hasToken looks for a token, in any case, in a header that is a list.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for item := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}
