package gotapirpc

import (
	"context"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	adminv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/admin/v1"
)

// Status describes the store and the services; see gotapi.Client.Status.
func (c *Client) Status(ctx context.Context) (gotapi.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.admin.GetStatus(ctx, &adminv1.GetStatusRequest{})
	if err != nil {
		return gotapi.Status{}, toError(err)
	}
	s := r.GetStore()
	all := gotapi.Status{
		Store: gotapi.StoreStatus{
			Kind: s.GetKind(), Version: s.GetVersion(), Mode: s.GetMode(), Nodes: int(s.GetNodes()),
			UsedBytes: s.GetUsedBytes(), MaxBytes: s.GetMaxBytes(), EvictionPolicy: s.GetEvictionPolicy(), EvictedKeys: s.GetEvictedKeys(),
			Clients: s.GetClients(), Replicas: s.GetReplicas(), Uptime: s.GetUptimeSeconds(),
		},
		Service:  gotapi.ServiceStatus{Host: r.GetService().GetHost(), Version: r.GetService().GetVersion(), Commit: r.GetService().GetCommit(), Uptime: r.GetService().GetUptimeSeconds()},
		Services: []gotapi.ServiceProcess{},
		Edges:    []gotapi.EdgeStatus{}, Alarms: []gotapi.Alarm{}, // in JSON: [], as over HTTP
	}
	for _, e := range r.GetEdges() {
		all.Edges = append(all.Edges, gotapi.EdgeStatus{
			ID: e.GetId(), Host: e.GetHost(), Version: e.GetVersion(), Commit: e.GetCommit(),
			Members: e.GetMembers(), Groups: int(e.GetGroups()),
		})
	}
	for _, a := range r.GetAlarms() {
		all.Alarms = append(all.Alarms, gotapi.Alarm{Name: a.GetName(), Text: a.GetText()})
	}
	return all, nil
}

// Group describes one group; see gotapi.Client.Group.
func (c *Client) Group(ctx context.Context, group string) (gotapi.GroupReport, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.admin.GetGroup(ctx, &adminv1.GetGroupRequest{GroupName: group})
	if err != nil {
		return gotapi.GroupReport{}, toError(err)
	}
	return gotapi.GroupReport{
		Group: r.GetGroupName(), Members: r.GetMembers(), Messages: r.GetMessages(), Bytes: r.GetBytes(), Seq: r.GetSeq(), Recalls: r.GetRecalls(),
		OldestAt: r.GetOldestAt(), NewestAt: r.GetNewestAt(), ExpiresIn: r.GetExpiresIn(),
	}, nil
}

// Config returns the settings of a group; see gotapi.Client.Config. Those of an edge are
// zero: no edge is asked.
func (c *Client) Config(ctx context.Context, group string) (gotapi.GroupConfig, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.admin.GetConfig(ctx, &adminv1.GetConfigRequest{GroupName: group})
	if err != nil {
		return gotapi.GroupConfig{}, toError(err)
	}
	s := r.GetConfig()
	service := gotapi.ProcessConfig{Host: s.GetHost(), File: s.GetFile(), Entry: int(s.GetEntry()), Match: s.GetMatch(), Refused: s.GetRefused()}
	for _, one := range s.GetSettings() {
		service.Settings = append(service.Settings, gotapi.Setting{Name: one.GetName(), Value: one.GetValue(), From: one.GetFrom()})
	}
	return gotapi.GroupConfig{Group: r.GetGroupName(), Service: service}, nil
}

// StoredGroups returns one page of the groups that have messages; see
// gotapi.Client.StoredGroups.
func (c *Client) StoredGroups(ctx context.Context, page string) (groups []gotapi.StoredGroup, next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.admin.ListStoredGroups(ctx, &adminv1.ListStoredGroupsRequest{Page: page})
	if err != nil {
		return nil, "", toError(err)
	}
	for _, g := range r.GetGroups() {
		groups = append(groups, gotapi.StoredGroup{Name: g.GetName(), Messages: g.GetMessages(), Bytes: g.GetBytes(), Seq: g.GetSeq()})
	}
	return groups, r.GetNext(), nil
}

// Purge deletes all messages of a group; see gotapi.Client.Purge.
func (c *Client) Purge(ctx context.Context, group string) (messages int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.admin.Purge(ctx, &adminv1.PurgeRequest{GroupName: group})
	return r.GetMessages(), toError(err)
}
