package historyapi

import (
	"context"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/access/grpcstatus"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/hooks"
)

// askHook lets the hook allow, deny or rewrite p. It returns the packet as hooks
// see it; nil without hooks.
func (s *Service) askHook(ctx context.Context, p *history.Publication) (*hooks.Packet, error) {
	if s.opts.Hooks == nil {
		return nil, nil
	}
	packet := packetOf(ctx, p)
	rewrite, err := s.opts.Hooks.Before.Review(ctx, packet, s.opts.MaxMessageBytes)
	if err != nil {
		return nil, grpcstatus.Of(err)
	}
	if rewrite != nil {
		p.Kind, p.Payload = rewrite.Kind, rewrite.Body
	}
	return packet, nil
}

func packetOf(ctx context.Context, p *history.Publication) *hooks.Packet {
	return hooks.NewPacket(string(p.Group), hooks.Caller{User: access.FromContext(ctx).Name(), By: p.By}, hooks.GRPC, p.Kind, p.UUID, p.Payload)
}
