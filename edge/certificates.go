package edge

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/gotapi/gotapi-ws/services/config"
	"github.com/gotapi/gotapi-ws/services/tlsfiles"
)

// certificates are the TLS files of an edge. nil: it speaks plain HTTP or gRPC.
type certificates struct {
	// For clients, and for the history services.
	server, history *tlsfiles.Files
}

func (c *Config) openCertificates(log *slog.Logger, reg prometheus.Registerer) (all certificates, err error) {
	if p := c.serverTLS(); p != nil {
		if all.server, err = tlsfiles.Open(*p, "http", log, reg); err != nil {
			return all, fmt.Errorf("-tls-cert, -tls-key: %w", err)
		}
	}
	if p := c.historyTLS(); p != nil {
		if all.history, err = tlsfiles.Open(*p, "history", log, reg); err != nil {
			return all, fmt.Errorf("-history-tls: %w", err)
		}
	}
	return all, nil
}

// checkCertificates returns the error that openCertificates would.
func (c *Config) checkCertificates() error {
	var wrong config.Errors
	if p := c.serverTLS(); p != nil {
		if err := tlsfiles.Check(*p); err != nil {
			wrong.Add(fmt.Errorf("-tls-cert, -tls-key: %w", err))
		}
	}
	if p := c.historyTLS(); p != nil {
		if err := tlsfiles.Check(*p); err != nil {
			wrong.Add(fmt.Errorf("-history-tls: %w", err))
		}
	}
	return wrong.Err()
}

// files returns the files that there are.
func (c certificates) files() (files []*tlsfiles.Files) {
	for _, f := range []*tlsfiles.Files{c.server, c.history} {
		if f != nil {
			files = append(files, f)
		}
	}
	return files
}

// run reads the files again when they change, until ctx ends.
func (c certificates) run(ctx context.Context) error { return tlsfiles.RunAll(ctx, c.files()...) }

// dialOptions returns those for history services.
func (c certificates) dialOptions(cfg *Config) []grpc.DialOption {
	if c.history == nil {
		return cfg.DialOptions
	}
	creds := grpc.WithTransportCredentials(c.history.ClientCredentials(cfg.HistoryTLSServerName))
	return append([]grpc.DialOption{creds}, cfg.DialOptions...)
}

// withHSTS tells browsers to use only HTTPS for so long; 0: it does not.
func withHSTS(h http.Handler, maxAge time.Duration) http.Handler {
	if maxAge == 0 {
		return h
	}
	value := "max-age=" + strconv.Itoa(int(maxAge.Seconds()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", value)
		h.ServeHTTP(w, r)
	})
}
