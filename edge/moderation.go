package edge

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/gotapi/gotapi-ws/hooks"
)

// moderatedKey is the metadata key by which history services learn that a hook reviews
// what is published over the edge.
const moderatedKey = "gotapi-moderated"

// withModeration tells history services whether the edge has a hook before publishing. They
// can then report that packets published over gRPC bypass it.
func withModeration(h *hooks.Hooks) []grpc.DialOption {
	if h == nil || h.Before == nil {
		return nil
	}
	return []grpc.DialOption{grpc.WithChainStreamInterceptor(func(
		ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		return open(metadata.AppendToOutgoingContext(ctx, moderatedKey, "1"), desc, conn, method, opts...)
	})}
}
