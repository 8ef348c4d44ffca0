package rpc

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/historysvc/internal/feed"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/hooks"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// maxPages bounds the pages that are read at one time: each may be of 8 MiB.
// Others wait their turn, as long as their callers do.
const maxPages = 64

// maxTTL is the longest expiry that SetTTL takes: 100 years.
const maxTTL = 100 * 365 * 24 * time.Hour

// HistoryOptions are the settings of a History.
type HistoryOptions struct {
	// The longest packet that Publish takes.
	MaxMessageBytes int
	// Asked before Publish and told after it; may be nil.
	Hooks *hooks.Hooks
	// Makes spans of publications that are traced; nil: none.
	Tracer trace.Tracer
}

// History implements gotapi.history.v1.HistoryService.
type History struct {
	historyv1.UnimplementedHistoryServiceServer

	store    history.Log
	presence history.Presence
	hub      *feed.Hub
	opts     HistoryOptions
	log      *slog.Logger
	drain    drain
	pages    chan struct{}

	// This process as a publisher, and its last publish.
	edge      uint64
	published atomic.Uint64
}

// NewHistory makes a History.
func NewHistory(store history.Log, presence history.Presence, hub *feed.Hub, opts HistoryOptions, log *slog.Logger) *History {
	return &History{
		store: store, presence: presence, hub: hub, opts: opts, log: log,
		drain: newDrain(), pages: make(chan struct{}, maxPages), edge: newEdgeID(),
	}
}

// Drain ends the watches, now and from now on. Other calls are served.
func (s *History) Drain() { s.drain.begin() }

// GetHistory implements historyv1.HistoryServiceServer.
func (s *History) GetHistory(ctx context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
	g, err := groupOf(r.GetGroupName())
	if err != nil {
		return nil, err
	}
	if err := may(ctx, access.Read, g); err != nil {
		return nil, err
	}
	q, err := queryOf(r)
	if err != nil {
		return nil, err
	}
	select {
	case s.pages <- struct{}{}:
		defer func() { <-s.pages }()
	case <-ctx.Done():
		return nil, statusOf(ctx, s.log, history.ErrBusy)
	}
	page, err := s.store.Page(ctx, g, q)
	if err != nil {
		return nil, statusOf(ctx, s.log, err)
	}
	resp := &historyv1.GetHistoryResponse{
		Code: 200, Position: r.GetPosition(), Data: page.Texts, Etag: page.Version, NotModified: page.Unmodified,
	}
	if page.More {
		next := int32(page.Next)
		resp.Next = &next
	}
	return resp, nil
}

func queryOf(r *historyv1.GetHistoryRequest) (history.Query, error) {
	q := history.Query{
		Position: int(r.GetPosition()), Size: history.DefaultPageSize,
		Before: r.GetBefore(), After: r.GetAfter(),
		Versioned: r.IfNoneMatch != nil, Known: r.GetIfNoneMatch(),
	}
	if r.Size != nil {
		q.Size = int(r.GetSize())
	}
	switch {
	case q.Size < 0 || q.Size > history.MaxPageSize:
		return q, badField("size", "must be 0 to 10000")
	case q.Before != "" && q.After != "":
		return q, badField("after", "cannot be combined with before")
	case q.Position != 0 && (q.Before != "" || q.After != ""):
		return q, badField("position", "cannot be combined with before or after")
	case len(q.Before) > packet.MaxUUID:
		return q, badField("before", uuidRule)
	case len(q.After) > packet.MaxUUID:
		return q, badField("after", uuidRule)
	}
	return q, nil
}

// Cancel implements historyv1.HistoryServiceServer.
func (s *History) Cancel(ctx context.Context, r *historyv1.CancelRequest) (*historyv1.CancelResponse, error) {
	g, err := groupOf(r.GetGroupName())
	if err != nil {
		return nil, err
	}
	if u := r.GetUuid(); u == "" || len(u) > packet.MaxUUID {
		return nil, badField("uuid", uuidRule)
	}
	limit, err := recallLimit(ctx, g)
	if err != nil {
		return nil, err
	}
	if err := s.store.Recall(ctx, g, r.GetUuid(), limit); err != nil {
		return nil, statusOf(ctx, s.log, err)
	}
	return &historyv1.CancelResponse{Code: 200, Msg: "recalled"}, nil
}

// SetTTL implements historyv1.HistoryServiceServer.
func (s *History) SetTTL(ctx context.Context, r *historyv1.SetTTLRequest) (*historyv1.SetTTLResponse, error) {
	g, err := groupOf(r.GetGroupName())
	if err != nil {
		return nil, err
	}
	if err := may(ctx, access.Admin, g); err != nil {
		return nil, err
	}
	if r.GetTtl() < 1 || r.GetTtl() > int64(maxTTL/time.Second) {
		return nil, badField("ttl", "must be 1 second to 100 years")
	}
	if err := s.store.SetTTL(ctx, g, time.Duration(r.GetTtl())*time.Second); err != nil {
		return nil, statusOf(ctx, s.log, err)
	}
	return &historyv1.SetTTLResponse{Code: 200, Msg: "set"}, nil
}

// ListGroups implements historyv1.HistoryServiceServer. It leaves out what the
// caller may not administer.
func (s *History) ListGroups(ctx context.Context, _ *historyv1.ListGroupsRequest) (*historyv1.ListGroupsResponse, error) {
	id := access.FromContext(ctx)
	if err := id.MayAdminister(); err != nil {
		return nil, denied(err)
	}
	members, err := s.presence.Members(ctx)
	if err != nil {
		return nil, statusOf(ctx, s.log, err)
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

const uuidRule = "must be 1 to 128 bytes"

// groupOf checks the name of a group that is to be read or changed: the lobby
// and the timer keep nothing.
func groupOf(name string) (group.Name, error) {
	g, err := group.Parse(name)
	switch {
	case err != nil:
		return "", badField("group_name", err.Error())
	case !g.Publishable():
		return "", badField("group_name", "this group keeps nothing")
	}
	return g, nil
}
