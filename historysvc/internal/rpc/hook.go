package rpc

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/hooks"
)

// ask lets the hook allow, deny or rewrite p. It returns the packet as hooks see
// it; nil without hooks.
func (s *History) ask(ctx context.Context, p *history.Publication) (*hooks.Packet, error) {
	if s.opts.Hooks == nil {
		return nil, nil
	}
	packet := hooks.NewPacket(string(p.Group), access.FromContext(ctx).Name(), hooks.GRPC, p.Kind, p.UUID, p.Payload)
	v := s.opts.Hooks.Before.Ask(ctx, packet)
	switch v.Action {
	case hooks.Allow:
		return packet, nil
	case hooks.Rewrite:
		body, kind, ok := packet.Rewrite(v.Text, s.opts.MaxMessageBytes)
		if !ok {
			s.log.WarnContext(ctx, "the hook rewrites a packet into one that cannot take its place", "group", p.Group)
			return nil, status.Error(codes.PermissionDenied, "the message was not allowed")
		}
		p.Payload, p.Kind = body, kind
		return packet, nil
	case hooks.Busy:
		return nil, status.Error(codes.ResourceExhausted, "too much is waiting to be checked")
	case hooks.Fail:
		return nil, status.Error(codes.Unavailable, "the message cannot be checked now")
	default:
		return nil, status.Error(codes.PermissionDenied, v.Reason)
	}
}
