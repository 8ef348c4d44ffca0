package historyapi

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/access/grpcstatus"
	"github.com/gotapi/gotapi-ws/historysvc/internal/auth"
	"github.com/gotapi/gotapi-ws/historysvc/internal/feed"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/rpc"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const (
	maxWatched = 1000
	// maxLast bounds WatchedGroup.last.
	maxLast = 1000
)

// watched is one group of a Watch.
type watched struct {
	group group.Name
	start feed.Start
}

// Watch implements historyv1.HistoryServiceServer. Each group's stream begins with
// Started. A caller that is slower than its groups gets stored packets late, and a Gap in
// place of other packets.
func (s *Service) Watch(r *historyv1.WatchRequest, out historyv1.HistoryService_WatchServer) error {
	groups, err := watchedGroups(r)
	if err != nil {
		return err
	}
	for _, w := range groups {
		if err := mayWatch(out.Context(), &w); err != nil {
			return grpcstatus.InGroup(err, string(w.group))
		}
	}
	held, ok := s.watches.TryAcquire(auth.Caller(out.Context()), callBytes)
	if !ok {
		return s.status(out.Context(), history.ErrBusy)
	}
	q := newWatchQueue(held)
	defer q.end() // after the followers
	for _, w := range groups {
		f := s.hub.NewFollower(w.group, w.start)
		f.Begin(&watcher{group: w.group, queue: q, follower: f})
		defer f.Stop()
	}
	for {
		select {
		case <-out.Context().Done():
			return s.status(out.Context(), out.Context().Err())
		case <-s.drain.Done():
			return grpcstatus.Error(codes.Unavailable, "GOING_DOWN", "the server is going down")
		case <-q.wake:
		}
		responses, failure := q.take()
		for _, resp := range responses {
			if err := out.Send(resp); err != nil {
				return err
			}
		}
		if failure != nil {
			return grpcstatus.InGroup(s.status(out.Context(), failure.err), string(failure.group))
		}
		q.sent(responses)
	}
}

// mayWatch checks the rights that a member needs, with ?after= or without.
func mayWatch(ctx context.Context, w *watched) error {
	if err := mayDo(ctx, access.Join, w.group); err != nil || w.start == (feed.Start{}) {
		return err
	}
	return mayDo(ctx, access.Read, w.group)
}

func watchedGroups(r *historyv1.WatchRequest) ([]watched, error) {
	if n := len(r.GetGroups()); n < 1 || n > maxWatched {
		return nil, rpc.BadField("groups", "must be 1 to 1000 groups")
	}
	all := make([]watched, 0, len(r.GetGroups()))
	seen := make(map[group.Name]bool, len(r.GetGroups()))
	for i, wanted := range r.GetGroups() {
		field := fmt.Sprintf("groups[%d].", i)
		w, err := watchedGroup(field, wanted)
		if err != nil {
			return nil, err
		}
		if seen[w.group] {
			return nil, rpc.BadField(field+"group_name", "this group is named twice")
		}
		seen[w.group] = true
		all = append(all, w)
	}
	return all, nil
}

// watchedGroup checks one group of a request, whose fields have that prefix.
func watchedGroup(prefix string, r *historyv1.WatchedGroup) (watched, error) {
	g, err := rpc.ParseGroupField(prefix+"group_name", r.GetGroupName())
	if err != nil {
		return watched{}, err
	}
	if r.GetLast() > maxLast {
		return watched{}, rpc.BadField(prefix+"last", "must be 0 to 1000")
	}
	w := watched{group: g, start: feed.Start{Last: int(r.GetLast())}}
	switch start := r.GetStart().(type) {
	case *historyv1.WatchedGroup_AfterUuid:
		if err := rpc.CheckUUID(prefix+"after_uuid", start.AfterUuid); err != nil {
			return watched{}, err
		}
		w.start.AfterUUID = start.AfterUuid
	case *historyv1.WatchedGroup_After:
		at, err := stream.ParsePosition(g, start.After)
		if err != nil {
			return watched{}, rpc.BadField(prefix+"after", "is not a position: send one back unchanged")
		}
		w.start.After = &at
	}
	return w, nil
}
