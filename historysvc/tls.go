package historysvc

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gotapi/gotapi-ws/hooks"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	"github.com/gotapi/gotapi-ws/internal/secretfile"
	"github.com/gotapi/gotapi-ws/services/health"
	"github.com/gotapi/gotapi-ws/services/tlsfiles"
)

// openTLS returns the files of TLS of the gRPC server; nil if it has none.
func (c *Config) openTLS(log *slog.Logger, reg prometheus.Registerer) (*tlsfiles.Files, error) {
	if c.TLS.Cert == "" {
		return nil, nil //nolint:nilnil // see above
	}
	files, err := tlsfiles.Open(c.TLS, "grpc", log, reg)
	if err != nil {
		return nil, fmt.Errorf("-grpc-tls-cert, -grpc-tls-key, -grpc-tls-client-ca: %w", err)
	}
	return files, nil
}

// tlsOptions returns the options of a gRPC server with these files, which may be
// nil.
func tlsOptions(files *tlsfiles.Files) []grpc.ServerOption {
	if files == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.Creds(withPlainInProcess{files.ServerCredentials()})}
}

// reloadFiles reads the files again from time to time, and also the secret of hooks
// and the settings of groups at each reload, until ctx ends. Any of them may be nil.
func reloadFiles(ctx context.Context, reloads <-chan *Config, hook *hooks.Hooks, groups *groupsettings.File, certs []*tlsfiles.Files, secrets []*secretfile.File) error {
	certs = slices.DeleteFunc(certs, func(f *tlsfiles.Files) bool { return f == nil })
	var watching sync.WaitGroup
	watching.Go(func() { _ = tlsfiles.RunAll(ctx, certs...) }) // returns nil
	for _, f := range secrets {
		watching.Go(func() { f.Run(ctx) })
	}
	defer watching.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-reloads:
			hook.Reload()
			groups.Reload()
			for _, f := range secrets {
				f.Reload()
			}
			for _, f := range certs {
				_ = f.Reload() // logs its failure
			}
		}
	}
}

// inProcessListener accepts connections that do not leave this process.
type inProcessListener struct{ net.Listener }

type inProcessConn struct{ net.Conn }

// Accept implements net.Listener.
func (l inProcessListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return inProcessConn{conn}, nil
}

// withPlainInProcess uses no TLS on connections that do not leave this process.
type withPlainInProcess struct {
	credentials.TransportCredentials
}

// ServerHandshake implements credentials.TransportCredentials.
func (w withPlainInProcess) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if _, ok := conn.(inProcessConn); ok {
		return insecure.NewCredentials().ServerHandshake(conn)
	}
	return w.TransportCredentials.ServerHandshake(conn)
}

// Clone implements credentials.TransportCredentials.
func (w withPlainInProcess) Clone() credentials.TransportCredentials {
	return withPlainInProcess{w.TransportCredentials.Clone()}
}

// Probe returns nil if the service that runs with the same settings is healthy.
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
