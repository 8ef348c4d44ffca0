package historyapi

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/access/grpcstatus"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/rpc"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Publish implements historyv1.HistoryServiceServer.
func (s *Service) Publish(ctx context.Context, r *historyv1.PublishRequest) (*historyv1.PublishResponse, error) {
	p, settings, err := s.publication(ctx, r)
	if err != nil {
		return nil, err
	}
	published, err := s.askHook(ctx, p, settings)
	if err != nil {
		return nil, err
	}
	receipt, err := s.submit(ctx, p)
	if err != nil {
		return nil, s.status(ctx, err)
	}
	if published != nil && !receipt.Duplicate && settings.TellsHook() {
		published.At = receipt.At
		s.opts.Hooks.After.Tell(published)
	}
	resp := &historyv1.PublishResponse{Code: 200, Group: r.GetGroupName()}
	if p.Kind == stream.Message {
		resp.Stored, resp.Uuid, resp.Duplicate = receipt.Stored(), &p.UUID, &receipt.Duplicate
		resp.Seq, resp.At = receipt.Seq, receipt.At
	}
	return resp, nil
}

// publication makes a publication of a request that the caller of ctx may make, and returns
// it with the settings of its group.
func (s *Service) publication(ctx context.Context, r *historyv1.PublishRequest) (*history.Publication, *groupsettings.Entry, error) {
	g, err := group.Parse(r.GetGroupName())
	if err != nil {
		return nil, nil, rpc.BadField("group_name", err.Error())
	}
	settings := s.opts.Groups.Of(g)
	if err := checkPublish(g, r.GetPacket(), settings.MaxBytes(s.opts.MaxMessageBytes)); err != nil {
		return nil, nil, err
	}
	if err := mayDo(ctx, access.Publish, g); err != nil {
		return nil, nil, err
	}
	author, _ := rpc.ParseAuthor(access.FromContext(ctx).Author())
	kind, uuid, err := classify(r.GetPacket())
	if err != nil {
		return nil, nil, err
	}
	if s.limits.Take(string(g), groupsettings.Or(settings.LimitMessages, 0)) > 0 {
		return nil, nil, grpcstatus.Busy("TOO_MANY_REQUESTS", "too many messages into this group")
	}
	p := &history.Publication{Group: g, Kind: kind, UUID: uuid, Payload: r.GetPacket(), Author: author, By: access.FromContext(ctx).By()}
	p.Origin, err = s.origin(p, r.GetIdempotencyKey())
	return p, settings, err
}

// checkPublish returns why nobody may publish a packet to a group; nil if one may.
func checkPublish(g group.Name, packet []byte, most int) error {
	switch {
	case !g.Publishable():
		return grpcstatus.Error(codes.PermissionDenied, "GROUP_RESERVED", "nobody can publish to this group")
	case len(packet) == 0:
		return rpc.BadField("packet", "must not be empty")
	case len(packet) > most:
		return rpc.TooLarge("packet", fmt.Sprintf("larger than %d bytes", most))
	}
	return nil
}

// classify returns what a packet is published as (docs/protocol.md, section 2).
func classify(msg []byte) (kind stream.Kind, uuid string, err error) {
	p := packet.Classify(msg)
	if kind, uuid, ok := p.Published(utf8.Valid(msg)); ok {
		return kind, uuid, nil
	}
	switch p.Kind {
	case packet.BadUUID:
		return 0, "", rpc.BadField("packet", "its uuid must be 1 to 128 bytes of printable text")
	case packet.Ping, packet.Query:
		return 0, "", rpc.BadField("packet", "this command is answered on a WebSocket only")
	default:
		return 0, "", rpc.BadField("packet", "commands of this kind are the server's own, or it is malformed")
	}
}

const maxKey = 128

// origin returns the identity of a publish: the caller's key, or else the number of the
// call.
func (s *Service) origin(p *history.Publication, key string) (stream.Origin, error) {
	switch {
	case len(key) > maxKey:
		return stream.Origin{}, rpc.BadField("idempotency_key", fmt.Sprintf("must be 1 to %d bytes", maxKey))
	case key != "" && p.Kind != stream.Message:
		return stream.Origin{}, rpc.BadField("idempotency_key", "this packet is not stored, so it cannot be sent twice and arrive once")
	case key != "":
		return keyedOrigin(p.Author, key), nil
	}
	return stream.Origin{Edge: s.edge, ID: s.published.Add(1)}, nil
}

// keyedOrigin is the origin of what a caller publishes with a key: never that of
// another caller's publish.
func keyedOrigin(author *history.Author, key string) stream.Origin {
	digest := sha256.New()
	if author != nil {
		digest.Write(author[:])
	} else {
		digest.Write(make([]byte, len(history.Author{})))
	}
	digest.Write([]byte(key))
	sum := digest.Sum(nil)
	return stream.Origin{Edge: binary.BigEndian.Uint64(sum), ID: binary.BigEndian.Uint64(sum[8:])}
}

// sender holds the receipt of a publication.
type sender chan history.Receipt

// Settle implements history.Sender.
func (s sender) Settle(r history.Receipt) { s <- r }

// submit stores or broadcasts p and waits for the receipt. If ctx ends first, the
// outcome is unknown.
func (s *Service) submit(ctx context.Context, p *history.Publication) (history.Receipt, error) {
	ctx, cancel := untilPublished(ctx, p)
	defer cancel()
	settled := make(sender, 1)
	p.From = settled
	rpc.TraceAttempts(ctx, s.opts.Tracer, p)
	s.store.Submit(p)
	select {
	case r := <-settled:
		s.expect(p, r)
		return r, r.Err
	case <-ctx.Done():
		return history.Receipt{}, ctx.Err()
	}
}

// untilPublished gives the publications their deadline, and returns a context that ends when
// their caller gives up.
func untilPublished(ctx context.Context, all ...*history.Publication) (context.Context, context.CancelFunc) {
	timeout := rpc.PublishTimeout
	if by, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(by))
	}
	deadline := rpc.StoreDeadline(time.Now(), timeout)
	for _, p := range all {
		p.Deadline = deadline
	}
	return context.WithTimeout(ctx, timeout)
}

// expect lets followers of the group look for a message that is stored.
func (s *Service) expect(p *history.Publication, r history.Receipt) {
	if r.Stored() {
		s.hub.Expect(p.Group, r.Epoch, r.Seq)
	}
}
