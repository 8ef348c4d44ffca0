package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// Login is how the service authenticates to Redis, and Redis to the service.
// Everything is optional.
type Login struct {
	// Passwords of each new connection, instead of those in the URL, which shows in
	// lists of processes; nil: none.
	Password, SentinelPassword func() string
	// TLS returns the settings of a new connection, which the caller owns; nil:
	// authorities of the machine. It applies to the schemes rediss... only. Without a
	// ServerName a certificate must be for the host that is dialled.
	TLS func() *tls.Config
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer dials over TLS; nil if asked is, since the URL does not ask for TLS.
func (l *Login) dialer(asked *tls.Config, timeout time.Duration) dialFunc {
	if asked == nil {
		return nil
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		settings := &tls.Config{MinVersion: tls.VersionTLS12}
		if l.TLS != nil {
			settings = l.TLS()
		}
		settings.InsecureSkipVerify = asked.InsecureSkipVerify //nolint:gosec // only if the URL says skip_verify
		if settings.ServerName == "" {
			settings.ServerName, _, _ = net.SplitHostPort(addr)
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		secure := tls.Client(conn, settings)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			// Nothing was sent: no command can have been executed.
			return nil, &net.OpError{Op: "dial", Net: network, Addr: conn.RemoteAddr(), Err: fmt.Errorf("tls handshake: %w", err)}
		}
		return secure, nil
	}
}

// credentials are those of each new connection, for a user.
func (l *Login) credentials(user string) func(context.Context) (string, string, error) {
	return func(context.Context) (string, string, error) { return user, l.Password(), nil }
}

// loginAtSentinel authenticates new connections to Sentinels. go-redis has no function
// for their password, but calls this one for all connections, those to Redis too.
func (l *Login) loginAtSentinel(user string) func(context.Context, *redis.Conn) error {
	return func(ctx context.Context, conn *redis.Conn) error {
		switch {
		case strings.Contains(conn.String(), "FailoverClient"): // what go-redis calls the address of Redis
			return nil
		case user == "":
			return conn.Auth(ctx, l.SentinelPassword()).Err()
		default:
			return conn.AuthACL(ctx, user, l.SentinelPassword()).Err()
		}
	}
}

// hint suggests a cause if a server closes the connection without an answer.
func (c *Conn) hint(err error) string {
	if !c.tls && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
		return " (if it requires TLS, use a URL with rediss://)"
	}
	return ""
}
