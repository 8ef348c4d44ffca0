package historysvc

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gotapi/gotapi-ws/services/health"
	"github.com/gotapi/gotapi-ws/services/tlsfiles"
)

// secure is the TLS of the gRPC server, or that to Redis; files is nil if it has none.
type secure struct{ files *tlsfiles.Files }

func (c *Config) openTLS(log *slog.Logger, reg prometheus.Registerer) (secure, error) {
	if c.TLS.Cert == "" {
		return secure{}, nil
	}
	files, err := tlsfiles.Open(c.TLS, "grpc", log, reg)
	if err != nil {
		return secure{}, fmt.Errorf("-grpc-tls-cert, -grpc-tls-key, -grpc-tls-client-ca: %w", err)
	}
	return secure{files}, nil
}

// useFiles uses what the files of all hold now, until ctx ends. It looks at them
// from time to time, and at each reload.
func useFiles(ctx context.Context, reloads <-chan *Config, all ...secure) error {
	var files []*tlsfiles.Files
	for _, s := range all {
		if s.files != nil {
			files = append(files, s.files)
		}
	}
	var looking sync.WaitGroup
	looking.Go(func() { _ = tlsfiles.RunAll(ctx, files...) }) // returns nil
	defer looking.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-reloads:
			for _, f := range files {
				_ = f.Reload() // is in the log
			}
		}
	}
}

func (s secure) options() []grpc.ServerOption {
	if s.files == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.Creds(exempting{s.files.ServerCredentials()})}
}

// within marks the connections of a listener as those of this very process.
type within struct{ net.Listener }

type withinConn struct{ net.Conn }

// Accept implements net.Listener.
func (l within) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return withinConn{conn}, nil
}

// exempting does without TLS where nothing leaves the process.
type exempting struct {
	credentials.TransportCredentials
}

// ServerHandshake implements credentials.TransportCredentials.
func (e exempting) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if _, ok := conn.(withinConn); ok {
		return insecure.NewCredentials().ServerHandshake(conn)
	}
	return e.TransportCredentials.ServerHandshake(conn)
}

// Clone implements credentials.TransportCredentials.
func (e exempting) Clone() credentials.TransportCredentials {
	return exempting{e.TransportCredentials.Clone()}
}

// Probe asks the service that runs with the same settings whether it is well.
func (c *Config) Probe(ctx context.Context) error {
	addr, err := health.Local(c.Listen)
	if err != nil {
		return err
	}
	if c.TLS.Cert == "" {
		return health.GRPC(ctx, addr, nil)
	}
	own, err := tlsfiles.Itself(c.TLS)
	if err != nil {
		return err
	}
	return health.GRPC(ctx, addr, own)
}
