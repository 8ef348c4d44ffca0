package historyapi

import (
	"context"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/access/grpcstatus"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/hooks"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
)

// askHook lets the hook allow, deny or rewrite p, if the group wants that. It returns the
// packet as hooks see it; nil without hooks.
func (s *Service) askHook(ctx context.Context, p *history.Publication, settings *groupsettings.Entry) (*hooks.Packet, error) {
	if s.opts.Hooks == nil {
		return nil, nil
	}
	packet := packetOf(ctx, p)
	if !settings.AsksHook() {
		return packet, nil
	}
	rewrite, err := s.opts.Hooks.Before.Review(ctx, packet, settings.MaxBytes(s.opts.MaxMessageBytes))
	if err != nil {
		return nil, grpcstatus.Of(err)
	}
	if rewrite != nil {
		p.Kind, p.Payload = rewrite.Kind, rewrite.Body
	}
	return packet, nil
}

func packetOf(ctx context.Context, p *history.Publication) *hooks.Packet {
	from := hooks.Caller{User: access.FromContext(ctx).Name(), By: p.By}
	return hooks.NewPacket(string(p.Group), from, hooks.GRPC, p.Kind, p.UUID, p.Payload)
}
