// Package ops serves operators and their tools: metrics, health, profiles, the log level,
// and reload. It has a port of its own, which must stay private.
package ops

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gotapi/gotapi-ws/services/httpserver"
)

const (
	readyTimeout  = 2 * time.Second
	reloadTimeout = 10 * time.Second
	drainTimeout  = time.Second

	// Half a header costs memory until it has come: 1 MiB is http.Server's default.
	maxHeaderBytes = 8 << 10
)

// Process is the process that the port shows and controls.
type Process struct {
	Metrics *prometheus.Registry
	// Ready returns nil if the process can work.
	Ready func(context.Context) error
	// Level of the log.
	Level *slog.LevelVar
	// Reload reads the settings again. Its error says what is wrong with them.
	Reload func(context.Context) error
	// Version is encoded as JSON.
	Version any
	// Hosts are names under which the port is known, beside addresses and names that
	// nobody outside can have (localNames).
	Hosts []string
	Log   *slog.Logger
	// Service serves what the service itself shows; nil: nothing.
	Service http.Handler
}

// Handler answers
//
//	GET /metrics        Prometheus metrics
//	GET /livez          200 as long as the process answers at all
//	GET /readyz         200 if Ready returns nil within 2 s, else 503 with its error
//	GET /version        what the process was built from, JSON
//	GET /log-level      the level; PUT sets it to the body: debug, info, warn or error
//	POST /reload        200 if the settings were reloaded, 400 with what is wrong with them
//	/debug/pprof/       profiles
//
// and leaves the rest to the service.
//
// It refuses what a browser sends for a page of another origin (403), and requests to
// names that are not the port's (421): a page elsewhere may have made its own name
// point here.
func Handler(p Process) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.Metrics, promhttp.HandlerOpts{Registry: p.Metrics}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		runCheck(w, r, readyTimeout, p.Ready, http.StatusServiceUnavailable)
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p.Version) // the client may have gone
	})
	mux.HandleFunc("GET /log-level", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, p.Level.Level()) })
	mux.HandleFunc("PUT /log-level", p.setLevel)
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) {
		runCheck(w, r, reloadTimeout, p.Reload, http.StatusBadRequest)
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	if p.Service != nil {
		mux.Handle("/", p.Service)
	}
	return withoutStrangers(mux, p.Hosts)
}

// runCheck writes "ok" if check returns nil, and its error with the status failed if not.
func runCheck(w http.ResponseWriter, r *http.Request, timeout time.Duration, check func(context.Context) error, failed int) {
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	if err := check(ctx); err != nil {
		http.Error(w, err.Error(), failed)
		return
	}
	fmt.Fprintln(w, "ok")
}

// maxLevelBytes is more than any name of a level needs.
const maxLevelBytes = 64

func (p *Process) setLevel(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLevelBytes))
	var level slog.Level
	if err == nil {
		err = level.UnmarshalText([]byte(strings.TrimSpace(string(body))))
	}
	if err != nil {
		http.Error(w, "want debug, info, warn or error", http.StatusBadRequest)
		return
	}
	p.Level.Set(level)
	p.Log.WarnContext(r.Context(), "log level set", "level", level, "by", r.RemoteAddr)
	fmt.Fprintln(w, level)
}

// Serve serves h on ln until ctx ends.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	return httpserver.Serve(ctx, srv, ln, drainTimeout)
}
