package edge

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gotapi/gotapi-ws/services/httpserver"
)

// Limits of HTTP connections. They end with the upgrade to a WebSocket.
const (
	readHeaderTimeout = 10 * time.Second
	// A request with its body.
	readTimeout = 30 * time.Second
	// From the end of the header to the end of the answer: a page of 8 MiB over a slow line.
	writeTimeout   = time.Minute
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
)

// web is an HTTP server with its listener.
type web struct {
	name     string
	server   *http.Server
	listener net.Listener
	// What requests under way get when the server stops.
	drain time.Duration
}

func newWeb(name string, h http.Handler, ln net.Listener, secure *tls.Config, drain time.Duration, log *slog.Logger) *web {
	if secure != nil {
		ln = tls.NewListener(ln, secure)
	}
	return &web{
		name:     name,
		listener: ln,
		drain:    drain,
		server: &http.Server{
			Handler:           reporting(h, log),
			TLSConfig:         secure, // tells the server whether to speak HTTP/2
			ReadHeaderTimeout: readHeaderTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			// Broken handshakes and the like: the peers' doing. Panics are ours: see
			// reporting.
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
	}
}

// reporting logs panics of h as what they are, faults of ours, before net/http makes
// them the end of a connection.
func reporting(h http.Handler, log *slog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			fault := recover()
			if fault == nil {
				return
			}
			if fault != http.ErrAbortHandler { //nolint:errorlint // net/http compares so, too
				log.ErrorContext(r.Context(), "a request made the server panic", "method", r.Method, "path", r.URL.Path,
					"fault", fault, "stack", string(debug.Stack()))
			}
			panic(fault)
		}()
		h.ServeHTTP(w, r)
	}
}

func (w *web) serve(ctx context.Context) error {
	return httpserver.Serve(ctx, w.server, w.listener, w.drain)
}

func listen(ctx context.Context, flag, address string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return ln, nil
}

// redirect sends every request to the same place over HTTPS, on the port of
// secure.
func redirect(secure net.Addr) http.HandlerFunc {
	_, port, _ := net.SplitHostPort(secure.String())
	return func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = strings.Trim(r.Host, "[]") // without a port
		}
		if host == "" {
			http.Error(w, "the header Host is missing", http.StatusBadRequest)
			return
		}
		if port != "443" {
			host = net.JoinHostPort(host, port)
		} else if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		w.Header().Set("Location", "https://"+host+r.URL.RequestURI())
		// 308 keeps method and body.
		w.WriteHeader(http.StatusPermanentRedirect)
	}
}
