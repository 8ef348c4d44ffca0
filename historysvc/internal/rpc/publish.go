package rpc

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Publish implements historyv1.HistoryServiceServer.
func (s *History) Publish(ctx context.Context, r *historyv1.PublishRequest) (*historyv1.PublishResponse, error) {
	g, err := s.publishable(r)
	if err != nil {
		return nil, err
	}
	if err := may(ctx, access.Publish, g); err != nil {
		return nil, err
	}
	author, _ := authorOf(access.FromContext(ctx).Author())
	kind, uuid, err := classify(r.GetPacket())
	if err != nil {
		return nil, err
	}
	p := &history.Publication{Group: g, Kind: kind, UUID: uuid, Payload: r.GetPacket(), Author: author}
	published, err := s.ask(ctx, p)
	if err != nil {
		return nil, err
	}
	receipt, err := s.submit(ctx, p)
	if err != nil {
		return nil, statusOf(ctx, s.log, err)
	}
	if published != nil && !receipt.Duplicate {
		s.opts.Hooks.After.Tell(published)
	}
	resp := &historyv1.PublishResponse{Code: 200, Group: r.GetGroupName()}
	if kind == stream.Message {
		resp.Stored, resp.Uuid, resp.Duplicate = true, &uuid, &receipt.Duplicate
	}
	return resp, nil
}

func (s *History) publishable(r *historyv1.PublishRequest) (group.Name, error) {
	g, err := group.Parse(r.GetGroupName())
	switch {
	case err != nil:
		return "", badField("group_name", err.Error())
	case !g.Publishable():
		return "", status.Error(codes.PermissionDenied, "nobody can publish to this group")
	case len(r.GetPacket()) == 0:
		return "", badField("packet", "must not be empty")
	case len(r.GetPacket()) > s.opts.MaxMessageBytes:
		return "", violation(codes.ResourceExhausted, "packet", fmt.Sprintf("larger than %d bytes", s.opts.MaxMessageBytes))
	}
	return g, nil
}

// classify says what to publish a packet as (docs/protocol.md, section 2).
func classify(msg []byte) (kind stream.Kind, uuid string, err error) {
	switch p := packet.Classify(msg); p.Kind {
	case packet.Data:
		return stream.Message, p.UUID, nil
	case packet.Low, packet.Receipt:
		if utf8.Valid(msg) {
			return stream.Text, "", nil
		}
		return stream.Binary, "", nil
	case packet.BadUUID:
		return 0, "", badField("packet", "its uuid must be 1 to 128 bytes of printable text")
	case packet.Ping, packet.Query:
		return 0, "", badField("packet", "this command is answered on a WebSocket only")
	default:
		return 0, "", badField("packet", "commands of this kind are the server's own, or it is malformed")
	}
}

// submit stores or broadcasts p and waits for the receipt. When ctx ends first,
// the outcome is unknown.
func (s *History) submit(ctx context.Context, p *history.Publication) (history.Receipt, error) {
	timeout := publishTimeout
	if by, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(by))
	}
	p.Deadline = answerBy(time.Now(), timeout)
	p.Origin = stream.Origin{Edge: s.edge, ID: s.published.Add(1)}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	receipts := make(chan history.Receipt, 1)
	p.Done = func(r history.Receipt) { receipts <- r }
	followAttempts(ctx, s.opts.Tracer, p)
	s.store.Submit(p)
	select {
	case r := <-receipts:
		if r.Err == nil && p.Kind == stream.Message {
			s.hub.Expect(p.Group, r.Epoch, r.Seq)
		}
		return r, r.Err
	case <-ctx.Done():
		return history.Receipt{}, ctx.Err()
	}
}

// answerBy is when the store has to answer a publish whose caller waits for
// timeout: a little earlier than the caller gives up, because the store may
// know that nothing was stored, and the caller alone does not.
func answerBy(now time.Time, timeout time.Duration) time.Time {
	return now.Add(timeout - min(timeout/4, answerMargin))
}
