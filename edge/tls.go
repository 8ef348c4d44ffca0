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

// secrets are the TLS files of an edge; those that it does not have are nil.
type secrets struct {
	// What clients see, and what history services do.
	face, back *tlsfiles.Files
}

func (c *Config) openTLS(log *slog.Logger, reg prometheus.Registerer) (s secrets, err error) {
	if p := c.face(); p != nil {
		if s.face, err = tlsfiles.Open(*p, "http", log, reg); err != nil {
			return s, fmt.Errorf("-tls-cert, -tls-key: %w", err)
		}
	}
	if p := c.back(); p != nil {
		if s.back, err = tlsfiles.Open(*p, "history", log, reg); err != nil {
			return s, fmt.Errorf("-history-tls: %w", err)
		}
	}
	return s, nil
}

// checkTLS says whether openTLS would succeed.
func (c *Config) checkTLS() error {
	var wrong config.Errors
	if p := c.face(); p != nil {
		if err := tlsfiles.Check(*p); err != nil {
			wrong.Add(fmt.Errorf("-tls-cert, -tls-key: %w", err))
		}
	}
	if p := c.back(); p != nil {
		if err := tlsfiles.Check(*p); err != nil {
			wrong.Add(fmt.Errorf("-history-tls: %w", err))
		}
	}
	return wrong.Err()
}

// all are the files that there are.
func (s secrets) all() (files []*tlsfiles.Files) {
	for _, f := range []*tlsfiles.Files{s.face, s.back} {
		if f != nil {
			files = append(files, f)
		}
	}
	return files
}

// run uses what the files hold now, until ctx ends.
func (s secrets) run(ctx context.Context) error { return tlsfiles.RunAll(ctx, s.all()...) }

// dialOptions are how to speak to history services.
func (s secrets) dialOptions(cfg *Config) []grpc.DialOption {
	if s.back == nil {
		return cfg.DialOptions
	}
	creds := grpc.WithTransportCredentials(s.back.ClientCredentials(cfg.HistoryTLSServerName))
	return append([]grpc.DialOption{creds}, cfg.DialOptions...)
}

// insisting tells browsers that come over TLS to do so for the time to come.
func insisting(h http.Handler, on time.Duration) http.Handler {
	if on == 0 {
		return h
	}
	value := "max-age=" + strconv.Itoa(int(on.Seconds()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", value)
		h.ServeHTTP(w, r)
	})
}
