package historysvc

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	"github.com/gotapi/gotapi-ws/internal/secretfile"
	"github.com/gotapi/gotapi-ws/services/config"
	"github.com/gotapi/gotapi-ws/services/tlsfiles"
)

// redisFiles are the files of the login at Redis; nil: there is none.
type redisFiles struct {
	tls                        *tlsfiles.Files
	password, sentinelPassword *secretfile.File
}

// openRedisFiles reads the files.
func (c *Config) openRedisFiles(log *slog.Logger, reg prometheus.Registerer) (files redisFiles, err error) {
	if files.password, err = secretfile.Open("-redis-password-file", c.RedisPasswordFile, nil, log); err != nil {
		return redisFiles{}, err
	}
	if files.sentinelPassword, err = secretfile.Open("-redis-sentinel-password-file", c.RedisSentinelPasswordFile, nil, log); err != nil {
		return redisFiles{}, err
	}
	if c.RedisTLS != (tlsfiles.Paths{}) || c.RedisTLSServerName != "" {
		files.tls, err = tlsfiles.Open(c.RedisTLS, "redis", log, reg)
		if err != nil {
			return redisFiles{}, fmt.Errorf("-redis-tls-ca, -redis-tls-cert, -redis-tls-key: %w", err)
		}
	}
	return files, nil
}

// login uses the files as they are when a connection is made.
func (f *redisFiles) login(serverName string) (login redisstore.Login) {
	if f.password != nil {
		login.Password = f.password.Text
	}
	if f.sentinelPassword != nil {
		login.SentinelPassword = f.sentinelPassword.Text
	}
	if f.tls != nil {
		login.TLS = func() *tls.Config { return f.tls.Client(serverName) }
	}
	return login
}

// openStore opens the store, which uses files and settings of groups.
func (c *Config) openStore(ctx context.Context, files *redisFiles, groups *groupsettings.File, log *slog.Logger, reg prometheus.Registerer) (*redisstore.Store, error) {
	opts := c.store(groups)
	opts.Connection.Login = files.login(c.RedisTLSServerName)
	return redisstore.Open(ctx, opts, log, reg)
}

// checkRedisFiles returns an error if the files that openRedisFiles reads are invalid.
func (c *Config) checkRedisFiles() error {
	var wrong config.Errors
	_, err := secretfile.Open("-redis-password-file", c.RedisPasswordFile, nil, nil)
	wrong.Add(err)
	_, err = secretfile.Open("-redis-sentinel-password-file", c.RedisSentinelPasswordFile, nil, nil)
	wrong.Add(err)
	if err := tlsfiles.Check(c.RedisTLS); err != nil {
		wrong.Add(fmt.Errorf("-redis-tls-ca, -redis-tls-cert, -redis-tls-key: %w", err))
	}
	return wrong.Err()
}
