package main

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// watcher follows a room by Watch, directly at the history services, and comes
// back whenever the stream ends. What it gets is checked like a member's stream.
type watcher struct {
	seat
	// The last message it has seen.
	last string
	goal
}

func newWatcher(s seat) *watcher { return &watcher{seat: s} }

func (w *watcher) goals() []roomGoal { return []roomGoal{{w.room, &w.goal}} }

// watchAlive finds a service that hangs: as often as its policy allows.
var watchAlive = keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 2 * time.Second, PermitWithoutStream: true}

// run lives until ctx ends.
func (w *watcher) run(ctx context.Context) {
	for n := w.rng.IntN(len(w.services)); ctx.Err() == nil; n = (n + 1) % len(w.services) {
		w.watch(ctx, w.services[n])
		sleep(ctx, time.Duration(20+w.rng.IntN(300))*time.Millisecond)
	}
}

func (w *watcher) watch(ctx context.Context, service string) {
	conn, err := grpc.NewClient("passthrough:///"+service, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithKeepaliveParams(watchAlive))
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	group := &historyv1.WatchedGroup{GroupName: w.room.name}
	if w.last != "" {
		group.Start = &historyv1.WatchedGroup_AfterUuid{AfterUuid: w.last}
	}
	record := w.room.dialed(check.Watch, w.name, service, w.last)
	stream, err := historyv1.NewHistoryServiceClient(conn).Watch(ctx, &historyv1.WatchRequest{Groups: []*historyv1.WatchedGroup{group}})
	if err != nil {
		return
	}
	for open := false; ; {
		r, err := stream.Recv()
		if err == nil && !open {
			w.room.opened(record)
			open = true
		}
		if err == nil && w.take(record, r) {
			continue
		}
		if open {
			record.ended(0)
		}
		return
	}
}

// take records a response. It returns false after a gap, when the watcher starts over.
func (w *watcher) take(record *wire, r *historyv1.WatchResponse) bool {
	var e check.Event
	switch {
	case r.GetGap().GetDroppedPackets() > 0: // such packets may be lost
		return true
	case r.GetGap() != nil:
		e = check.Event{Kind: check.Refused, Code: http.StatusGone}
		w.last = ""
	case r.GetMessage() != nil:
		e = parse(string(r.GetMessage().GetPacket()))
		e.Text = w.room.text(e.UUID, e.Text)
		w.last = e.UUID
	case r.GetRecalled() != nil:
		e = check.Event{Kind: check.Recalled, UUID: r.GetRecalled().GetUuid()}
	case r.GetPacket() != nil:
		e = parse(string(r.GetPacket().GetPacket()))
	default: // it has begun, or moved
		return true
	}
	e.At = w.room.now()
	record.note(e)
	w.saw(e.UUID)
	return e.Kind != check.Refused
}
