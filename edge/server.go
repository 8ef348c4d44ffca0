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
	"github.com/gotapi/gotapi-ws/services/tlsfiles"
)

// Limits of HTTP connections. They end with the upgrade to a WebSocket.
const (
	readHeaderTimeout = 10 * time.Second
	// A request with its body.
	readTimeout = 30 * time.Second
	// From the end of the header to the end of the answer: a page of 8 MiB over a slow line.
	writeTimeout   = time.Minute
	maxHeaderBytes = 16 << 10
)

// boundedHTTP2 bounds what one connection holds before a request reads it. Without it,
// one frame that has begun holds up to 1 MiB, and bodies that nobody reads another one.
var boundedHTTP2 = http.HTTP2Config{
	MaxReadFrameSize:              16 << 10,
	MaxReceiveBufferPerStream:     64 << 10,
	MaxReceiveBufferPerConnection: 128 << 10,
}

// server is an HTTP server with its listener.
type server struct {
	name     string
	http     *http.Server
	listener net.Listener
	// How long requests under way may take when the server stops.
	drain time.Duration
}

func newServer(name string, h http.Handler, ln net.Listener, secure *tls.Config, idle, drain time.Duration, log *slog.Logger) *server {
	if secure != nil {
		ln = tls.NewListener(ln, secure)
	}
	return &server{
		name:     name,
		listener: ln,
		drain:    drain,
		http: &http.Server{
			Handler:           withPanicLog(h, log),
			TLSConfig:         secure, // tells the server whether to speak HTTP/2
			ReadHeaderTimeout: readHeaderTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idle,
			MaxHeaderBytes:    maxHeaderBytes,
			HTTP2:             &boundedHTTP2,
			// Broken handshakes and the like, which are the peers' faults. Panics are
			// ours: withPanicLog.
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
	}
}

// withPanicLog logs panics of h as errors, before net/http ends the connection.
func withPanicLog(h http.Handler, log *slog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			fault := recover()
			if fault == nil {
				return
			}
			if fault != http.ErrAbortHandler { //nolint:errorlint // net/http compares so, too
				log.ErrorContext(r.Context(), "panic while serving a request", "method", r.Method, "path", r.URL.Path,
					"fault", fault, "stack", string(debug.Stack()))
			}
			panic(fault)
		}()
		h.ServeHTTP(w, r)
	}
}

func (s *server) serve(ctx context.Context) error {
	return httpserver.Serve(ctx, s.http, s.listener, s.drain)
}

// stopping returns a context that ends when s begins to stop.
func (s *server) stopping(ctx context.Context) context.Context {
	stopping, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.http.RegisterOnShutdown(stop)
	return stopping
}

// newServers opens the listeners: first that of the handler, then that of the
// redirect, if there is one. On an error none is open.
func newServers(ctx context.Context, cfg *Config, files *tlsfiles.Files, h http.Handler, bound *bounds, log *slog.Logger) ([]*server, error) {
	ln := cfg.Listener
	if ln == nil {
		var err error
		if ln, err = listen(ctx, "-listen", cfg.Listen); err != nil {
			return nil, err
		}
	}
	var secure *tls.Config
	if files != nil {
		// WebSockets are HTTP/1.1; their clients do not offer h2.
		secure = files.Server("h2", "http/1.1")
	}
	proxied, err := cfg.Limits.withProxyProtocol(boundedListener{Listener: ln, bounds: bound, secure: secure != nil})
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	main := newServer("http", bound.withResetLimit(withHSTS(withBasePath(h, cfg.basePath()), cfg.HSTS)), proxied, secure, cfg.IdleTimeout, cfg.Drain+cfg.settleTime(), log)
	bound.watch(main.http)
	if cfg.RedirectHTTP == "" {
		return []*server{main}, nil
	}
	plain, err := listen(ctx, "-redirect-http", cfg.RedirectHTTP)
	if err == nil {
		plain, err = cfg.Limits.withProxyProtocol(boundedListener{Listener: plain, bounds: bound})
	}
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	other := newServer("redirect", redirect(ln.Addr()), plain, nil, cfg.IdleTimeout, time.Second, log)
	bound.watch(other.http)
	return []*server{main, other}, nil
}

func listen(ctx context.Context, flag, address string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return ln, nil
}

// redirect sends every request to the same URL with HTTPS, on the port of secure.
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
