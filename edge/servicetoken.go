package edge

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/gotapi/gotapi-ws/access"
)

// serviceToken shows history services that the edge is one of ours.
type serviceToken struct{ authorizer *access.Authorizer }

var _ credentials.PerRPCCredentials = serviceToken{}

// withServiceToken makes a connection show the token, if there is one.
func withServiceToken(authorizer *access.Authorizer) []grpc.DialOption {
	if !authorizer.ChecksServices() {
		return nil
	}
	return []grpc.DialOption{grpc.WithPerRPCCredentials(serviceToken{authorizer})}
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (s serviceToken) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + s.authorizer.ServiceToken()}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials. In a private
// network the token may be sent without TLS (docs/security.md).
func (serviceToken) RequireTransportSecurity() bool { return false }
