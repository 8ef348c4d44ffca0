package historyapi

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/access/grpcstatus"
	"github.com/gotapi/gotapi-ws/historysvc/internal/rpc"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// SetTTL implements historyv1.HistoryServiceServer.
func (s *Service) SetTTL(ctx context.Context, r *historyv1.SetTTLRequest) (*historyv1.SetTTLResponse, error) {
	g, err := rpc.ParseGroup(r.GetGroupName())
	if err != nil {
		return nil, err
	}
	if err := mayDo(ctx, access.Admin, g); err != nil {
		return nil, err
	}
	if r.GetTtl() < 1 || r.GetTtl() > int64(rpc.MaxTTL/time.Second) {
		return nil, rpc.BadField("ttl", "must be 1 second to 100 years")
	}
	if err := s.store.SetTTL(ctx, g, time.Duration(r.GetTtl())*time.Second); err != nil {
		return nil, s.status(ctx, err)
	}
	return &historyv1.SetTTLResponse{Code: 200, Msg: "set"}, nil
}

// ListGroups implements historyv1.HistoryServiceServer. It leaves out the groups
// that the caller may not administer.
func (s *Service) ListGroups(ctx context.Context, _ *historyv1.ListGroupsRequest) (*historyv1.ListGroupsResponse, error) {
	id := access.FromContext(ctx)
	if err := id.MayAdminister(); err != nil {
		return nil, grpcstatus.Of(err)
	}
	members, err := s.presence.Members(ctx)
	if err != nil {
		return nil, s.status(ctx, err)
	}
	resp := &historyv1.ListGroupsResponse{Code: 200, Groups: make([]*historyv1.Group, 0, len(members))}
	for name, n := range members {
		if id.May(access.Admin, name) != nil {
			continue
		}
		resp.Groups = append(resp.Groups, &historyv1.Group{Name: string(name), Members: int32(n)})
	}
	slices.SortFunc(resp.Groups, func(a, b *historyv1.Group) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return resp, nil
}
