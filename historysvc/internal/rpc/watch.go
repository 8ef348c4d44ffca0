package rpc

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/historysvc/internal/feed"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

const maxWatched = 1000

// watched is one group of a Watch.
type watched struct {
	group group.Name
	start feed.Start
}

// Watch implements historyv1.HistoryServiceServer. Each group's stream begins
// with Started. The watcher that is slower than its groups gets stored packets
// late, and none of those that are not stored meanwhile.
func (s *History) Watch(r *historyv1.WatchRequest, out historyv1.HistoryService_WatchServer) error {
	groups, err := watchedGroups(r)
	if err != nil {
		return err
	}
	for _, w := range groups {
		if err := mayWatch(out.Context(), &w); err != nil {
			return err
		}
	}
	q := newWatchQueue()
	for _, w := range groups {
		sink := &watcher{group: w.group, queue: q}
		sink.follower = s.hub.NewFollower(w.group, w.start, sink)
		sink.follower.Begin()
		defer sink.follower.Stop()
	}
	for {
		select {
		case <-out.Context().Done():
			return statusOf(out.Context(), s.log, out.Context().Err())
		case <-s.drain.done:
			return status.Error(codes.Unavailable, "the server is going down")
		case <-q.wake:
		}
		responses, failure := q.take()
		for _, resp := range responses {
			if err := out.Send(resp); err != nil {
				return err
			}
		}
		if failure != nil {
			return statusOf(out.Context(), s.log, failure)
		}
		q.sent(responses)
	}
}

// mayWatch checks the rights that a member with ?after= needs, too.
func mayWatch(ctx context.Context, w *watched) error {
	if err := may(ctx, access.Join, w.group); err != nil || w.start == (feed.Start{}) {
		return err
	}
	return may(ctx, access.Read, w.group)
}

func watchedGroups(r *historyv1.WatchRequest) ([]watched, error) {
	if n := len(r.GetGroups()); n < 1 || n > maxWatched {
		return nil, badField("groups", "must be 1 to 1000 groups")
	}
	all := make([]watched, 0, len(r.GetGroups()))
	seen := make(map[group.Name]bool, len(r.GetGroups()))
	for _, wanted := range r.GetGroups() {
		w, err := watchedGroup(wanted)
		if err != nil {
			return nil, err
		}
		if seen[w.group] {
			return nil, badField("groups", "names a group twice")
		}
		seen[w.group] = true
		all = append(all, w)
	}
	return all, nil
}

func watchedGroup(r *historyv1.WatchedGroup) (watched, error) {
	g, err := groupOf(r.GetGroupName())
	if err != nil {
		return watched{}, err
	}
	w := watched{group: g}
	switch start := r.GetStart().(type) {
	case *historyv1.WatchedGroup_AfterUuid:
		if start.AfterUuid == "" || len(start.AfterUuid) > packet.MaxUUID {
			return watched{}, badField("after_uuid", uuidRule)
		}
		w.start.AfterUUID = start.AfterUuid
	case *historyv1.WatchedGroup_After:
		at := toPosition(start.After)
		w.start.After = &at
	}
	return w, nil
}
