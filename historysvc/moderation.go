package historysvc

import (
	"log/slog"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// moderatedKey is the metadata key with which edges report that a hook reviews their
// publications.
const moderatedKey = "gotapi-moderated"

// warnUnmoderated returns an interceptor for a service without a hook before
// publishing: it warns once if an edge has one.
func warnUnmoderated(log *slog.Logger) grpc.StreamServerInterceptor {
	var once sync.Once
	return func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if md, _ := metadata.FromIncomingContext(stream.Context()); len(md[moderatedKey]) > 0 {
			once.Do(func() {
				log.WarnContext(stream.Context(), "edges have a hook before publishing and this service has none: messages published over gRPC are not reviewed",
					"setting", "hook-before-url", "see", "docs/security.md")
			})
		}
		return handler(srv, stream)
	}
}
