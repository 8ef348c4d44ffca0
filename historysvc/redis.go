package historysvc

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore"
	"github.com/gotapi/gotapi-ws/services/config"
	"github.com/gotapi/gotapi-ws/services/tlsfiles"
)

// openStore opens the store. onRedis is what keeps the files of TLS to Redis.
func (c *Config) openStore(ctx context.Context, log *slog.Logger, reg prometheus.Registerer) (store *redisstore.Store, onRedis secure, err error) {
	opts := c.store()
	if opts.Login.Password, err = secretIn("-redis-password-file", c.RedisPasswordFile); err != nil {
		return nil, secure{}, err
	}
	if opts.Login.SentinelPassword, err = secretIn("-redis-sentinel-password-file", c.RedisSentinelPasswordFile); err != nil {
		return nil, secure{}, err
	}
	if c.RedisTLS != (tlsfiles.Paths{}) || c.RedisTLSServerName != "" {
		files, err := tlsfiles.Open(c.RedisTLS, "redis", log, reg)
		if err != nil {
			return nil, secure{}, fmt.Errorf("-redis-tls-ca, -redis-tls-cert, -redis-tls-key: %w", err)
		}
		onRedis.files = files
		opts.Login.TLS = func() *tls.Config { return files.Client(c.RedisTLSServerName) }
	}
	store, err = redisstore.Open(ctx, opts, log, reg)
	return store, onRedis, err
}

// secretIn reads a secret that the operator keeps in a file; "" without one.
func secretIn(name, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path) //nolint:gosec // the operator named it
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	secret := strings.TrimRight(string(b), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("%s: %s is empty", name, path)
	}
	return secret, nil
}

// checkRedisFiles says whether openStore could use the files.
func (c *Config) checkRedisFiles() error {
	var wrong config.Errors
	_, err := secretIn("-redis-password-file", c.RedisPasswordFile)
	wrong.Add(err)
	_, err = secretIn("-redis-sentinel-password-file", c.RedisSentinelPasswordFile)
	wrong.Add(err)
	if err := tlsfiles.Check(c.RedisTLS); err != nil {
		wrong.Add(fmt.Errorf("-redis-tls-ca, -redis-tls-cert, -redis-tls-key: %w", err))
	}
	return wrong.Err()
}
