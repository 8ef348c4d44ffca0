package edge

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/gotapi/gotapi-ws/access"
)

// serviceToken shows history services that the edge is one of ours.
type serviceToken struct{ guard *access.Guard }

var _ credentials.PerRPCCredentials = serviceToken{}

// showing are the options of a connection that shows the token, if there is one.
func showing(guard *access.Guard) []grpc.DialOption {
	if !guard.ChecksServices() {
		return nil
	}
	return []grpc.DialOption{grpc.WithPerRPCCredentials(serviceToken{guard})}
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (s serviceToken) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + s.guard.ServiceToken()}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: within a
// network of one's own the token may do without TLS (docs/security.md).
func (serviceToken) RequireTransportSecurity() bool { return false }
