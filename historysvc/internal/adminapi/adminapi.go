// Package adminapi serves gotapi.admin.v1.AdminService, the API for operators, to internal
// services and to the edges' REST interface. It checks requests and the caller's rights,
// converts, and leaves the rest to the store.
package adminapi

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/access/grpcstatus"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/rpc"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	adminv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/admin/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/services/alarm"
	"github.com/gotapi/gotapi-ws/services/program"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// Bounds of the answers.
const (
	maxEdges          = 1000
	maxStoredGroups   = 1000
	usualStoredGroups = 500
)

// alertRedisDown is an alert of docs/operations.md.
const alertRedisDown = "GotapiRedisDown"

// Fleet is this service among the edges; *relayserver.Server in production.
type Fleet interface {
	// Host is where this service listens, for people.
	Host() string
	// Edges have streams here.
	Edges() []*relayv1.Edge
	// Alarms are about this service itself.
	Alarms() []alarm.Alarm
}

// Service implements gotapi.admin.v1.AdminService.
type Service struct {
	adminv1.UnimplementedAdminServiceServer

	store  history.Admin
	census history.Census
	fleet  Fleet
	config func(group.Name) groupsettings.Explanation
	build  program.Build
	began  time.Time
	log    *slog.Logger
}

// New returns a Service. Its uptime begins now. config returns the settings of a group.
func New(store history.Admin, census history.Census, fleet Fleet, config func(group.Name) groupsettings.Explanation, b program.Build, log *slog.Logger) *Service {
	return &Service{store: store, census: census, fleet: fleet, config: config, build: b, began: time.Now(), log: log}
}

func (s *Service) status(ctx context.Context, err error) error { return rpc.Status(ctx, s.log, err) }

// groupToAdminister returns the group that a request names, if the caller may administer
// it.
func groupToAdminister(ctx context.Context, name string) (group.Name, error) {
	g, err := rpc.ParseGroup(name)
	if err != nil {
		return "", err
	}
	return g, grpcstatus.Of(access.FromContext(ctx).May(access.Admin, g))
}

// GetStatus implements adminv1.AdminServiceServer.
func (s *Service) GetStatus(ctx context.Context, _ *adminv1.GetStatusRequest) (*adminv1.GetStatusResponse, error) {
	if err := access.FromContext(ctx).MayAdminister(); err != nil {
		return nil, grpcstatus.Of(err)
	}
	response := &adminv1.GetStatusResponse{Service: &adminv1.Service{
		Version: s.build.Version, Commit: s.build.Commit, Host: s.fleet.Host(), UptimeSeconds: int64(time.Since(s.began).Seconds()),
	}}
	for _, a := range s.fleet.Alarms() {
		raise(response, a)
	}
	edges, err := s.addStore(ctx, response)
	switch {
	case errors.Is(err, history.ErrUnavailable):
		response.Store = nil
		for _, a := range alarm.Of("history service "+s.fleet.Host(), alarm.Alarm{Name: alertRedisDown, Text: err.Error() +
			": restart Redis or fail over; never replace it with an empty one"}) {
			raise(response, a)
		}
	case err != nil:
		return nil, s.status(ctx, err)
	}
	s.addEdges(response, edges)
	return response, nil
}

func raise(response *adminv1.GetStatusResponse, a alarm.Alarm) {
	response.Alarms = append(response.Alarms, &adminv1.Alarm{Name: a.Name, Text: a.Text})
}

// addStore adds the store and its alarms, even if it returns an error. It returns the edges
// that report members.
func (s *Service) addStore(ctx context.Context, response *adminv1.GetStatusResponse) ([]history.Edge, error) {
	c, err := s.store.Condition(ctx)
	for _, a := range c.Alarms {
		raise(response, alarm.Alarm{Name: a.Name, Text: a.Text})
	}
	if err != nil {
		return nil, err
	}
	response.Store = &adminv1.Store{
		Kind: c.Kind, Version: c.Version, Mode: c.Mode, Nodes: int32(c.Nodes),
		UsedBytes: c.UsedBytes, MaxBytes: c.MaxBytes, EvictionPolicy: c.EvictionPolicy, EvictedKeys: c.EvictedKeys,
		Clients: c.Clients, Replicas: c.Replicas, UptimeSeconds: int64(c.Uptime.Seconds()),
	}
	return s.census.Edges(ctx, maxEdges)
}

// addEdges adds the edges that report members, and those that have streams here, with what
// these say of themselves.
func (s *Service) addEdges(response *adminv1.GetStatusResponse, reporting []history.Edge) {
	byID := make(map[string]*adminv1.Edge)
	for _, e := range reporting {
		byID[e.ID] = &adminv1.Edge{Id: e.ID, Members: int64(e.Members), Groups: int32(e.Groups)}
	}
	for _, e := range s.fleet.Edges() {
		id := strconv.FormatUint(e.GetEdge(), 16)
		if byID[id] == nil {
			byID[id] = &adminv1.Edge{Id: id}
		}
		byID[id].Version, byID[id].Commit, byID[id].Host = e.GetVersion(), e.GetCommit(), e.GetHost()
		for _, a := range e.GetAlarms() {
			raise(response, alarm.Alarm{Name: a.GetName(), Text: a.GetText()})
		}
	}
	response.Edges = slices.SortedFunc(maps.Values(byID), func(a, b *adminv1.Edge) int { return cmp.Compare(a.GetId(), b.GetId()) })
	response.Edges = response.GetEdges()[:min(len(response.GetEdges()), maxEdges)]
}

// GetGroup implements adminv1.AdminServiceServer.
func (s *Service) GetGroup(ctx context.Context, r *adminv1.GetGroupRequest) (*adminv1.GetGroupResponse, error) {
	g, err := groupToAdminister(ctx, r.GetGroupName())
	if err != nil {
		return nil, err
	}
	found, err := s.store.Inspect(ctx, g)
	if err != nil {
		return nil, s.status(ctx, err)
	}
	members, err := s.census.MembersOf(ctx, g)
	if err != nil {
		return nil, s.status(ctx, err)
	}
	return &adminv1.GetGroupResponse{
		GroupName: string(g), Members: int64(members), Messages: int64(found.Messages), Bytes: found.Bytes,
		Seq: found.Seq, Recalls: found.Changes, OldestAt: seconds(found.Oldest), NewestAt: seconds(found.Newest),
		ExpiresIn: int64(found.ExpiresIn.Seconds()),
	}, nil
}

// seconds is the Unix time; 0 if t is unknown.
func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// ListStoredGroups implements adminv1.AdminServiceServer.
func (s *Service) ListStoredGroups(ctx context.Context, r *adminv1.ListStoredGroupsRequest) (*adminv1.ListStoredGroupsResponse, error) {
	id := access.FromContext(ctx)
	if err := id.MayAdminister(); err != nil {
		return nil, grpcstatus.Of(err)
	}
	size := int(r.GetSize())
	switch {
	case size == 0:
		size = usualStoredGroups
	case size < 0 || size > maxStoredGroups:
		return nil, rpc.BadField("size", "must be 1 to 1000")
	}
	groups, next, err := s.store.StoredGroups(ctx, r.GetPage(), size)
	if err != nil {
		return nil, s.status(ctx, err)
	}
	response := &adminv1.ListStoredGroupsResponse{Next: next}
	for _, g := range groups {
		if id.May(access.Admin, g.Name) != nil {
			continue
		}
		response.Groups = append(response.Groups, &adminv1.StoredGroup{Name: string(g.Name), Messages: int64(g.Messages), Bytes: g.Bytes, Seq: g.Seq})
	}
	return response, nil
}

// Purge implements adminv1.AdminServiceServer.
func (s *Service) Purge(ctx context.Context, r *adminv1.PurgeRequest) (*adminv1.PurgeResponse, error) {
	g, err := groupToAdminister(ctx, r.GetGroupName())
	if err != nil {
		return nil, err
	}
	n, err := s.store.Purge(ctx, g)
	if err != nil {
		return nil, s.status(ctx, err)
	}
	s.log.WarnContext(ctx, "group purged", "group", g, "messages", n, "caller", access.FromContext(ctx).Name())
	return &adminv1.PurgeResponse{Messages: int64(n)}, nil
}

// GetConfig implements adminv1.AdminServiceServer.
func (s *Service) GetConfig(ctx context.Context, r *adminv1.GetConfigRequest) (*adminv1.GetConfigResponse, error) {
	g, err := groupToAdminister(ctx, r.GetGroupName())
	if err != nil {
		return nil, err
	}
	e := s.config(g)
	config := &adminv1.GroupConfig{Host: e.Host, File: e.File, Entry: int32(e.Entry), Match: e.Match, Refused: e.Refused}
	for _, v := range e.Settings {
		config.Settings = append(config.Settings, &adminv1.Setting{Name: v.Name, Value: v.Value, From: v.From})
	}
	return &adminv1.GetConfigResponse{GroupName: string(g), Config: config}, nil
}
