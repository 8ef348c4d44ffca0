package tlsfiles

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
)

// ServerCredentials are those of a gRPC server.
func (f *Files) ServerCredentials() credentials.TransportCredentials {
	return &serverCredentials{credentials.NewTLS(f.Server("h2")), f}
}

// serverCredentials report refusals.
type serverCredentials struct {
	credentials.TransportCredentials
	files *Files
}

// ServerHandshake implements credentials.TransportCredentials.
func (c *serverCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secure, info, err := c.TransportCredentials.ServerHandshake(conn)
	if err != nil {
		c.files.failed(conn, err)
	}
	return secure, info, err
}

// failed reports what gRPC keeps to itself.
func (f *Files) failed(conn net.Conn, err error) {
	f.metrics.handshakes.Inc()
	f.log.Warn("tls handshake failed", "use", f.use, "peer", conn.RemoteAddr().String(), "error", err)
}

// Clone implements credentials.TransportCredentials.
func (c *serverCredentials) Clone() credentials.TransportCredentials {
	return &serverCredentials{c.TransportCredentials.Clone(), c.files}
}

// ClientCredentials are those of a gRPC client. The server's certificate must
// be for serverName; when that is "", for the host of the target.
func (f *Files) ClientCredentials(serverName string) credentials.TransportCredentials {
	return &clientCredentials{credentials.NewTLS(f.present.Load().client(serverName)), f, serverName}
}

// clientCredentials make new settings for each connection.
type clientCredentials struct {
	credentials.TransportCredentials
	files      *Files
	serverName string
}

// ClientHandshake implements credentials.TransportCredentials.
func (c *clientCredentials) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	now := credentials.NewTLS(c.files.present.Load().client(c.serverName))
	secure, info, err := now.ClientHandshake(ctx, authority, conn)
	if err != nil {
		if ctx.Err() == nil {
			c.files.failed(conn, err)
		}
		return nil, nil, err
	}
	return &greetedConn{Conn: secure, files: c.files}, info, nil
}

// greetedConn is a connection of a client whose handshake is over. With TLS 1.3
// the server's verdict on the client's certificate comes only after it, where
// the first bytes are expected: an alert, or just the end of the connection.
type greetedConn struct {
	net.Conn
	files *Files
	// Something has come from the server, or it has been reported that nothing does.
	settled atomic.Bool
}

// Read implements net.Conn.
func (c *greetedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.note(n, err)
	return n, err
}

// Write implements net.Conn.
func (c *greetedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.note(0, err)
	return n, err
}

// note reports an end before anything came, unless it is our own doing.
func (c *greetedConn) note(came int, err error) {
	switch {
	case c.settled.Load():
	case came > 0:
		c.settled.Store(true)
	case err != nil && !errors.Is(err, net.ErrClosed) && !c.settled.Swap(true):
		c.files.failed(c.Conn, err)
	}
}

// Clone implements credentials.TransportCredentials.
func (c *clientCredentials) Clone() credentials.TransportCredentials {
	return &clientCredentials{c.TransportCredentials.Clone(), c.files, c.serverName}
}
