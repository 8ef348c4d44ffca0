package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// Login is how we show who we are to Redis, and how we know that it is it.
// Everything is optional.
type Login struct {
	// Instead of the passwords in the URL, which shows in lists of processes.
	Password, SentinelPassword string
	// TLS returns the settings of a new connection, of which the caller is the
	// owner; nil: authorities of the machine. It counts for the schemes rediss...
	// only. Without a ServerName a certificate must be for the host that is dialled.
	TLS func() *tls.Config
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer returns what dials over TLS; nil if the URL does not ask for that, so
// that asked is nil.
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

// hint says what may be wrong where a server hangs up without a word.
func (s *Store) hint(err error) string {
	if !s.tls && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
		return " (does it want TLS? then the URL begins with rediss)"
	}
	return ""
}
